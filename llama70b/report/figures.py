"""The figures of a ledger: who asked, what it took, what it cost. Pure; money in dollars, times in seconds."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from llama70b.cost.cycles import Allocation, Cycle, allocate, cycles, merged
from llama70b.cost.prices import ApiPrice, Deployment, Price, PriceTable, Size, deployment_from_env, price_table
from llama70b.cost.reconcile import reconcile
from llama70b.ledger._rows import NS, Bill, Row

_DAY_NS = 86_400 * NS
_HOURS = 168


@dataclass(frozen=True, slots=True)
class Spread:
    """How a quantity is spread.

    Attributes:
        count: Of how many runs.
        p50: Half are below.
        p95: 95 of 100 are below.
        p99: 99 of 100 are below.
    """

    count: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Container:
    """What one endpoint did and cost.

    Attributes:
        endpoint: Its URL.
        model: The name it serves.
        size: Which of the two models.
        runs: Model runs.
        price_per_hour: Dollars while it is up, None if nobody said; then all money is None.
        price_source: Who said so.
        window_s: Scaledown window reckoned with.
        window_source: Where that is from.
        starts: Cold starts.
        cut: Up-times that ended before their window: crashes, redeployments, or a shorter window than reckoned.
        wait_s: Seconds that callers waited for cold starts, together.
        boot_p50_s: A cold start takes as long, at the median of those seen.
        up_s: Seconds up; the sum of the next three.
        boot_s: Booting.
        busy_s: Answering.
        idle_s: Waiting for more.
        cost_usd: Of all that; estimated unless reconciled.
        usage_usd: Of boot and work, without the idle time.
        usd_per_run: `cost_usd` over runs that reached it.
        usd_per_mtok: Over a million tokens, read and written.
        billed_usd: What the platform charged for the hours it reported.
        kappa: Billed over estimated, for these hours.
        api_usd: What token APIs would have asked for the same tokens, by provider.
    """

    endpoint: str
    model: str
    size: Size
    runs: int
    price_per_hour: float | None
    price_source: str
    window_s: float
    window_source: str
    starts: int
    cut: int
    wait_s: float
    boot_p50_s: float | None
    up_s: float
    boot_s: float
    busy_s: float
    idle_s: float
    cost_usd: float | None
    usage_usd: float | None
    usd_per_run: float | None
    usd_per_mtok: float | None
    billed_usd: float | None
    kappa: float | None
    api_usd: dict[str, float]


@dataclass(frozen=True, slots=True)
class Day:
    """One day (UTC) of one endpoint; dollars, or hours where no price is known.

    Attributes:
        day: ISO date.
        endpoint: Its URL.
        boot: For booting.
        busy: For answering.
        idle: For waiting.
        runs: Begun that day.
    """

    day: str
    endpoint: str
    boot: float
    busy: float
    idle: float
    runs: int


@dataclass(frozen=True, slots=True)
class Usage:
    """All figures of a stretch of time.

    Attributes:
        since: First run, ISO time (UTC), None if there is none.
        until: End of the last run.
        runs: How many.
        outcomes: How they ended.
        errors: What failed.
        frameworks: Who asked.
        prompt_tokens: Read.
        completion_tokens: Written.
        cached_tokens: Read from the prefix cache.
        estimated_runs: Whose tokens are guessed: the server counted none.
        containers: By endpoint.
        days: Money (or hours) by day and endpoint.
        first_token_s: Time to the first token of streams, `cold` and `warm`.
        tokens_per_s: Written, after the first token, or after the wait where the answer was not streamed.
        routing: (served model, reason, how many).
        gaps_s: Seconds from the end of all work to the next run, by endpoint.
        heat: Runs by weekday (Monday first) and hour (UTC): 168 counts.
        dropped: Rows that could not be written.
    """

    since: str | None
    until: str | None
    runs: int
    outcomes: dict[str, int]
    errors: dict[str, int]
    frameworks: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    estimated_runs: int
    containers: tuple[Container, ...]
    days: tuple[Day, ...]
    first_token_s: dict[str, Spread]
    tokens_per_s: dict[str, Spread]
    routing: tuple[tuple[str, str, int], ...]
    gaps_s: dict[str, tuple[float, ...]] = field(repr=False)
    heat: tuple[int, ...] = field(repr=False)
    dropped: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


DeploymentOf = Callable[[str], Deployment]


def usage(
    rows: Sequence[Row],
    *,
    deployment_of: DeploymentOf = lambda model: deployment_from_env(model=model),
    bills: Sequence[Bill] = (),
    until_ns: int | None = None,
    dropped: int = 0,
    table: PriceTable | None = None,
) -> Usage:
    """Return the figures of some runs.

    Args:
        rows: From `Ledger.runs`, oldest first.
        deployment_of: What is known of the container that serves a model. A price that the rows hold goes first.
        bills: What the platform charged.
        until_ns: Now, UTC: up-times do not reach beyond.
        dropped: Rows that could not be written.
        table: Prices of token APIs; None takes the package's.
    """
    table = price_table() if table is None else table
    by_endpoint: dict[str, list[Row]] = {}
    for row in rows:
        by_endpoint.setdefault(row.endpoint, []).append(row)
    containers, days = [], []
    for endpoint, own in sorted(by_endpoint.items()):
        known = known_deployment(own, deployment_of)
        found = cycles(own, known.window_s, until_ns=until_ns)
        containers.append(
            _container(
                endpoint,
                own,
                found=found,
                known=known,
                bills=bills if len(by_endpoint) == 1 else (),
                table=table,
            )
        )
        days.extend(_days(endpoint, own, found, known.price))
    return Usage(
        since=_iso(rows[0].started_ns) if rows else None,
        until=_iso(max(row.ended_ns for row in rows)) if rows else None,
        runs=len(rows),
        outcomes=_counts(row.outcome for row in rows),
        errors=_counts(row.error for row in rows if row.error),
        frameworks=_counts(row.framework or "core" for row in rows),
        prompt_tokens=sum(row.prompt_tokens or 0 for row in rows),
        completion_tokens=sum(row.completion_tokens or 0 for row in rows),
        cached_tokens=sum(row.cached_tokens or 0 for row in rows),
        estimated_runs=sum(row.usage_source == "estimated" for row in rows),
        containers=tuple(containers),
        days=tuple(days),
        first_token_s=_by_state(rows, _first_token_s),
        tokens_per_s=_by_state(rows, _speed),
        routing=_routing(rows),
        gaps_s={endpoint: tuple(gaps(own)) for endpoint, own in sorted(by_endpoint.items())},
        heat=_heat(rows),
        dropped=dropped,
    )


def gaps(rows: Iterable[Row]) -> list[float]:
    """Return the seconds from the end of all work to the next run, for every time an endpoint had nothing to do."""
    found, busy_until = [], None
    for row in sorted((row for row in rows if row.reached), key=lambda row: row.started_ns):
        if busy_until is not None and row.started_ns > busy_until:
            found.append((row.started_ns - busy_until) / NS)
        busy_until = row.ended_ns if busy_until is None else max(busy_until, row.ended_ns)
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies, interpolated; of sorted values."""
    place = share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def _spread(values: Iterable[float]) -> Spread | None:
    ordered = sorted(values)
    if not ordered:
        return None
    return Spread(len(ordered), *(round(quantile(ordered, share), 4) for share in (0.5, 0.95, 0.99)))


