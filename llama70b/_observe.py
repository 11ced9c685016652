"""What is told of every model run, and to whom: the ledger's side of the client. No I/O.

No text of a prompt or an answer is told; `Run.request` is a reference, for a recorder that its user asked to keep it.

class Printer:
    def started(self, run): print(run.request_id, run.model)
    def finished(self, run, end): print(run.request_id, end.outcome, end.usage)

Client(recorder=Printer())           # or, for every client of the process: set_default_recorder(Printer())
with observing(parent_run_id="agent-7", tags=("nightly",)):
    client.chat(...)                 # run.parent_run_id == "agent-7"
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from llama70b.types import ChatRequest, Usage

RunOutcome = Literal["answered", "interrupted", "failed", "closed", "cancelled", "abandoned"]
"""How a run ended: with its answer; cut off, and what had arrived was returned; with an error; left early by its
reader (`break`, `close`); cancelled or stopped by Ctrl-C; dropped without being closed, and found by the garbage
collector or at the end of the process."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the caller's surroundings say of a run.

    Attributes:
        parent_run_id: Of the framework's run, or the agent's, that this one belongs to.
        framework: `langchain`, `llamaindex`, or "" for the core alone.
        tags: Labels to group by.
    """

    parent_run_id: str | None = None
    framework: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """A model run that begins: one `chat` or `stream`, its retries included.

    Attributes:
        request_id: The `X-Request-Id` of all its attempts.
        endpoint: Where it goes, without `/v1` and without credentials.
        model: Name asked for.
        stream: Whether the answer was asked for in pieces.
        messages: Turns of the conversation.
        tools: Tools offered.
        prompt_chars: Length of all turns' text, to estimate by when no usage comes.
        max_tokens: Most tokens to generate, None if the server decides.
        started: Seconds on the monotonic clock.
        started_at: Unix seconds, UTC.
        context: What `observing` said.
        price_per_hour: Dollars an hour that the container costs, if the endpoint says.
        request: The request itself, not shown by `repr`; a recorder may hash its text, or keep it if it was asked to.
    """

    request_id: str
    endpoint: str
    model: str
    stream: bool
    messages: int
    tools: int
    prompt_chars: int
    max_tokens: int | None
    started: float
    started_at: float
    context: RunContext
    price_per_hour: float | None
    request: ChatRequest = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended. Moments are seconds on the monotonic clock, as `Run.started`.

    Attributes:
        outcome: See `RunOutcome`.
        ended: When.
        ended_at: Unix seconds, UTC.
        sent: When the attempt that was answered, or the last one, was sent; None if none was.
        first_token: When the first piece of a stream arrived; None for whole answers, or if none came.
        model: Name the server gave, None if it gave none.
        usage: Tokens as the server counted them, None if it did not say.
        finish_reason: Of the (first) answer.
        pieces: Events of a stream that brought text or a fragment of a tool call; vLLM sends about one a token.
        answer_chars: Length of the text and of the tool calls' arguments that arrived.
        status: HTTP status of the answer or of the error.
        error: Class of the error (`RateLimited` ...), None if there was none.
        attempts: How often the request was sent.
        cold_start_s: Seconds spent waiting for the endpoint to wake.
    """

    outcome: RunOutcome
    ended: float
    ended_at: float
    sent: float | None = None
    first_token: float | None = None
    model: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    pieces: int = 0
    answer_chars: int = 0
    status: int | None = None
    error: str | None = None
    attempts: int = 0
    cold_start_s: float = 0.0


class Recorder(Protocol):
    """Is told of every run, in the caller's thread (of an abandoned one in a thread of ours): it must not block.

    What it raises is logged, once per recorder, and does not reach the caller. The one exception: a `Llama70BError`
    from `started` refuses the run (a budget that is spent): nothing is sent, the caller gets the error, and
    `finished` is not called.
    """

    def started(self, run: Run) -> None:
        """A run begins; nothing has been sent yet."""
        ...

    def finished(self, run: Run, end: RunEnd) -> None:
        """It has ended; called exactly once for every run that was started, however it ended."""
        ...


_NOTHING = RunContext()
_context: ContextVar[RunContext] = ContextVar("llama70b_run", default=_NOTHING)


def run_context() -> RunContext:
    """Return what is said of runs that begin here and now."""
    return _context.get()


@contextmanager
def observing(
    *, parent_run_id: str | None = None, framework: str | None = None, tags: Iterable[str] = ()
) -> Iterator[RunContext]:
    """Say something of all runs that begin inside the block; what is not given is inherited, tags are added.

    It is read when a run begins, so a stream may be read outside the block.
    """
    outer = _context.get()
    inner = RunContext(
        parent_run_id=outer.parent_run_id if parent_run_id is None else parent_run_id,
        framework=outer.framework if framework is None else framework,
        tags=tuple(dict.fromkeys((*outer.tags, *tags))),
    )
    token = _context.set(inner)
    try:
        yield inner
    finally:
        _context.reset(token)


_NOT_SET: Final = "not set"
_VARIABLES: Final = ("LLAMA70B_LEDGER", "LLAMA70B_BUDGET")
_default: Recorder | Literal["not set"] | None = _NOT_SET


def set_default_recorder(recorder: Recorder | None) -> None:
    """Tell `recorder` of the runs of every client that has none of its own; None: nobody, whatever the environment."""
    global _default  # noqa: PLW0603 - one per process is what it is for
    _default = recorder


def default_recorder() -> Recorder | None:
    """Return the recorder of clients that have none of their own: the one set, else what the environment asks for.

    Raises:
        ConfigurationError: `LLAMA70B_LEDGER...` or `LLAMA70B_BUDGET...` say something that cannot work.
    """
    if _default != _NOT_SET:
        return _default
    if not any(name in os.environ for name in _VARIABLES):
        return None
    from llama70b.ledger import environment_recorder  # noqa: PLC0415 - loads SQLite, for those who want it only

    return environment_recorder()
