"""The operations a flow yields, what comes back for them, and what a flow knows of the world. No I/O.

Send    one HTTP exchange              -> Reply | Failure
Sleep   a pause                        -> None
Notify  progress of a cold start       -> None
Wake    wait until the endpoint serves -> seconds waited (0.0: it was serving at the first look)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

from llama70b._retry import RetryBudget
from llama70b.endpoint import Endpoint, Timeouts, origin_of
from llama70b.errors import (
    ColdStartTimeout,
    ConfigurationError,
    ConnectionFailed,
    Llama70BError,
    ProtocolError,
    RedirectRefused,
    RequestTimeout,
    ResponseTooLarge,
)
from llama70b.types import ColdStartProgress

OK = 200
SEE_OTHER = 303
NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405
INTERNAL_ERROR = 500

FailureKind = Literal[
    "connect",  # refused, unreachable, no such host
    "connect_timeout",
    "tls",
    "pool_timeout",
    "no_answer",  # the connection broke before any byte of the answer
    "stale",  # the same on a reused connection that the server had closed meanwhile
    "timeout",  # no answer, or a stalled one, within the limit
    "broken",  # the connection broke inside the answer
    "protocol",  # not HTTP as we can read it
    "too_large",
    "unsendable",
]


@dataclass(frozen=True, slots=True)
class Send:
    """One HTTP exchange.

    Attributes:
        method: GET or POST.
        url: Absolute, at the endpoint's origin.
        body: JSON to send, encoded.
        stream: Hand over the open answer of a 200 instead of reading it.
        limit: Most seconds for the answer to begin (streams, polls) or to be read (others).
        limit_name: What that limit is called, for the error text.
        within: Most seconds until then with the wait for a free connection, None for the same as `limit`.
    """

    method: Literal["GET", "POST"]
    url: str
    body: bytes | None
    stream: bool
    limit: float
    limit_name: str
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause of `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Notify:
    """Progress of a cold start."""

    progress: ColdStartProgress


@dataclass(frozen=True, slots=True)
class Wake:
    """Wait, at most until `deadline` on the monotonic clock, for the endpoint to serve."""

    deadline: float


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. `body` is empty when `opened` holds the open stream."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    opened: Any = None


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer, or none that could be read. `cause` is the HTTP library's exception."""

    kind: FailureKind
    detail: str
    cause: BaseException | None = field(default=None, compare=False)


Op = Send | Sleep | Notify | Wake
Outcome = Reply | Failure | float | None
Flow = Generator[Op, Outcome, Reply]


@dataclass(frozen=True, slots=True)
class Context:
    """What a flow needs to know of the world.

    Attributes:
        endpoint: Whom to call.
        timeouts: Limits of this call.
        max_retries: Retries of this call.
        budget: Retries left to all calls of the client.
        now: The monotonic clock.
        wall: Unix seconds, for dates in headers.
        dice: Uniform in [0, 1).
        request_id: Sent as `X-Request-Id`, the same over retries, so that the server's log shows duplicates.
        headers: Further headers of every exchange of this call; see `endpoint.checked_headers`.
    """

    endpoint: Endpoint
    timeouts: Timeouts
    max_retries: int
    budget: RetryBudget
    now: Callable[[], float]
    wall: Callable[[], float]
    dice: Callable[[], float]
    request_id: str
    headers: Mapping[str, str] = field(default_factory=dict)


def cold_start_timeout(context: Context, elapsed: float) -> ColdStartTimeout:
    """Return the error for a start that outlasted its limit."""
    return ColdStartTimeout(
        f"the endpoint still slept after {elapsed:.0f} s (timeouts.cold_start is {context.timeouts.cold_start:g} s)",
        hint="look at the server's log, or wait longer: Timeouts(cold_start=...)",
        elapsed_s=elapsed,
        request_id=context.request_id,
    )


def failure_error(failure: Failure, context: Context) -> Llama70BError:
    """Return the typed error for an exchange that brought no readable answer."""
    host = context.endpoint.origin[1]
    common: dict[str, Any] = {"request_id": context.request_id}
    match failure.kind:
        case "connect" | "connect_timeout":
            return ConnectionFailed(
                f"no connection to {host}: {failure.detail}", hint="is the endpoint up, and base_url right?", **common
            )
        case "tls":
            return ConnectionFailed(
                f"the certificate of {host} was not accepted: {failure.detail}",
                hint="set SSL_CERT_FILE to your trust store, or fix the host name",
                **common,
            )
        case "no_answer" | "stale" | "broken":
            return ConnectionFailed(f"the connection to {host} broke: {failure.detail}", **common)
        case "pool_timeout":
            return RequestTimeout(
                f"no free connection within {failure.detail}",
                hint="raise Endpoint.max_connections or timeouts.pool, or send fewer calls at once",
                **common,
            )
        case "timeout":
            return RequestTimeout(f"no answer from {host} within {failure.detail}", **common)
        case "too_large":
            return ResponseTooLarge(failure.detail, **common)
        case "protocol":
            return ProtocolError(failure.detail, **common)
        case "unsendable":
            return ConfigurationError(failure.detail, **common)


def own_location(reply: Reply, url: str, endpoint: Endpoint) -> str | None:
    """Return the URL a redirect of `url` leads to, None if that is not the endpoint's own origin."""
    location = reply.headers.get("location", "")
    try:
        target = urljoin(url, location)
        own = origin_of(target) == endpoint.origin and "@" not in urlsplit(target).netloc
    except ValueError:  # a port or an address that is none
        return None
    return target if location and own else None


def redirect_refused(reply: Reply, context: Context) -> RedirectRefused:
    """Return the error for a redirect that is not followed."""
    try:
        host = urlsplit(reply.headers.get("location", "")).hostname
    except ValueError:
        host = None
    elsewhere = f" to {host[:100]}" if host else ""
    return RedirectRefused(
        f"the endpoint redirects (HTTP {reply.status}){elsewhere}, which is not followed: prompt and key stay here",
        hint="set base_url to the final https URL",
        status=reply.status,
        request_id=context.request_id,
    )
