"""Drives a flow without sockets and without time: scripted outcomes in, the operations it asked for out."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings

from llama70b._coldstart import Waking
from llama70b._flow import CallFlow
from llama70b._ops import Context, Failure, FailureKind, Flow, Notify, Op, Outcome, Reply, Send, Sleep, Wake
from llama70b._retry import RetryBudget
from llama70b._wake import wake_flow
from llama70b.endpoint import Endpoint, Timeouts
from llama70b.errors import Llama70BError
from llama70b.types import ColdStartProgress

few = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
"""For properties on a shared, loaded machine: bounded, and never failing for being slow."""

URL = "https://llm.example/v1"
CHAT_URL = URL + "/chat/completions"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 7}
_MOST_STEPS = 20_000
T = TypeVar("T")


@dataclass
class World:
    """Everything a flow may know, made of plain values.

    Attributes:
        script: What happens to each Send, in order, with the seconds it takes; the last one is repeated.
        time: The monotonic clock; Sends and Sleeps move it on.
        did: Every Send and Sleep, in order; while waking too.
        told: Progress, in order.
        wakes: Seconds each Wake returned.
    """

    endpoint: Endpoint = field(default_factory=lambda: Endpoint(URL, api_key="key-of-tests"))
    timeouts: Timeouts = field(default_factory=lambda: Timeouts(total=60.0, cold_start=120.0))
    max_retries: int = 2
    budget: RetryBudget = field(default_factory=RetryBudget)
    dice: float = 0.5
    time: float = 1000.0
    script: Iterator[tuple[Outcome, float]] = field(default_factory=lambda: iter(()))
    did: list[Send | Sleep] = field(default_factory=list)
    told: list[ColdStartProgress] = field(default_factory=list)
    wakes: list[float] = field(default_factory=list)

    @property
    def context(self) -> Context:
        """The same as a flow sees it."""
        return Context(
            endpoint=self.endpoint,
            timeouts=self.timeouts,
            max_retries=self.max_retries,
            budget=self.budget,
            now=lambda: self.time,
            wall=lambda: 1_800_000_000.0 + self.time,
            dice=lambda: self.dice,
            request_id="req-1",
        )

    @property
    def sends(self) -> list[Send]:
        """Every exchange asked for."""
        return [op for op in self.did if isinstance(op, Send)]

    @property
    def sleeps(self) -> list[float]:
        """Every pause asked for, in seconds."""
        return [op.seconds for op in self.did if isinstance(op, Sleep)]

    @property
    def paths(self) -> list[str]:
        """`POST /v1/chat/completions` and so on, in order."""
        return [f"{op.method} {op.url.removeprefix('https://llm.example')}" for op in self.sends]

    @property
    def states(self) -> list[str]:
        """States of the progress told."""
        return [progress.state for progress in self.told]

    def play(self, *outcomes: Outcome | tuple[Outcome, float]) -> World:
        """Script the outcomes of the Sends to come, each with its seconds (0.01 unless given)."""
        self.script = _repeating_last([item if isinstance(item, tuple) else (item, 0.01) for item in outcomes])
        return self

    def call_flow(self, body: dict[str, Any] | None = None, *, stream: bool = False, get: bool = False) -> CallFlow:
        """Return the flow of a chat, or of a GET of the models."""
        if get:
            return CallFlow(self.context, method="GET", url=URL + "/models", body=None, stream=False)
        return CallFlow(self.context, method="POST", url=CHAT_URL, body=body or dict(CHAT), stream=stream)

    def chat(self, body: dict[str, Any] | None = None, *, stream: bool = False, get: bool = False) -> Reply:
        """Run a call to its end."""
        return self.run(self.call_flow(body, stream=stream, get=get).run())

    def wake(self, *, deadline: float | None = None, want_model: bool = False) -> float:
        """Run a wake-up to its end; return the seconds it says it waited."""
        waking = Waking(self.time, estimate_s=None, poll_s=self.timeouts.poll)
        deadline = self.time + self.timeouts.cold_start if deadline is None else deadline
        return self.run(wake_flow(self.context, deadline=deadline, waking=waking, want_model=want_model))

    def run(self, flow: Generator[Op, Outcome, T]) -> T:
        """Carry out what a flow asks for, as the clients' drivers do, until it returns or raises."""
        outcome: Outcome = None
        for _ in range(_MOST_STEPS):
            try:
                op = flow.send(outcome)
            except StopIteration as end:
                value: T = end.value
                return value
            outcome = self._carry_out(op)
        raise AssertionError("the flow does not end")

    def watch(self, flow: Flow) -> Iterator[tuple[Outcome, Op]]:
        """Carry out a call's flow, whatever its end; yield each outcome with the operation it was answered by.

        An operation is carried out when the next pair is asked for. The looks of a Wake are carried out inside it.
        """
        outcome: Outcome = None
        try:
            while True:
                op = flow.send(outcome)
                yield outcome, op
                outcome = self._carry_out(op)
        except (StopIteration, Llama70BError):
            return

    def _carry_out(self, op: Op) -> Outcome:
        match op:
            case Send():
                self.did.append(op)
                outcome, seconds = next(self.script)
                self.time += min(seconds, op.limit)
                return outcome
            case Sleep():
                self.did.append(op)
                self.time += op.seconds
                return None
            case Notify():
                self.told.append(op.progress)
                return None
            case Wake():
                self.wakes.append(self.wake(deadline=op.deadline))
                return self.wakes[-1]


def _repeating_last(items: list[tuple[Outcome, float]]) -> Iterator[tuple[Outcome, float]]:
    yield from items
    while True:
        yield items[-1]


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    """`reply(503, retry_after="2")`."""
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def held(location: str) -> Reply:
    """A 303, as Modal sends after 150 s."""
    return reply(303, location=location)


def failure(kind: FailureKind) -> Failure:
    """No answer, for this reason."""
    return Failure(kind, "what the HTTP library said", OSError("cause"))


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """Return `data` cut at these places."""
    places = sorted({place % (len(data) + 1) for place in at} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]
