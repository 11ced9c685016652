"""Limits on money and wake-ups: what was spent, what may still be done. Pure: ledger and clock are the caller's.

Money counts as it is billed: every second a container is up, for whatever reason, so failed calls, streams that were
left early and the idle time after them count like answers.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Literal

from llama70b.errors import BudgetExceeded, ConfigurationError

_NS = 1_000_000_000
DAY_NS, HOUR_NS = 86_400 * _NS, 3_600 * _NS

Unit = Literal["usd_per_day", "wakes_per_hour"]
"""What a limit is about: dollars of one day (UTC), cold starts of the last hour."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits; None means none.

    Attributes:
        usd_per_day: Dollars a day (UTC) at which calls are refused.
        wakes_per_hour: Cold starts in any hour at which calls that would cause one more are refused.
        soft_usd_per_day: Dollars a day at which a warning is logged.
        soft_wakes_per_hour: Cold starts in an hour at which a warning is logged.
    """

    usd_per_day: float | None = None
    wakes_per_hour: float | None = None
    soft_usd_per_day: float | None = None
    soft_wakes_per_hour: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise ConfigurationError(f"budget.{item.name} is {value!r}: give a number, 0 or more")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read limits as an environment variable holds them: `usd_per_day=20,wakes_per_hour=4`.

        Raises:
            ConfigurationError: An unknown name, or no number.
        """
        names = [item.name for item in fields(cls)]
        given: dict[str, float] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            name, _, value = part.partition("=")
            try:
                given[names[names.index(name.strip())]] = float(value)
            except ValueError:
                raise ConfigurationError(
                    f"the budget says {part!r}", hint=f"like usd_per_day=20,wakes_per_hour=4; names: {', '.join(names)}"
                ) from None
        return cls(**given)

    def limits(self) -> Mapping[Unit, tuple[float | None, float | None]]:
        """Return (soft, hard) of either unit."""
        return {
            "usd_per_day": (self.soft_usd_per_day, self.usd_per_day),
            "wakes_per_hour": (self.soft_wakes_per_hour, self.wakes_per_hour),
        }


class Spans:
    """Times that overlap or touch, kept as their disjoint union, in order."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._begins, self._ends, strict=True)

    def add(self, begin: int, end: int) -> None:
        """Add a span; O(log n) to find its place."""
        first = bisect_left(self._ends, begin)
        last = first
        while last < len(self._begins) and self._begins[last] <= end:
            begin, end = min(begin, self._begins[last]), max(end, self._ends[last])
            last += 1
        self._begins[first:last], self._ends[first:last] = [begin], [end]

    def forget(self, before: int) -> None:
        """Drop what ended before a moment."""
        gone = bisect_left(self._ends, before)
        del self._begins[:gone], self._ends[:gone]

    def covered(self, begin: int, end: int) -> int:
        """Return how much of [begin, end) is covered."""
        first = bisect_left(self._ends, begin)
        return sum(
            max(0, min(until, end) - max(since, begin))
            for since, until in zip(self._begins[first:], self._ends[first:], strict=True)
        )

    def holds(self, at: int) -> bool:
        """Return whether a moment is covered."""
        place = bisect_left(self._ends, at)
        return place < len(self._begins) and self._begins[place] <= at


@dataclass(frozen=True, slots=True)
class Spent:
    """What has been spent so far.

    Attributes:
        nanodollars: Of this day (UTC).
        wakes_ns: When the cold starts of the last hour began, oldest first, UTC nanoseconds.
        awake: Whether the container is up now, so that a call wakes nothing.
    """

    nanodollars: int
    wakes_ns: tuple[int, ...]
    awake: bool


def spent(up: Spans, wakes: Spans, nano_per_s: int, now_ns: int) -> Spent:
    """Return what has been spent.

    Args:
        up: When containers were and will be up: from every run's start to its end plus the window.
        wakes: When runs waited for a cold start; those that wait for the same one overlap.
        nano_per_s: Nanodollars a second.
        now_ns: Now, UTC.
    """
    today = now_ns - now_ns % DAY_NS
    recent = tuple(begin for begin, _ in wakes if now_ns - HOUR_NS < begin <= now_ns)
    return Spent(up.covered(today, now_ns) * nano_per_s // _NS, recent, up.holds(now_ns))


@dataclass(frozen=True, slots=True)
class Finding:
    """A limit that is reached.

    Attributes:
        hard: Whether calls are refused.
        unit: Of the limit.
        spent: So far.
        limit: The limit.
        resets_ns: When the same call is allowed again, UTC.
    """

    hard: bool
    unit: Unit
    spent: float
    limit: float
    resets_ns: int

    @property
    def message(self) -> str:
        """What is reached, in one line."""
        when = datetime.fromtimestamp(self.resets_ns / _NS, UTC).strftime("%Y-%m-%d %H:%M UTC")
        if self.unit == "usd_per_day":
            return f"${self.spent:.2f} of ${self.limit:.2f} a day are spent; it begins anew at {when}"
        return f"{self.spent:g} of {self.limit:g} wake-ups an hour are used; the next is allowed at {when}"

    def error(self) -> BudgetExceeded:
        """Return the error that refuses a call."""
        return BudgetExceeded(
            f"budget: {self.message}",
            hint="raise or unset LLAMA70B_BUDGET, or wait",
            spent=self.spent,
            limit=self.limit,
            unit=self.unit,
            resets_at=self.resets_ns / _NS,
        )


def check(budget: Budget, so_far: Spent, now_ns: int) -> list[Finding]:
    """Return the limits that are reached, the hard ones first. A call wakes nothing while the container is up.

    Args:
        budget: The limits.
        so_far: What has been spent.
        now_ns: Now, UTC.
    """
    found: list[Finding] = []
    for unit, (soft, hard) in budget.limits().items():
        match unit:
            case "usd_per_day":
                amount, resets = so_far.nanodollars / _NS, now_ns - now_ns % DAY_NS + DAY_NS
            case "wakes_per_hour":
                if so_far.awake:
                    continue
                amount, resets = float(len(so_far.wakes_ns)), now_ns
        for limit, is_hard in ((hard, True), (soft, False)):
            if limit is not None and amount >= limit:
                if unit == "wakes_per_hour":
                    resets = _one_fewer(so_far.wakes_ns, limit, now_ns)
                found.append(Finding(is_hard, unit, amount, limit, resets))
    return sorted(found, key=lambda finding: not finding.hard)


def _one_fewer(wakes: tuple[int, ...], limit: float, now_ns: int) -> int:
    """Return when so many of the wakes are an hour old that fewer than the limit are left."""
    leaving = len(wakes) - math.ceil(limit)  # index of the one whose leaving makes room
    return wakes[leaving] + HOUR_NS if 0 <= leaving < len(wakes) else now_ns + HOUR_NS
