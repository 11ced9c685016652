"""Everything that can go wrong, one class per thing a caller may want to do about it.

    Llama70BError
    ├── ConfigurationError          what you gave us cannot work (also a ValueError)
    │   └── MissingExtra            an optional part is not installed (also an ImportError)
    ├── AuthenticationError         401: the key was refused, by Modal's proxy or by vLLM
    ├── PermissionDenied            403: the key is known but not allowed
    ├── NotFound                    404, 405: no such model or path
    ├── BadRequest                  400, 422: the server refused the request (also a ValueError)
    │   └── ContextOverflow         the prompt does not fit the window
    ├── RateLimited                 429
    ├── BudgetExceeded              your own limit on money or wake-ups: nothing was sent
    ├── EndpointUnavailable         503 from a live server, or an endpoint that never answers
    │   └── ColdStartTimeout        still waking at the deadline
    ├── ServerError                 other 5xx
    ├── ConnectionFailed            no connection, or one that broke (also a ConnectionError)
    ├── RequestTimeout              too slow (also a TimeoutError)
    │   └── StreamStalled           a stream went silent
    └── ProtocolError               an answer that is no answer
        ├── IncompleteStream        a stream that ended without saying that it was finished
        ├── RedirectRefused         a redirect we do not follow
        └── ResponseTooLarge        over our caps

Texts never hold a credential, a header or an answer's body beyond the server's own error message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from llama70b.types import ToolCall, Usage


class Llama70BError(Exception):
    """Base of every error of this package.

    Attributes:
        message: What was wrong and where.
        hint: What to do about it, one line, or "".
        status: HTTP status, if an answer came.
        request_id: The `X-Request-Id` of the call.
        body: The server's error object (parsed, or `{"text": ...}`), for traces.
        retryable: Whether the same call may work later, unchanged.
        text: What had arrived of the answer when the error struck.
        tool_calls: Tool calls that had arrived; the last may have incomplete arguments.
        usage: Token counts, if they had arrived.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        request_id: str | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.status = status
        self.request_id = request_id
        self.body = body
        self.text = ""
        self.tool_calls: tuple[ToolCall, ...] = ()
        self.usage: Usage | None = None

    def __str__(self) -> str:
        """The message, then the hint."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling with all attributes (worker processes hand errors on)."""
        return (_rebuild, (type(self), self.message, dict(self.__dict__)))


def _rebuild(cls: type[Llama70BError], message: str, state: dict[str, Any]) -> Llama70BError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class ConfigurationError(Llama70BError, ValueError):
    """Something you gave (a URL, a key, an option) cannot work."""


class MissingExtra(ConfigurationError, ImportError):
    """An optional part of the package is not installed; the message has the install line."""

    def __init__(self, what: str, extra: str, **kwargs: Any) -> None:
        """Say that `what` needs the extra named `extra`."""
        super().__init__(f"{what} needs an optional part: pip install 'llama70b[{extra}]'", **kwargs)
        self.extra = extra


class AuthenticationError(Llama70BError):
    """401: the credential was missing or refused."""


class PermissionDenied(Llama70BError):
    """403: the credential is valid but not for this."""


class NotFound(Llama70BError):
    """404 or 405: no such model or path."""


class BadRequest(Llama70BError, ValueError):
    """400 or 422: the server refused the request; its own words are in the message."""


class ContextOverflow(BadRequest):
    """The prompt does not fit the context window.

    Attributes:
        prompt_tokens: Tokens of the prompt, None if the server did not say.
        max_model_len: The window, None if the server did not say.
        requested_tokens: `max_tokens` asked for on top, None if not given.
    """

    def __init__(
        self,
        message: str,
        *,
        prompt_tokens: int | None = None,
        max_model_len: int | None = None,
        requested_tokens: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.prompt_tokens = prompt_tokens
        self.max_model_len = max_model_len
        self.requested_tokens = requested_tokens


class RateLimited(Llama70BError):
    """429. `retry_after` is the server's wish in seconds, None if it has none."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.retry_after = retry_after


class BudgetExceeded(Llama70BError):
    """A limit you set is reached; nothing was sent.

    Attributes:
        spent: Dollars of this day, or wake-ups of the last hour.
        limit: The limit, in the same unit.
        unit: `usd_per_day` or `wakes_per_hour`.
        resets_at: Unix seconds (UTC) when the same call is allowed again.
    """

    def __init__(
        self,
        message: str,
        *,
        spent: float = 0.0,
        limit: float = 0.0,
        unit: str = "",
        resets_at: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.spent = spent
        self.limit = limit
        self.unit = unit
        self.resets_at = resets_at


class EndpointUnavailable(Llama70BError):
    """The endpoint answers but does not serve (503), or is healthy and never answers."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.retry_after = retry_after


class ColdStartTimeout(EndpointUnavailable):
    """The endpoint was still waking when the cold-start deadline passed.

    Attributes:
        elapsed_s: Seconds waited.
    """

    def __init__(self, message: str, *, elapsed_s: float = 0.0, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.elapsed_s = elapsed_s


class ServerError(Llama70BError):
    """Any other 5xx."""

    retryable = True


class ConnectionFailed(Llama70BError, ConnectionError):
    """No connection could be made, or it broke."""

    retryable = True


class RequestTimeout(Llama70BError, TimeoutError):
    """The endpoint was too slow; the message names the limit that was passed and its name."""

    retryable = True


class StreamStalled(RequestTimeout):
    """A stream sent no event for longer than the limit; heartbeats do not count."""


class ProtocolError(Llama70BError):
    """The server's answer is not what its API promises."""


class IncompleteStream(ProtocolError):
    """A stream ended without `finish_reason`: the answer was cut off. What had arrived is in the attributes."""

    retryable = True


class RedirectRefused(ProtocolError):
    """A redirect to another origin, or of a kind that would repeat the work."""


class ResponseTooLarge(ProtocolError):
    """An answer over our size caps."""
