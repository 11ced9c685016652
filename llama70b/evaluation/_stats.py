"""The statistics of the report, on scipy (extra `[report]`). Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llama70b.local._extra import load

_WHAT = "The report of an evaluation"


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its interval.

    Attributes:
        right: How many.
        asked: Of how many.
        low: Lower end of the 95 % Wilson interval; None of none.
        high: Upper end.
    """

    right: int
    asked: int
    low: float | None
    high: float | None

    @property
    def value(self) -> float | None:
        """The share itself, None of none."""
        return self.right / self.asked if self.asked else None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {
            "right": self.right,
            "asked": self.asked,
            "share": _rounded(self.value),
            "low": _rounded(self.low),
            "high": _rounded(self.high),
        }


def share(right: int, asked: int) -> Share:
    """Return a share with its 95 % Wilson score interval (Wilson 1927), by `scipy.stats.binomtest`.

    Raises:
        MissingExtra: scipy is not installed.
    """
    if not asked:
        return Share(0, 0, None, None)
    interval = load("scipy.stats", _WHAT, "report").binomtest(right, asked).proportion_ci(method="wilson")
    return Share(right, asked, float(interval.low), float(interval.high))


def mcnemar(only_one: int, only_other: int) -> float:
    """Return the exact two-sided p of McNemar's test (1947): a binomial test on the discordant pairs.

    Args:
        only_one: Items that only the one arm got right.
        only_other: Items that only the other one did.
    """
    discordant = only_one + only_other
    if not discordant:
        return 1.0
    return float(load("scipy.stats", _WHAT, "report").binomtest(only_one, discordant, 0.5).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in the order given."""
    corrected = [0.0] * len(values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[position]))
        corrected[position] = largest
    return corrected


@dataclass(frozen=True, slots=True)
class ContentEffect:
    """How much the truth of the conclusion in the real world moves the judgement, in percentage points.

    Attributes:
        cells: Accuracy in percent by "valid believable", "valid unbelievable", "invalid believable", "invalid
            unbelievable"; None where there was no item.
        total: Mean of the effects within and across validity (TCE of the 2026 shared task [notes/syllogism 4.1]).
        bias: Accuracy where logic and belief agree minus accuracy where they do not.
    """

    cells: dict[str, float | None]
    total: float | None
    bias: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        cells = {name: _rounded(value) for name, value in self.cells.items()}
        return {"cells": cells, "total": _rounded(self.total), "bias": _rounded(self.bias)}


def content_effect(judged: Iterable[tuple[bool, bool, bool]]) -> ContentEffect:
    """Return the content effect.

    Args:
        judged: (valid, believable, judged rightly) of every item whose conclusion is one or the other.
    """
    counts: dict[tuple[bool, bool], list[bool]] = {}
    for valid, believable, right in judged:
        counts.setdefault((valid, believable), []).append(right)
    accuracy = {cell: 100 * sum(rights) / len(rights) for cell, rights in counts.items()}
    names = {(True, True): "valid believable", (True, False): "valid unbelievable"} | {
        (False, True): "invalid believable",
        (False, False): "invalid unbelievable",
    }
    cells = {name: accuracy.get(cell) for cell, name in names.items()}
    if len(accuracy) < len(names):
        return ContentEffect(cells, None, None)
    vb, vu, ib, iu = (accuracy[cell] for cell in names)
    within = (abs(vb - vu) + abs(ib - iu)) / 2
    across = (abs(vb - ib) + abs(vu - iu)) / 2
    return ContentEffect(cells, (within + across) / 2, (vb + iu) / 2 - (vu + ib) / 2)


def busy_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Return how long at least one of several stretches lasted: an endpoint that answers two at once is paid once.

    Args:
        spans: (start, end) in seconds.
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def percentiles(values: Sequence[float]) -> tuple[float, float] | None:
    """Return median and 95th percentile, interpolated; None of nothing."""
    if not values:
        return None
    if len(values) == 1:
        return values[0], values[0]
    return statistics.median(values), statistics.quantiles(values, n=20, method="inclusive")[-1]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
