"""When the container was up, found from the ledger's runs, and what that cost, shared out to the last nanodollar.

A container begins to boot when the first run comes that has to wait for it, and goes away when `window` has passed
without work. Only runs of this ledger are seen: other clients, crashes and redeployments show as a reconciliation
factor other than 1 (`reconcile`). One container at a time is assumed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

from llama70b.ledger._rows import NS, Interval, Row


@dataclass(frozen=True, slots=True)
class Cycle:
    """One up-time of a container, from the boot's first second to its last idle one.

    Attributes:
        endpoint: The base URL.
        from_ns: When it began, UTC nanoseconds.
        ready_ns: When its boot ended; `from_ns` if nobody waited for it.
        to_ns: When it went to sleep.
        rows: The runs that reached it, by their beginning.
        cut: Whether it went away before its window was over: a later cold start shows it.
    """

    endpoint: str
    from_ns: int
    ready_ns: int
    to_ns: int
    rows: tuple[Row, ...]
    cut: bool = False

    @property
    def up_ns(self) -> int:
        """Nanoseconds it was up."""
        return self.to_ns - self.from_ns

    @property
    def boot_ns(self) -> int:
        """Nanoseconds it booted."""
        return self.ready_ns - self.from_ns

    @property
    def busy_ns(self) -> int:
        """Nanoseconds with at least one run in work."""
        return sum(end - begin for begin, end in merged(_work(self)))

    @property
    def idle_ns(self) -> int:
        """Nanoseconds it was up for nothing."""
        return self.up_ns - self.boot_ns - self.busy_ns

    def phases(self) -> list[tuple[Literal["boot", "busy", "idle"], int, int]]:
        """Return what it did when, in order and without gaps: what, from, until."""
        found: list[tuple[Literal["boot", "busy", "idle"], int, int]] = [("boot", self.from_ns, self.ready_ns)]
        at = self.ready_ns
        for begin, end in merged(_work(self)):
            found += [("idle", at, begin), ("busy", begin, end)]
            at = end
        found.append(("idle", at, self.to_ns))
        return [phase for phase in found if phase[1] < phase[2]]

    def interval(self) -> Interval:
        """Return it as the ledger keeps it."""
        return Interval(self.endpoint, self.from_ns, self.to_ns, "estimated")


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of spans, as disjoint ones in order."""
    union: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if union and begin <= union[-1][1]:
            union[-1] = (union[-1][0], max(end, union[-1][1]))
        else:
            union.append((begin, end))
    return union


def _work(cycle: Cycle) -> list[tuple[int, int]]:
    """Return when every run was in work: after the boot, inside the cycle."""
    return [_clamped(row, cycle) for row in cycle.rows]


def _clamped(row: Row, cycle: Cycle) -> tuple[int, int]:
    begin = min(max(row.sent_ns, cycle.ready_ns), cycle.to_ns)
    return begin, min(max(row.ended_ns, begin), cycle.to_ns)


def cycles(rows: Iterable[Row], window_s: float, *, until_ns: int | None = None) -> list[Cycle]:
    """Find the up-times of containers.

    Args:
        rows: Runs in any order, of any number of endpoints.
        window_s: The scaledown window they are deployed with, in seconds.
        until_ns: Now, UTC: an up-time that would still go on ends here.

    Returns:
        Up-times, by endpoint and beginning. No two of one endpoint overlap.
    """
    by_endpoint: dict[str, list[Row]] = {}
    for row in rows:
        if row.reached:
            by_endpoint.setdefault(row.endpoint, []).append(row)
    window_ns = round(window_s * NS)
    found: list[Cycle] = []
    for endpoint in sorted(by_endpoint):
        ordered = sorted(by_endpoint[endpoint], key=lambda row: (row.started_ns, row.id))
        found.extend(_of_endpoint(endpoint, ordered, window_ns, until_ns))
    return found


class _Open:
    """An up-time whose end is not known yet."""

    def __init__(self, row: Row) -> None:
        self.rows = [row]
        self.from_ns = row.started_ns
        self.ready_ns = row.sent_ns
        self.last_ns = row.ended_ns

    def take(self, row: Row) -> None:
        self.rows.append(row)
        self.last_ns = max(self.last_ns, row.ended_ns)
        if row.started_ns < self.ready_ns:
            # Whoever found it awake first knows best when it was: the others look only now and then. An abandoned
            # wait says nothing of the boot's end.
            if row.attempts and row.outcome == "answered":
                self.ready_ns = min(self.ready_ns, max(row.sent_ns, self.from_ns))
            elif self.rows[0].outcome != "answered":
                self.ready_ns = max(self.ready_ns, row.sent_ns)

    def closed(self, endpoint: str, window_ns: int, before_ns: int | None, *, cut: bool) -> Cycle:
        to_ns = self.last_ns + window_ns
        was_cut = False
        if before_ns is not None and before_ns < to_ns:
            to_ns, was_cut = max(before_ns, self.from_ns), cut
        ready_ns = min(self.ready_ns, to_ns)
        return Cycle(endpoint, self.from_ns, ready_ns, to_ns, tuple(self.rows), was_cut)


