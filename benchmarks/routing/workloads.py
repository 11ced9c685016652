"""Four workloads, seeded: what they ask when, with answers awaited where somebody awaits them.

A workload is a list of chains: a chain begins at a fixed second and goes on by pauses, each counted from the answer
before it (a person reads, an agent thinks). Independent arrivals are chains of one.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

from llama70b.cost import Container
from llama70b.ledger import NS, Row

DAY, WEEK = 86_400.0, 604_800.0
MONDAY_NS = 1_799_020_800 * NS  # 2027-01-04, a Monday, 0:00 UTC


@dataclass(frozen=True, slots=True)
class Chain:
    """When it begins, and the pauses after each answer but the last; seconds each answer takes."""

    start: float
    pauses: tuple[float, ...]
    services: tuple[float, ...]


def _services(rng: random.Random, count: int, mean: float) -> tuple[float, ...]:
    return tuple(rng.lognormvariate(0, 0.5) * mean * 0.88 for _ in range(count))


def chat(weeks: int, seed: int) -> list[Chain]:
    """Office hours, 9 to 18 on weekdays: about 25 conversations a day of some six turns, pauses of a minute or so."""
    rng, chains = random.Random(seed), []
    for day in range(weeks * 7):
        if day % 7 >= 5:
            continue
        for _ in range(rng.randint(20, 30)):
            turns = 1 + int(rng.expovariate(1 / 5))
            start = day * DAY + 9 * 3600 + rng.random() * 9 * 3600
            pauses = tuple(rng.lognormvariate(4.0, 0.9) for _ in range(turns - 1))
            chains.append(Chain(start, pauses, _services(rng, turns, 6)))
    return chains


def agents(weeks: int, seed: int) -> list[Chain]:
    """Eight agents a day, any hour, 30 calls each with a second or two of tool time between."""
    rng, chains = random.Random(seed), []
    for day in range(weeks * 7):
        for _ in range(8):
            start = day * DAY + rng.random() * DAY
            chains.append(Chain(start, tuple(rng.expovariate(1 / 2) for _ in range(29)), _services(rng, 30, 5)))
    return chains


def cron(weeks: int, seed: int) -> list[Chain]:
    """Every hour a batch of 20, one after the other, a minute or so of jitter."""
    rng = random.Random(seed)
    return [
        Chain(hour * 3600 + rng.random() * 60, (0.1,) * 19, _services(rng, 20, 5)) for hour in range(weeks * 7 * 24)
    ]


def poisson(weeks: int, seed: int) -> list[Chain]:
    """Six independent requests an hour, day and night."""
    rng, chains, at = random.Random(seed), [], 0.0
    while (at := at + rng.expovariate(6 / 3600)) < weeks * WEEK:
        chains.append(Chain(at, (), _services(rng, 1, 6)))
    return chains


WORKLOADS: dict[str, Callable[[int, int], list[Chain]]] = {
    "office chat": chat,
    "agents": agents,
    "hourly batch": cron,
    "Poisson 6/h": poisson,
}


@dataclass(frozen=True, slots=True)
class Played:
    """What a workload did to a container."""

    up_s: float
    starts: int
    waited_s: float
    rows: list[Row]


def play(chains: list[Chain], box: Container, *, endpoint: str = "https://host", model: str = "llama-70b") -> Played:
    """Play a workload to one scale-to-zero container: what comes next waits for what came before."""
    queue = [(chain.start, number, 0) for number, chain in enumerate(chains)]
    heapq.heapify(queue)
    up = waited = 0.0
    starts, rows = 0, []
    ready = idle_from = -1e12
    while queue:
        at, number, turn = heapq.heappop(queue)
        chain = chains[number]
        if at >= idle_from + box.window_s:
            if starts:
                up += idle_from + box.window_s
            up -= at
            starts += 1
            ready = idle_from = at + box.boot_s
        begins = max(at, ready)
        end = begins + chain.services[turn]
        waited += begins - at
        idle_from = max(idle_from, end)
        rows.append(_row(f"{number}-{turn}", at, begins, end, endpoint, model))
        if turn < len(chain.pauses):
            heapq.heappush(queue, (end + chain.pauses[turn], number, turn + 1))
    return Played(up + idle_from + box.window_s if starts else 0.0, starts, waited, rows)


def _row(name: str, at: float, begins: float, end: float, endpoint: str, model: str) -> Row:  # noqa: PLR0917
    return Row(
        id=name,
        started_ns=MONDAY_NS + round(at * NS),
        total_ns=round((end - at) * NS),
        cold_ns=round((begins - at) * NS),
        first_ns=round((begins - at + 0.4) * NS),
        stream=True,
        endpoint=endpoint,
        requested_model=model,
        served_model=model,
        prompt_tokens=900,
        completion_tokens=max(1, round((end - begins) * 21)),
    )
