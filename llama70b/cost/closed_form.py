"""What one scale-to-zero container costs in the long run: the closed form, and a simulation that it must agree with.

The model: requests arrive at random (Poisson, `rate` a second); each is served in `service_s`, any number at once; a
container that sleeps boots for `boot_s` first; one that has had nothing to do for `window_s` goes to sleep; every
second from the boot's first to the last of the window is billed. Source of the formulas: renewal argument over
awake cycles, notes/routing_usage 3.2.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llama70b.errors import ConfigurationError

_HOUR_S = 3600.0
_DAY_S = 86_400.0
_MOST_EXPONENT = 700.0  # e^709 is the largest that a double holds


@dataclass(frozen=True, slots=True)
class Container:
    """One scale-to-zero container.

    Attributes:
        dollars_per_hour: While it is up.
        boot_s: Seconds of a cold start, billed.
        window_s: Seconds without work until it sleeps, billed.
        service_s: Seconds one answer takes.
    """

    dollars_per_hour: float
    boot_s: float
    window_s: float
    service_s: float

    def __post_init__(self) -> None:
        for name in ("dollars_per_hour", "boot_s", "window_s", "service_s"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigurationError(f"{name} is {value!r}: give a finite number, 0 or more")

    @property
    def dollars_per_second(self) -> float:
        """Dollars a second while it is up."""
        return self.dollars_per_hour / _HOUR_S


@dataclass(frozen=True, slots=True)
class Economics:
    """What a container does and costs at a rate of requests.

    Attributes:
        rate: Requests a second.
        dollars_per_request: Money for one request, boot and idle included.
        dollars_per_day: Money for a day.
        duty: Share of the time it is up.
        waiting_share: Share of requests that wait for a cold start.
        starts_per_request: Cold starts per request.
        mean_wait_s: Seconds of waiting for a cold start, mean over all requests.
    """

    rate: float
    dollars_per_request: float
    dollars_per_day: float
    duty: float
    waiting_share: float
    starts_per_request: float
    mean_wait_s: float


def steady_state(container: Container, rate: float) -> Economics:
    """Return the closed form: U = B + (e^(lt) - 1)/l, T = U + 1/l, N = lT = lB + e^(lt), with t = window + service.

    Args:
        container: What is rented.
        rate: Requests a second, 0 or more. At 0, what one lone request costs, and nothing a day.

    Raises:
        ConfigurationError: The rate is negative or not finite.
    """
    if not 0 <= rate < math.inf:
        raise ConfigurationError(f"the rate is {rate!r}: give requests a second, 0 or more")
    boot, tau, price = container.boot_s, container.window_s + container.service_s, container.dollars_per_second
    if rate == 0:
        return Economics(0.0, price * (boot + tau), 0.0, 0.0, 1.0, 1.0, boot)
    exponent = rate * tau
    if exponent > _MOST_EXPONENT:  # it never sleeps
        return Economics(rate, price / rate, price * _DAY_S, 1.0, 0.0, 0.0, 0.0)
    up = boot + math.expm1(exponent) / rate
    requests = rate * boot + math.exp(exponent)
    duty = up / (up + 1 / rate)
    # The first of a cycle waits for the whole boot; those that come during it, for half of it on average.
    waited = boot + rate * boot * boot / 2
    return Economics(
        rate=rate,
        dollars_per_request=price * up / requests,
        dollars_per_day=price * duty * _DAY_S,
        duty=duty,
        waiting_share=(1 + rate * boot) / requests,
        starts_per_request=1 / requests,
        mean_wait_s=waited / requests,
    )


@dataclass(slots=True)
class Replay:
    """What happened when arrivals were played to a container.

    Attributes:
        requests: How many.
        starts: Cold starts.
        waiting: Requests that waited for one.
        waited_s: Seconds they waited, together.
        up_s: Seconds the container was up.
        boot_s: Of these, booting.
        busy_s: Of these, with at least one request in work.
        span_s: From the first arrival to the end of the last up-time.
    """

    requests: int = 0
    starts: int = 0
    waiting: int = 0
    waited_s: float = 0.0
    up_s: float = 0.0
    boot_s: float = 0.0
    busy_s: float = 0.0
    span_s: float = 0.0

    @property
    def idle_s(self) -> float:
        """Seconds up without work."""
        return self.up_s - self.boot_s - self.busy_s

    def cost(self, container: Container) -> float:
        """Dollars for the time it was up."""
        return self.up_s * container.dollars_per_second


def replay(container: Container, arrivals: Iterable[float], services: Iterable[float] | None = None) -> Replay:
    """Play arrivals to a container, event by event.

    Args:
        container: What is rented.
        arrivals: Seconds, ascending.
        services: Seconds every answer takes, instead of the container's `service_s`; as long as `arrivals`.
    """
    seen = Replay()
    each = _repeat(container.service_s) if services is None else iter(services)
    ready = idle_from = -math.inf  # when the present up-time's boot ended; when its last answer ends
    first: float | None = None
    for at in arrivals:
        service = next(each)
        first = at if first is None else first
        seen.requests += 1
        if at >= idle_from + container.window_s:  # asleep
            if seen.starts:
                seen.up_s += idle_from + container.window_s
            seen.up_s -= at
            seen.starts += 1
            seen.boot_s += container.boot_s
            ready = at + container.boot_s
            idle_from = ready
        begins = max(at, ready)
        if begins > at:
            seen.waiting += 1
            seen.waited_s += begins - at
        seen.busy_s += max(0.0, begins + service - max(begins, idle_from))
        idle_from = max(idle_from, begins + service)
    if first is not None:
        seen.up_s += idle_from + container.window_s
        seen.span_s = idle_from + container.window_s - first
    return seen


def _repeat(value: float) -> Iterator[float]:
    while True:
        yield value


def poisson(rate: float, count: int, rng: random.Random) -> Iterator[float]:
    """Yield the seconds of so many arrivals at random, `rate` a second."""
    at = 0.0
    for _ in range(count):
        at += rng.expovariate(rate)
        yield at


def simulated(container: Container, rate: float, *, requests: int, seed: int) -> Economics:
    """Return the same figures as `steady_state`, measured on arrivals drawn at random.

    Args:
        container: What is rented.
        rate: Requests a second, above 0.
        requests: How many to draw.
        seed: Of the generator.
    """
    # Money is counted to the last arrival's cycle and the time to the next arrival after it: whole cycles only.
    seen = replay(container, poisson(rate, requests, random.Random(seed)))  # noqa: S311 - a simulation
    span = seen.span_s + 1 / rate
    return Economics(
        rate=rate,
        dollars_per_request=seen.cost(container) / seen.requests,
        dollars_per_day=seen.cost(container) / span * _DAY_S,
        duty=seen.up_s / span,
        waiting_share=seen.waiting / seen.requests,
        starts_per_request=seen.starts / seen.requests,
        mean_wait_s=seen.waited_s / seen.requests,
    )


def sibling_saving(large: Container, small: Container, rate: float, share: float) -> float:
    """Return dollars a day that a separately billed small model saves when it takes a share of the requests.

    Saving(p) = Cost70(l) - Cost70((1 - p) l) - Cost8(p l), notes/routing_usage 3.3. Negative: it costs more than it
    saves, because it adds an idle tail of its own while the large one stays awake anyway.

    Args:
        large: The 70B's container.
        small: The 8B's.
        rate: Requests a second, all together.
        share: Of them, what the small one takes, 0 to 1.
    """

    def day(container: Container, at: float) -> float:
        return steady_state(container, at).dollars_per_day

    return day(large, rate) - day(large, (1 - share) * rate) - day(small, share * rate)


def sibling_break_even(large: Container, small: Container, share: float) -> float:
    """Return the requests a second above which the small model no longer saves, by bisection; 0 if it never does."""
    low, high = 1e-6, 10.0
    if sibling_saving(large, small, low, share) <= 0:
        return 0.0
    for _ in range(80):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if sibling_saving(large, small, middle, share) > 0 else (low, middle)
    return low