def _of_endpoint(endpoint: str, rows: Sequence[Row], window_ns: int, until_ns: int | None) -> list[Cycle]:
    found: list[Cycle] = []
    now: _Open | None = None
    for row in rows:
        if now is None:
            now = _Open(row)
        elif row.started_ns > now.last_ns + window_ns or (row.cold and row.started_ns > now.ready_ns):
            # Asleep by our reckoning; or a cold start where it should have been awake: it went away earlier.
            found.append(now.closed(endpoint, window_ns, row.started_ns, cut=True))
            now = _Open(row)
        else:
            now.take(row)
    if now is not None:
        found.append(now.closed(endpoint, window_ns, until_ns, cut=False))
    return found


@dataclass(frozen=True, slots=True)
class Share:
    """What one run bears of its up-time's bill, in nanodollars.

    Attributes:
        id: The run's.
        boot: For the boot it waited for.
        busy: For the seconds it was worked on; where several were, each bears its part.
        idle: For the seconds the container waited for the next.
    """

    id: str
    boot: int
    busy: int
    idle: int

    @property
    def usage(self) -> int:
        """What was used: boot and work."""
        return self.boot + self.busy

    @property
    def total(self) -> int:
        """All of it."""
        return self.boot + self.busy + self.idle


@dataclass(frozen=True, slots=True)
class Allocation:
    """One up-time's bill, shared out.

    Attributes:
        cycle: The up-time.
        boot: Nanodollars for the boot.
        busy: For work.
        idle: For waiting.
        shares: One a run; their sums are exactly the three above.
    """

    cycle: Cycle
    boot: int
    busy: int
    idle: int
    shares: tuple[Share, ...]

    @property
    def bill(self) -> int:
        """Nanodollars for the whole up-time."""
        return self.boot + self.busy + self.idle


def split(amount: int, weights: Sequence[int]) -> list[int]:
    """Share out an integer amount by integer weights, so that the parts' sum is exactly the amount.

    Every part is the difference of two rounded-down running totals, so none is off by a unit or more.

    Args:
        amount: What is shared out, 0 or more.
        weights: 0 or more each; if all are 0, equal parts.

    Raises:
        ValueError: There is something to share, and nobody to bear it.
    """
    if not weights:
        if amount:
            raise ValueError(f"{amount} to share out, and nobody to bear it")
        return []
    total = sum(weights)
    running = accumulate(weights if total else [1] * len(weights), initial=0)
    marks = [amount * mark // (total or len(weights)) for mark in running]
    return [after - before for before, after in pairwise(marks)]


_FINE = 1 << 32  # busy nanoseconds are divided by how many shared them in units of 2^-32 ns


def _busy_weights(cycle: Cycle) -> list[int]:
    """Return each run's busy time, every moment divided by how many were in work: the integral of dt/n(t)."""
    spans = _work(cycle)
    begins = sorted(range(len(spans)), key=lambda n: spans[n][0])
    weights = [0] * len(spans)
    ends: list[tuple[int, int]] = []  # a heap of (end, run)
    clock = 0  # the integral so far
    entered = [0] * len(spans)
    at = spans[begins[0]][0]

    def move(to: int) -> None:
        nonlocal clock, at
        if ends and to > at:
            clock += (to - at) * _FINE // len(ends)
        at = max(at, to)

    for n in begins:
        begin, end = spans[n]
        while ends and ends[0][0] <= begin:
            move(ends[0][0])
            done = heapq.heappop(ends)[1]
            weights[done] = clock - entered[done]
        move(begin)
        entered[n] = clock
        heapq.heappush(ends, (end, n))
    while ends:
        move(ends[0][0])
        done = heapq.heappop(ends)[1]
        weights[done] = clock - entered[done]
    return weights


def bill_of(cycle: Cycle, nano_per_s: int) -> int:
    """Return nanodollars for an up-time, rounded to the nearest."""
    return (cycle.up_ns * nano_per_s + NS // 2) // NS


def allocate(cycle: Cycle, nano_per_s: int, *, bill: int | None = None) -> Allocation:
    """Share an up-time's bill out to its runs; not a nanodollar is lost or made.

    Boot is borne by the runs that waited for it, by how long each did; work by whom it was for, where several were in
    work each second in equal parts; idle time equally by all of the up-time's runs.

    Args:
        cycle: The up-time.
        nano_per_s: Nanodollars a second.
        bill: What was really charged, in nanodollars, instead of the product.
    """
    whole = bill_of(cycle, nano_per_s) if bill is None else bill
    boot, busy, idle = split(whole, [cycle.boot_ns, cycle.busy_ns, cycle.idle_ns])
    if not cycle.up_ns:
        boot, busy, idle = 0, 0, whole
    waited = [max(0, min(row.sent_ns, cycle.ready_ns) - row.started_ns) for row in cycle.rows]
    shares = zip(
        cycle.rows,
        split(boot, waited),
        split(busy, _busy_weights(cycle)),
        split(idle, [1] * len(cycle.rows)),
        strict=True,
    )
    return Allocation(cycle, boot, busy, idle, tuple(Share(row.id, *parts) for row, *parts in shares))