def _by_state(rows: Sequence[Row], value: Callable[[Row], float | None]) -> dict[str, Spread]:
    found = {}
    for state, cold in (("cold", True), ("warm", False)):
        values = (value(row) for row in rows if row.cold is cold and row.outcome == "answered")
        if (spread := _spread(one for one in values if one is not None)) is not None:
            found[state] = spread
    return found


def _first_token_s(row: Row) -> float | None:
    return None if row.first_ns is None else row.first_ns / NS


def _speed(row: Row) -> float | None:
    begin = row.first_ns if row.first_ns is not None else row.cold_ns
    seconds = (row.total_ns - begin) / NS
    # The first token of a stream came before the time that is counted.
    written = (row.completion_tokens or 0) - (row.first_ns is not None)
    return written / seconds if written > 0 and seconds > 0 else None


def known_deployment(rows: Sequence[Row], deployment_of: DeploymentOf) -> Deployment:
    """Return what is known of an endpoint's container; the price that its latest row holds goes first."""
    known = deployment_of(rows[-1].requested_model)
    if known.price is None:
        said = next((row.price_nano_per_s for row in reversed(rows) if row.price_nano_per_s is not None), None)
        if said is not None:
            return Deployment(Price(said, "the ledger"), known.window_s, known.boot_s, known.size, known.source)
    return known


