"""Policies compared on seeded traffic: dollars, accuracy, waiting. The policy under test is the one that routes.

Both containers are simulated event by event (`llama70b.cost.replay`); what the router knows of them comes from the same
`Activity` that watches real runs, on a simulated clock. Prompts are drawn with a true gap and a score that sees it
through noise, so that a router of a given quality (AUC) is simulated, not an oracle.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from llama70b.cost import Container, replay
from llama70b.errors import ConfigurationError
from llama70b.routing.gap import Gap
from llama70b.routing.policy import Ask, Policy, Tier, World, decide
from llama70b.routing.state import Activity, Option

_DAY_S = 86_400.0
_HOUR_S = 3600.0

Workload = Literal["poisson", "office", "agents", "cron"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One simulated request.

    Attributes:
        at: Seconds.
        right_70b: Whether the 70B would be right.
        right_8b: Whether the 8B would be.
        gap: What the router believes of the gap.
    """

    at: float
    right_70b: bool
    right_8b: bool
    gap: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is asked, and how well it can be told apart.

    Attributes:
        accuracy_70b: Share of prompts the 70B gets right.
        accuracy_8b: Share the 8B gets right.
        auc: How well the score tells prompts where only the 70B is right from the others; .5 is chance.
    """

    accuracy_70b: float = 0.800
    accuracy_8b: float = 0.647
    auc: float = 0.63

    def __post_init__(self) -> None:
        if not (0 <= self.accuracy_8b <= self.accuracy_70b <= 1 and 0.5 <= self.auc < 1):  # noqa: PLR2004
            raise ConfigurationError("a workload needs 0 <= accuracy_8b <= accuracy_70b <= 1 and .5 <= auc < 1")

    def prompts(self, arrivals: Iterable[float], rng: random.Random) -> Iterator[Prompt]:
        """Draw what is asked at each arrival.

        The score is normal, shifted by d where only the 70B is right: AUC = Phi(d / sqrt 2). What the router believes
        is the probability of that, by Bayes' rule: a calibrated gap.
        """
        helped = self.accuracy_70b - self.accuracy_8b
        shift = math.sqrt(2) * _normal_quantile(self.auc)
        for at in arrivals:
            needs = rng.random() < helped
            both = not needs and rng.random() < self.accuracy_8b / (1 - helped)
            score = rng.gauss(shift if needs else 0.0, 1.0)
            odds = helped / (1 - helped) * math.exp(shift * score - shift * shift / 2)
            yield Prompt(at, needs or both, both, odds / (1 + odds))


@dataclass(slots=True)
class Outcome:
    """What a policy came to.

    Attributes:
        name: Of the policy.
        dollars_per_day: Both containers.
        accuracy: Share of right answers.
        mean_wait_s: Seconds of waiting for a boot, mean over all.
        share_70b: Of the requests.
        wakes: Cold starts of the 70B a day.
    """

    name: str
    dollars_per_day: float
    accuracy: float
    mean_wait_s: float
    share_70b: float
    wakes: float


@dataclass(slots=True)
class _Site:
    """One container of the simulation: its clock, its queue of ends, its arrivals."""

    container: Container
    now: list[float]
    activity: Activity = field(init=False)
    arrivals: list[float] = field(default_factory=list)
    ends: list[tuple[float, int]] = field(default_factory=list)
    ready: float = -math.inf
    until: float = -math.inf

    def __post_init__(self) -> None:
        self.activity = Activity(self.container, clock=lambda: self.now[0])

    def advance(self, to: float) -> None:
        while self.ends and self.ends[0][0] <= to:
            self.now[0], number = heapq.heappop(self.ends)
            self.activity.end(str(number), reached=True)
        self.now[0] = to

    def send(self, at: float, number: int) -> float:
        """A request arrives; the seconds it waits for the boot."""
        self.arrivals.append(at)
        self.activity.begin(str(number))
        if at >= self.until + self.container.window_s:
            self.ready = at + self.container.boot_s
        begins = max(at, self.ready)
        end = begins + self.container.service_s
        self.until = max(self.until, end)
        heapq.heappush(self.ends, (end, number))
        return begins - at


Chooser = Callable[[Prompt, World], Tier]


def run(name: str, prompts: Sequence[Prompt], strong: Container, weak: Container, choose: Chooser) -> Outcome:
    """Play prompts to a policy.

    Args:
        name: Of the policy.
        prompts: In the order of their arrival.
        strong: The 70B's container.
        weak: The 8B's.
        choose: The policy.
    """
    if not prompts:
        raise ConfigurationError("there is nothing to simulate: no request arrives")
    now = [prompts[0].at]
    sites: dict[Tier, _Site] = {"70b": _Site(strong, now), "8b": _Site(weak, now)}
    wakes: list[float] = []
    waited, right = 0.0, 0
    for number, prompt in enumerate(prompts):
        for site in sites.values():
            site.advance(prompt.at)
        world = World(
            Option(strong, sites["70b"].activity.state()),
            Option(weak, sites["8b"].activity.state()),
            wakes_last_hour=sum(1 for at in wakes if at > prompt.at - _HOUR_S),
        )
        tier = choose(prompt, world)
        if tier == "70b" and world.strong.state.phase == "asleep":
            wakes.append(prompt.at)
        waited += sites[tier].send(prompt.at, number)
        right += prompt.right_70b if tier == "70b" else prompt.right_8b
    span = (prompts[-1].at - prompts[0].at) * (1 + 1 / len(prompts)) or 1.0
    cost = sum(replay(site.container, site.arrivals).cost(site.container) for site in sites.values())
    return Outcome(
        name,
        cost / span * _DAY_S,
        right / len(prompts),
        waited / len(prompts),
        len(sites["70b"].arrivals) / len(prompts),
        len(wakes) / span * _DAY_S,
    )


def always(tier: Tier) -> Chooser:
    """Return the policy that always takes one of the two."""
    return lambda _prompt, _world: tier


def blind(prompts: Sequence[Prompt], share: float) -> Chooser:
    """Return the policy that gives the 70B the top share by score, whatever the endpoints do."""
    ordered = sorted((prompt.gap for prompt in prompts), reverse=True)
    threshold = ordered[min(len(ordered) - 1, int(share * len(ordered)))] if share > 0 else math.inf
    return lambda prompt, _world: "70b" if prompt.gap > threshold else "8b"


def aware(policy: Policy) -> Chooser:
    """Return the router's own policy."""
    if policy.mode != "on":
        raise ConfigurationError(f"a policy in mode {policy.mode!r} always takes the 70B: simulate it with mode='on'")

    def choose(prompt: Prompt, world: World) -> Tier:
        gap = Gap(strong=prompt.gap, weak=0.0, abstained=False)
        return decide(Ask("x"), world, policy, gap).tier

    return choose


