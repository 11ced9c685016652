"""The router: remembers runs and wake-ups, asks the states, decides, and can say why without doing anything."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from llama70b.cost import Container
from llama70b.errors import EndpointUnavailable
from llama70b.routing.gap import GapModel, load
from llama70b.routing.policy import Ask, Decision, Policy, Tier, World, decide
from llama70b.routing.state import Activity, Option, StateSource

_MOST_RUNS = 10_000
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class RoutedEndpoint:
    """One of the two endpoints.

    Attributes:
        container: Price, boot, window, seconds of one answer.
        states: Tells its state without waking it.
        capacity: Requests at once before they queue.
        context_window: Its window in tokens.
    """

    container: Container
    states: StateSource
    capacity: int = 32
    context_window: int = 4096

    def option(self) -> Option:
        """Return it as a choice, now."""
        return Option(self.container, self.states.state(), self.capacity)


@dataclass(slots=True)
class _Pin:
    """What one agent run has used."""

    tier: Tier
    failed: bool = False


class Router:
    """Decides who answers. Thread-safe; does no I/O of its own.

    Args:
        strong: The 70B.
        weak: The 8B; None if there is none: then it only measures.
        policy: What the user wants; `Policy()` is shadow mode, balanced.
        model: The gap model; None for the one that ships.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        strong: RoutedEndpoint,
        weak: RoutedEndpoint | None,
        *,
        policy: Policy | None = None,
        model: GapModel | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.strong, self.weak = strong, weak
        self.policy = policy or Policy()
        self.model = model or load()
        self._clock = clock
        self._lock = threading.Lock()
        self._pins: OrderedDict[str, _Pin] = OrderedDict()
        self._wakes: deque[float] = deque()

    def route(self, ask: Ask, *, run_id: str | None = None) -> Decision:
        """Decide, and remember it for the run.

        Args:
            ask: The request.
            run_id: The agent run it belongs to: within it the tier only ever goes up, because a switch in the middle
                loses the prefix cache and changes behaviour.

        Returns:
            The decision.

        Raises:
            EndpointUnavailable: The 70B is wanted, sleeps, and the policy says `fail_fast`.
        """
        decision = self._decide(ask, run_id)
        if decision.refuse:
            raise EndpointUnavailable(
                "the 70B is asleep, and the routing policy is fail_fast",
                hint="llama70b wake, or another when_asleep: wait, answer_from_8b, answer_from_8b_and_wake",
            )
        with self._lock:
            asleep = decision.world.strong.state.phase == "asleep"
            if decision.wake or (decision.tier == "70b" and asleep):
                self._wakes.append(self._clock())
            if run_id is not None:
                pin = self._pins.setdefault(run_id, _Pin(decision.tier))
                pin.tier = decision.tier
                self._pins.move_to_end(run_id)
                while len(self._pins) > _MOST_RUNS:
                    self._pins.popitem(last=False)
        return decision

    def explain(self, ask: Ask, *, run_id: str | None = None) -> dict[str, Any]:
        """Return the record of what would be decided now; changes nothing, asks no endpoint."""
        return self._decide(ask, run_id).record(model=self.model.name)

    def failed(self, run_id: str) -> None:
        """Say that the 8B's answer in this run was unusable: the run goes to the 70B from now on."""
        with self._lock:
            if run_id in self._pins:
                self._pins[run_id].failed = True

    def forget(self, run_id: str) -> None:
        """Say that a run has ended."""
        with self._lock:
            self._pins.pop(run_id, None)

    @contextmanager
    def running(self, tier: Tier) -> Iterator[None]:
        """Tell the endpoint's own activity of a request, if that is what its state is read from.

        Whatever answers with a status has been reached, errors too.
        """
        endpoint = self.strong if tier == "70b" or self.weak is None else self.weak
        states = endpoint.states
        if not isinstance(states, Activity):
            yield
            return
        name = uuid.uuid4().hex
        states.begin(name)
        reached = False
        try:
            yield
            reached = True
        except GeneratorExit:  # a stream that was left early had been reached
            reached = True
            raise
        except BaseException as error:
            reached = getattr(error, "status", None) is not None
            raise
        finally:
            states.end(name, reached=reached)

    def _decide(self, ask: Ask, run_id: str | None) -> Decision:
        now = self._clock()
        with self._lock:
            while self._wakes and self._wakes[0] <= now - _HOUR_S:
                self._wakes.popleft()
            wakes = len(self._wakes)
            pin = self._pins.get(run_id) if run_id is not None else None
            if pin is not None:
                ask = replace(ask, pinned=pin.tier, failed_on_8b=ask.failed_on_8b or pin.failed)
        world = World(
            strong=self.strong.option(),
            weak=self.weak.option() if self.weak else None,
            weak_context=self.weak.context_window if self.weak else 0,
            wakes_last_hour=wakes,
        )
        return decide(ask, world, self.policy, self.model.judge(ask.text, ask.facts))


def watched(container: Container, *, capacity: int = 32, context_window: int = 4096) -> RoutedEndpoint:
    """Return an endpoint whose state is read off this process's own runs, which the drop-in routers report.

    Args:
        container: Price, boot, window, seconds of one answer.
        capacity: Requests at once before they queue.
        context_window: Its window in tokens.
    """
    return RoutedEndpoint(container, Activity(container), capacity, context_window)
