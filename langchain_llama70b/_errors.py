"""The core's errors as LangChain's too: each class inherits both, so either is caught.

    llama70b.errors             here, of the same name        LangChain's (langchain_core.exceptions)
    ConfigurationError          ConfigurationError            ModelInvalidRequestError
    AuthenticationError         AuthenticationError           ModelAuthenticationError
    PermissionDenied            PermissionDenied              ModelPermissionDeniedError
    NotFound                    NotFound                      ModelNotFoundError
    BadRequest                  BadRequest                    ModelInvalidRequestError
    ContextOverflow             ContextOverflow               ContextOverflowError (and the above)
    RateLimited                 RateLimited                   ModelRateLimitError
    EndpointUnavailable         EndpointUnavailable           ModelAPIError
    ColdStartTimeout            ColdStartTimeout              ModelTimeoutError (and the above)
    ServerError                 ServerError                   ModelAPIError
    ConnectionFailed            ConnectionFailed              ModelConnectionError
    RequestTimeout              RequestTimeout                ModelTimeoutError
    StreamStalled               StreamStalled                 ModelTimeoutError
    ProtocolError               ProtocolError                 ModelAPIError, not retryable
    RedirectRefused             RedirectRefused               the same
    ResponseTooLarge            ResponseTooLarge              the same
    IncompleteStream            IncompleteStream              ModelConnectionError

`ModelRetryMiddleware` reads `is_retryable`, `SummarizationMiddleware` catches `ContextOverflowError`, tracers read
`response` and `request_id`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core import exceptions as lc

from llama70b import errors as core


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """What the server answered, in the shape LangChain's tracers read.

    Attributes:
        status_code: HTTP status.
        body: The server's error object.
        headers: Our request id; nothing secret.
    """

    status_code: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """Return the error object."""
        return dict(self.body)

    @property
    def text(self) -> str:
        """The error object as text."""
        return json.dumps(dict(self.body), ensure_ascii=False, default=str)


class _Traced(core.Llama70BError):
    """Adds what tracers read."""

    @property
    def response(self) -> ErrorResponse | None:
        """The server's answer, None when there was none."""
        if self.status is None:
            return None
        headers = {"x-request-id": self.request_id} if self.request_id else {}
        return ErrorResponse(self.status, self.body or {}, headers)


class ConfigurationError(_Traced, core.ConfigurationError, lc.ModelInvalidRequestError):
    """Something you gave (a URL, a key, an option, a message) cannot work."""


class AuthenticationError(_Traced, core.AuthenticationError, lc.ModelAuthenticationError):
    """401: the credential was missing or refused."""


class PermissionDenied(_Traced, core.PermissionDenied, lc.ModelPermissionDeniedError):
    """403: the credential is valid but not for this."""


class NotFound(_Traced, core.NotFound, lc.ModelNotFoundError):
    """404 or 405: no such model or path."""


class BadRequest(_Traced, core.BadRequest, lc.ModelInvalidRequestError):
    """400 or 422: the server refused the request; its own words are in the message."""


class ContextOverflow(core.ContextOverflow, BadRequest, lc.ContextOverflowError):
    """The prompt does not fit the context window; both counts are in the attributes."""


class RateLimited(_Traced, core.RateLimited, lc.ModelRateLimitError):
    """429."""


class BudgetExceeded(_Traced, core.BudgetExceeded, lc.ModelInvalidRequestError):
    """A limit you set on money or wake-ups is reached; nothing was sent."""


class EndpointUnavailable(_Traced, core.EndpointUnavailable, lc.ModelAPIError):
    """The endpoint answers but does not serve (503), or never answers."""


class ColdStartTimeout(core.ColdStartTimeout, EndpointUnavailable, lc.ModelTimeoutError):
    """The endpoint was still waking when the cold-start deadline passed."""


class ServerError(_Traced, core.ServerError, lc.ModelAPIError):
    """Any other 5xx."""


class ConnectionFailed(_Traced, core.ConnectionFailed, lc.ModelConnectionError):
    """No connection could be made, or it broke."""


class RequestTimeout(_Traced, core.RequestTimeout, lc.ModelTimeoutError):
    """The endpoint was too slow."""


class StreamStalled(core.StreamStalled, RequestTimeout):
    """A stream sent no event for longer than the limit."""


class ProtocolError(_Traced, core.ProtocolError, lc.ModelAPIError):
    """The server's answer is not what its API promises."""

    is_retryable = False


class RedirectRefused(core.RedirectRefused, ProtocolError):
    """A redirect to another origin, or of a kind that would repeat the work."""


class ResponseTooLarge(core.ResponseTooLarge, ProtocolError):
    """An answer over our size caps."""


class IncompleteStream(core.IncompleteStream, ProtocolError, lc.ModelConnectionError):
    """A stream ended without `finish_reason`; what had arrived is in `text`, `tool_calls`, `usage`."""

    is_retryable = True


_TABLE: dict[type[core.Llama70BError], type[core.Llama70BError]] = {
    core.ConfigurationError: ConfigurationError,
    core.AuthenticationError: AuthenticationError,
    core.PermissionDenied: PermissionDenied,
    core.NotFound: NotFound,
    core.BadRequest: BadRequest,
    core.ContextOverflow: ContextOverflow,
    core.RateLimited: RateLimited,
    core.BudgetExceeded: BudgetExceeded,
    core.EndpointUnavailable: EndpointUnavailable,
    core.ColdStartTimeout: ColdStartTimeout,
    core.ServerError: ServerError,
    core.ConnectionFailed: ConnectionFailed,
    core.RequestTimeout: RequestTimeout,
    core.StreamStalled: StreamStalled,
    core.ProtocolError: ProtocolError,
    core.IncompleteStream: IncompleteStream,
    core.RedirectRefused: RedirectRefused,
    core.ResponseTooLarge: ResponseTooLarge,
}


def as_langchain(error: core.Llama70BError) -> core.Llama70BError:
    """Return the error as the class above that stands for it, with all it holds; an unknown kind as it is.

    The traceback, which shows where it struck, and the cause stay.
    """
    if isinstance(error, lc.ModelError):
        return error
    kind = next((_TABLE[cls] for cls in type(error).__mro__ if cls in _TABLE), None)
    if kind is None:
        return error
    twin = kind.__new__(kind)
    Exception.__init__(twin, error.message)
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error.__cause__
    return twin.with_traceback(error.__traceback__)