def arrivals(kind: Workload, per_hour: float, days: float, rng: random.Random) -> list[float]:
    """Return the seconds at which requests arrive.

    Args:
        kind: `poisson`: at random; `office`: sessions of a few questions in working hours; `agents`: bursts of thirty
            calls; `cron`: twenty at every full hour.
        per_hour: Requests an hour, mean over all hours (not for `cron`).
        days: How long.
        rng: The generator.
    """
    span = days * _DAY_S
    if kind == "cron":
        hours = range(int(days * 24))
        return [h * _HOUR_S + 0.5 * i for h in hours for i in range(20)]
    size, pause = {"poisson": (1, 0.0), "office": (5, 45.0), "agents": (30, 4.0)}[kind]
    found: list[float] = []
    at = 0.0
    while True:
        at += rng.expovariate(per_hour / size / _HOUR_S)
        if at > span:
            break
        begin = _working_hour(at) if kind == "office" else at
        gaps = itertools.accumulate((rng.expovariate(1 / pause) for _ in range(size - 1)), initial=0.0)
        found.extend(begin + gap for gap in gaps)
    return sorted(found)


def _working_hour(at: float) -> float:
    """Move a moment into 9 to 18 o'clock of its day: the day's requests come in nine hours."""
    day, within = divmod(at, _DAY_S)
    return day * _DAY_S + 9 * _HOUR_S + within * 9 / 24


def _normal_quantile(p: float) -> float:
    """Inverse of the standard normal distribution, by bisection on math.erf."""
    low, high = -8.0, 8.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 + math.erf(middle / math.sqrt(2))) / 2 < p else (low, middle)
    return low
