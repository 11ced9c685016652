"""What the ledger holds, as plain values. Money in nanodollars, times in nanoseconds, both integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llama70b._observe import RunOutcome

NS = 1_000_000_000
"""Nanoseconds in a second; also nanodollars in a dollar."""

UsageSource = Literal["server", "estimated"]
"""Who counted the tokens: the server; or nobody, and they are guessed from the text's length and the events."""

_NOT_REACHED = frozenset(
    {"AuthenticationError", "PermissionDenied", "ConnectionFailed", "ConfigurationError", "BudgetExceeded"}
)


@dataclass(frozen=True, slots=True)
class Row:
    """One model run: one question to the endpoint, retries and cold start included.

    Attributes:
        id: The call's own id; the `X-Request-Id` that was sent.
        started_ns: When the call began, UTC, since 1970. All other times are durations from there, by a clock that
            is never set.
        total_ns: Until it ended.
        endpoint: The URL without `/v1`.
        requested_model: The name asked for.
        outcome: How it ended, see `llama70b._observe.RunOutcome`.
        cold_ns: Of `total_ns`, spent waiting for the endpoint to wake.
        first_ns: Until the first piece of a stream; None for whole answers, or if none came.
        served_model: The name the server answered under.
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        cached_tokens: Prompt tokens from the prefix cache.
        reasoning_tokens: Written tokens that were thoughts.
        usage_source: Who counted them.
        stream: Whether the answer was streamed.
        status: HTTP status.
        error: Class of a failure; never its text, which may quote the prompt.
        finish_reason: Why the answer ended.
        attempts: How often the prompt was sent.
        concurrency: Runs of this process in flight when it began, itself included.
        messages: Turns of the conversation.
        tools: Tools offered.
        prompt_chars: Length of all turns' text.
        answer_chars: Length of what arrived.
        max_tokens: Most tokens asked for.
        framework: `langchain`, `llamaindex`, or "" for the core alone.
        container: The server's own name for the container, if it sends one.
        boot_ns: When that container began, UTC, if it says.
        price_nano_per_s: Nanodollars a second of the container cost, as known then.
        cost_nano: Estimate for this run alone, in nanodollars: its boot and busy seconds, without the idle tail.
        parent_run_id: The framework's id of the run around it.
        session: Whatever the caller groups by.
        user: Whoever it was for.
        tags: Free words.
        routing: A router's record, as JSON text.
        feedback: The user's judgement, -1 to 1.
        prompt_hash: Salted hash of the conversation, to see repetitions; the salt never leaves the ledger.
        prompt: The conversation as JSON, only if texts were asked for.
    """

    id: str
    started_ns: int
    total_ns: int
    endpoint: str
    requested_model: str
    outcome: RunOutcome = "answered"
    cold_ns: int = 0
    first_ns: int | None = None
    served_model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_source: UsageSource = "server"
    stream: bool = False
    status: int | None = None
    error: str | None = None
    finish_reason: str | None = None
    attempts: int = 1
    concurrency: int = 1
    messages: int = 0
    tools: int = 0
    prompt_chars: int = 0
    answer_chars: int = 0
    max_tokens: int | None = None
    framework: str = ""
    container: str | None = None
    boot_ns: int | None = None
    price_nano_per_s: int | None = None
    cost_nano: int | None = None
    parent_run_id: str | None = None
    session: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    routing: str | None = None
    feedback: float | None = None
    prompt_hash: str | None = None
    prompt: str | None = None

    @property
    def ended_ns(self) -> int:
        """When it ended, UTC."""
        return self.started_ns + self.total_ns

    @property
    def sent_ns(self) -> int:
        """When the container began to work on it, UTC: the start, after the wait for a cold start."""
        return self.started_ns + min(self.cold_ns, self.total_ns)

    @property
    def cold(self) -> bool:
        """Whether it waited for a cold start."""
        return self.cold_ns > 0

    @property
    def reached(self) -> bool:
        """Whether it can have kept a container up: refusals at the door and lines that never stood cannot."""
        return self.cold or (self.attempts > 0 and self.error not in _NOT_REACHED)


@dataclass(frozen=True, slots=True)
class Interval:
    """A time one container was up, and billed.

    Attributes:
        endpoint: The base URL.
        from_ns: From when, UTC.
        to_ns: Until when, UTC.
        source: `estimated` from runs, or `modal`.
    """

    endpoint: str
    from_ns: int
    to_ns: int
    source: Literal["estimated", "modal"] = "estimated"


@dataclass(frozen=True, slots=True)
class Bill:
    """What the platform charged for one interval.

    Attributes:
        from_ns: From when, UTC.
        to_ns: Until when, UTC.
        app: The deployed application's name.
        resource: `gpu`, `cpu`, `memory`, or `all`.
        nanodollars: The charge.
    """

    from_ns: int
    to_ns: int
    app: str
    resource: str
    nanodollars: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What a router decided, kept also when the call failed.

    Attributes:
        at_ns: When, UTC.
        record: The routing record; plain JSON values.
        run_id: The run it led to, if it is known.
    """

    at_ns: int
    record: Mapping[str, Any]
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Drops:
    """Rows that were not written: the queue was full, or the disk refused.

    Attributes:
        at_ns: When that was noticed, UTC.
        pid: In which process.
        count: How many.
        why: `queue full`, or SQLite's words.
    """

    at_ns: int
    pid: int
    count: int
    why: str
