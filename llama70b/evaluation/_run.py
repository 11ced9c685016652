"""Ask every item of every arm at every endpoint, a few at a time, and write each answer down at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from llama70b.endpoint import Endpoint
from llama70b.errors import Llama70BError
from llama70b.evaluation._arms import ARMS, Answerer, open_arm
from llama70b.evaluation._items import Item
from llama70b.evaluation._journal import NO_ENDPOINT, Journal, Record
from llama70b.evaluation._settings import Settings

_MOST_ERRORS = 5


class EvaluationStopped(Llama70BError):
    """Too many questions in a row ended in an error; what was answered is kept."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One arm at one endpoint.

    Attributes:
        arm: The arm.
        endpoint_name: Name of the endpoint, or "-".
        endpoint: The endpoint, None for arms that need none.
        items: What is still to be asked.
    """

    arm: str
    endpoint_name: str
    endpoint: Endpoint | None
    items: tuple[Item, ...]


def plan(
    items: Sequence[Item],
    arms: Sequence[str],
    endpoints: Mapping[str, Endpoint],
    journal: Journal,
    limits: Mapping[str, int] | None = None,
) -> list[Lane]:
    """Return what is still to be asked, an arm at an endpoint at a time.

    Args:
        items: All items.
        arms: The arms, in their order.
        endpoints: By name.
        journal: What has been answered.
        limits: Ask an arm only so many of the items, the first ones.
    """
    lanes = []
    for arm in arms:
        wanted = items[: (limits or {}).get(arm, len(items))]
        places: list[tuple[str, Endpoint | None]] = [(NO_ENDPOINT, None)]
        if ARMS[arm].needs_model:
            places = list(endpoints.items()) or places
        for name, endpoint in places:
            left = tuple(item for item in wanted if not journal.answered((item.id, arm, name)))
            lanes.append(Lane(arm, name, endpoint, left))
    return lanes


async def run(
    lanes: Sequence[Lane],
    settings: Settings,
    journal: Journal,
    *,
    agents: Mapping[str, str],
    concurrency: int = 4,
    on_record: Callable[[Record], None] = lambda _: None,
) -> None:
    """Ask what is left. Endpoints work side by side; at one endpoint the arms follow each other.

    Args:
        lanes: From `plan`.
        settings: The run's.
        journal: Where answers go.
        agents: Module of each agent arm, see `open_arm`.
        concurrency: Questions at once at one endpoint.
        on_record: Told of every answer.

    Raises:
        EvaluationStopped: Five questions in a row ended in an error.
        Llama70BError: An arm could not be opened.
    """
    by_endpoint: dict[str, list[Lane]] = {}
    for lane in lanes:
        if lane.items:
            by_endpoint.setdefault(lane.endpoint_name, []).append(lane)
    workers = [_Worker(settings, journal, agents, concurrency, on_record).work(own) for own in by_endpoint.values()]
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


class _Worker:
    """Works the arms of one endpoint off."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        agents: Mapping[str, str],
        concurrency: int,
        on_record: Callable[[Record], None],
    ) -> None:
        self._settings, self._journal, self._agents = settings, journal, agents
        self._concurrency, self._on_record = concurrency, on_record
        self._errors = 0

    async def work(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            async with open_arm(lane.arm, lane.endpoint, self._settings, self._agents) as answer:
                left = iter(lane.items)
                pullers = [self._pull(left, lane, answer) for _ in range(min(self._concurrency, len(lane.items)))]
                try:
                    async with asyncio.TaskGroup() as group:
                        for puller in pullers:
                            group.create_task(puller)
                except ExceptionGroup as errors:
                    raise errors.exceptions[0] from None

    async def _pull(self, left: Iterator[Item], lane: Lane, answer: Answerer) -> None:
        # All pullers share one iterator: each takes the next item when its last one is answered.
        for item in left:
            record = await _recorded(item, lane, answer)
            self._journal.add(record)
            self._on_record(record)
            self._errors = self._errors + 1 if record.error else 0
            if self._errors >= _MOST_ERRORS:
                raise EvaluationStopped(
                    f"{_MOST_ERRORS} questions in a row failed ({lane.arm} at {lane.endpoint_name}); the last one: "
                    f"{record.error}",
                    hint="what was answered is kept: start again with the same options to go on",
                )


async def _recorded(item: Item, lane: Lane, answer: Answerer) -> Record:
    started, clock = time.time(), time.perf_counter()
    outcome = error = None
    try:
        outcome = await answer(item)
    except Exception as caught:  # noqa: BLE001 - whatever a framework raises is this row's result, told in the report
        error = f"{type(caught).__name__}: {caught}"
    return Record(item.id, lane.arm, lane.endpoint_name, outcome, error, started, time.perf_counter() - clock)
