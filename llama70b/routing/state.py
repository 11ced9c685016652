"""What is known of an endpoint without asking it: any request to a sleeping one wakes it, and costs its boot.

States come from what this process has seen (`Activity`), from the ledger, from the gateway's `/status` or
from Modal's control plane; never from a probe of the endpoint's own URL.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from llama70b.cost import Container

Phase = Literal["awake", "warming", "asleep"]

_MEMORY_S = 1800.0
"""Half an hour: how far back the rate of requests looks, weighted exponentially."""


@dataclass(frozen=True, slots=True)
class EndpointState:
    """One endpoint, now.

    Attributes:
        phase: Awake, warming or asleep.
        idle_s: Seconds since its last work ended; 0 while it works. Means nothing unless awake.
        ready_in_s: Seconds until it is ready; 0 when awake, the whole boot when asleep.
        in_flight: Requests in work.
        rate: Requests a second it gets, lately.
        source: Who says so: `activity`, `ledger`, `gateway`, `modal`.
    """

    phase: Phase
    idle_s: float = 0.0
    ready_in_s: float = 0.0
    in_flight: int = 0
    rate: float = 0.0
    source: str = "activity"


class StateSource(Protocol):
    """Tells an endpoint's state without waking it."""

    def state(self) -> EndpointState:
        """Return the state now; cheap, called for every decision."""
        ...


@dataclass(frozen=True, slots=True)
class Option:
    """One of the two endpoints, as a choice.

    Attributes:
        container: Its price, boot, window and seconds of one answer.
        state: What it does now.
        capacity: Requests at once before they queue.
    """

    container: Container
    state: EndpointState
    capacity: int = 32

    @property
    def wait_s(self) -> float:
        """Expected seconds until the answer is there: waking, queueing, generating."""
        service = self.container.service_s
        queued = max(0, self.state.in_flight + 1 - self.capacity) / self.capacity
        return self.state.ready_in_s + service * (1 + queued)

    @property
    def marginal_dollars(self) -> float:
        """What one more request adds to the bill, first order (notes/routing_usage 4).

        Awake and idle for x: C (e^(-l(w-x)) - e^(-l(w+s))) / l, which is C (s + x) when it is quiet and nothing when
        it is busy; saturated: C s / capacity; warming: C s; asleep: C (B + (1 - e^(-l(w+s))) / l).
        """
        c, rate = self.container, self.state.rate
        tail = c.window_s + c.service_s
        match self.state.phase:
            case "awake" if self.state.in_flight >= self.capacity:
                seconds = c.service_s / self.capacity
            case "awake":
                left = max(0.0, c.window_s - self.state.idle_s)
                seconds = _held(rate, tail) - _held(rate, left)
            case "warming":
                seconds = c.service_s
            case "asleep":
                seconds = c.boot_s + _held(rate, tail)
        return c.dollars_per_second * seconds


def _held(rate: float, seconds: float) -> float:
    """Expected seconds until the next request, at most so many: (1 - e^(-l t)) / l, t where the rate is nil."""
    return seconds if rate * seconds < 1e-12 else -math.expm1(-rate * seconds) / rate  # noqa: PLR2004 - nil


@dataclass
class Activity:
    """What this process has seen of one endpoint, as a source of its state.

    Other clients are not seen: with several of them let the gateway or the ledger they share tell.

    Attributes:
        container: Boot and window to reckon with.
        clock: Monotonic seconds.
    """

    container: Container
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _open: dict[str, float] = field(default_factory=dict, repr=False)
    _last_end: float | None = field(default=None, repr=False)
    _waking_since: float | None = field(default=None, repr=False)
    _weight: float = field(default=0.0, repr=False)
    _weighed_at: float | None = field(default=None, repr=False)

    def begin(self, run_id: str) -> None:
        """Note a request on its way."""
        now = self.clock()
        with self._lock:
            if self._phase(now) == "asleep":
                self._waking_since = now
            self._open[run_id] = now
            self._weight = self._decayed(now) + 1
            self._weighed_at = now

    def end(self, run_id: str, *, reached: bool) -> None:
        """Note that a request has ended; `reached` says that the engine answered, so it is awake."""
        now = self.clock()
        with self._lock:
            self._open.pop(run_id, None)
            if reached:
                self._last_end, self._waking_since = now, None
            elif not self._open:
                self._waking_since = None

    def state(self) -> EndpointState:
        """Return the state as this process knows it."""
        now = self.clock()
        with self._lock:
            phase = self._phase(now)
            rate = self._decayed(now) / _MEMORY_S
            working = len(self._open)
            state = EndpointState(phase, in_flight=working, rate=rate)
            match phase:
                case "awake":
                    idle = 0.0 if working or self._last_end is None else now - self._last_end
                    return replace(state, idle_s=idle)
                case "warming":
                    assert self._waking_since is not None
                    return replace(state, ready_in_s=max(0.0, self.container.boot_s - (now - self._waking_since)))
                case "asleep":
                    return replace(state, ready_in_s=self.container.boot_s)

    def _phase(self, now: float) -> Phase:
        if self._waking_since is not None:
            return "warming"
        if self._last_end is None:
            return "asleep"
        return "awake" if self._open or now - self._last_end < self.container.window_s else "asleep"

    def _decayed(self, now: float) -> float:
        if self._weighed_at is None:
            return 0.0
        return self._weight * math.exp(-(now - self._weighed_at) / _MEMORY_S)