def _container(
    endpoint: str,
    rows: Sequence[Row],
    *,
    found: Sequence[Cycle],
    known: Deployment,
    bills: Sequence[Bill],
    table: PriceTable,
) -> Container:
    price = known.price
    shared = [] if price is None else [allocate(cycle, price.nano_per_s) for cycle in found]
    cost = _dollars(shared, lambda one: one.bill)
    tokens = sum((row.prompt_tokens or 0) + (row.completion_tokens or 0) for row in rows)
    reached = sum(row.reached for row in rows)
    boots = sorted(cycle.boot_ns / NS for cycle in found if cycle.boot_ns)
    spans = merged((cycle.from_ns, cycle.to_ns) for cycle in found)
    checked = None if price is None else reconcile(spans, price.nano_per_s, bills)
    return Container(
        endpoint=endpoint,
        model=next((row.served_model for row in reversed(rows) if row.served_model), rows[-1].requested_model),
        size=known.size,
        runs=len(rows),
        price_per_hour=None if price is None else round(price.dollars_per_hour, 6),
        price_source="nobody said" if price is None else price.source,
        window_s=known.window_s,
        window_source=known.source,
        starts=len(boots),
        cut=sum(cycle.cut for cycle in found),
        wait_s=round(sum(row.cold_ns for row in rows) / NS, 3),
        boot_p50_s=round(quantile(boots, 0.5), 3) if boots else None,
        up_s=sum(cycle.up_ns for cycle in found) / NS,
        boot_s=sum(cycle.boot_ns for cycle in found) / NS,
        busy_s=sum(cycle.busy_ns for cycle in found) / NS,
        idle_s=sum(cycle.idle_ns for cycle in found) / NS,
        cost_usd=cost if price is not None else None,
        usage_usd=_dollars(shared, lambda one: one.boot + one.busy) if price is not None else None,
        usd_per_run=cost / reached if price is not None and reached else None,
        usd_per_mtok=cost / tokens * 1e6 if price is not None and tokens else None,
        billed_usd=None if checked is None else checked.billed / NS,
        kappa=None if checked is None else checked.kappa,
        api_usd=_api(rows, known.size, table),
    )


def _dollars(shared: Sequence[Allocation], of: Callable[[Allocation], int]) -> float:
    return sum(of(one) for one in shared) / NS


def _api(rows: Sequence[Row], size: Size, table: PriceTable) -> dict[str, float]:
    """Return what providers that still offer the model would have asked for these tokens, cheapest first."""
    read = sum(row.prompt_tokens or 0 for row in rows)
    written = sum(row.completion_tokens or 0 for row in rows)
    last = date.fromisoformat(_iso(rows[-1].started_ns)[:10])
    offered: list[ApiPrice] = [api for api in table.apis if api.size == size and api.offered(last)]
    asked = {f"{api.provider} ({api.as_of})": api.nano(read, written) / NS for api in offered}
    return dict(sorted(asked.items(), key=lambda item: item[1]))


def _days(endpoint: str, rows: Sequence[Row], found: Sequence[Cycle], price: Price | None) -> list[Day]:
    amounts: dict[str, dict[str, float]] = {}
    unit = 1 / (3600 * NS) if price is None else price.nano_per_s / NS / NS  # hours, or dollars, a nanosecond
    for cycle in found:
        for kind, begin, end in cycle.phases():
            at = begin
            while at < end:
                stop = min(end, at - at % _DAY_NS + _DAY_NS)
                day = amounts.setdefault(_iso(at)[:10], {"boot": 0.0, "busy": 0.0, "idle": 0.0})
                day[kind] += (stop - at) * unit
                at = stop
    begun = Counter(_iso(row.started_ns)[:10] for row in rows)
    return [
        Day(day, endpoint, runs=begun[day], **amounts.get(day, {"boot": 0.0, "busy": 0.0, "idle": 0.0}))
        for day in sorted({*amounts, *begun})
    ]


def _routing(rows: Sequence[Row]) -> tuple[tuple[str, str, int], ...]:
    seen: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row.routing:
            record = json.loads(row.routing)
            reason = record.get("reason") or record.get("reason_code") or "?"
            seen[str(record.get("served") or record.get("tier") or row.served_model or "?"), str(reason)] += 1
    return tuple((served, reason, count) for (served, reason), count in seen.most_common())


def _heat(rows: Iterable[Row]) -> tuple[int, ...]:
    counts = [0] * _HOURS
    for row in rows:
        # 1970-01-01 was a Thursday; the week begins on Monday.
        counts[(row.started_ns // (3600 * NS) + 3 * 24) % _HOURS] += 1
    return tuple(counts)


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
