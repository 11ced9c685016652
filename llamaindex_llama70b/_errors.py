"""What can go wrong, for LlamaIndex users.

LlamaIndex has no error family of its own: its callers catch `ValueError`, `TimeoutError`, `ConnectionError` or
whatever the provider's SDK raises. So the classes of `llama70b.errors` are raised unchanged (they already are a
`ValueError`, a `TimeoutError` or a `ConnectionError` where that fits), and four are added for what is only known here:

    Llama70BError                   everything, see llama70b.errors for the whole tree
    ├── ...
    └── OutputError                 an answer arrived and cannot be used (also a ValueError)
        ├── OutputTruncated         it was cut off: by max_tokens, the window, or a fault
        ├── OutputInvalid           it does not fit the asked-for class
        ├── ToolArgumentsInvalid    the arguments of a tool call are no JSON object
        └── ToolCallMissing         a tool call was demanded and none came

Retrying is the core's business, once; LlamaIndex adds none.
"""

from __future__ import annotations

from typing import Any

from llama70b.errors import (
    AuthenticationError,
    BadRequest,
    BudgetExceeded,
    ColdStartTimeout,
    ConfigurationError,
    ConnectionFailed,
    ContextOverflow,
    EndpointUnavailable,
    IncompleteStream,
    Llama70BError,
    MissingExtra,
    NotFound,
    PermissionDenied,
    ProtocolError,
    RateLimited,
    RedirectRefused,
    RequestTimeout,
    ResponseTooLarge,
    ServerError,
    StreamStalled,
)


class OutputError(Llama70BError, ValueError):
    """The endpoint answered, but the answer cannot be used. `.text` holds it, `.usage` what it cost."""


class OutputTruncated(OutputError):
    """The answer was cut off, by `max_tokens` or (`on_interrupt="return"`) by a fault, before it was complete."""

    def __init__(self, what: str, **kwargs: Any) -> None:
        """Say that `what` is incomplete."""
        kwargs.setdefault("hint", "raise max_tokens, shorten the prompt, or ask for a smaller object")
        super().__init__(f"{what} was cut off before it was complete", **kwargs)


class OutputInvalid(OutputError):
    """The answer is complete but does not fit the class asked for; the cause is pydantic's `ValidationError`."""


class ToolArgumentsInvalid(OutputError):
    """The model wrote arguments that are no JSON object; `.text` holds them as written."""


class ToolCallMissing(OutputError):
    """A tool call was demanded, and the answer has none."""


__all__ = [
    "AuthenticationError",
    "BadRequest",
    "BudgetExceeded",
    "ColdStartTimeout",
    "ConfigurationError",
    "ConnectionFailed",
    "ContextOverflow",
    "EndpointUnavailable",
    "IncompleteStream",
    "Llama70BError",
    "MissingExtra",
    "NotFound",
    "OutputError",
    "OutputInvalid",
    "OutputTruncated",
    "PermissionDenied",
    "ProtocolError",
    "RateLimited",
    "RedirectRefused",
    "RequestTimeout",
    "ResponseTooLarge",
    "ServerError",
    "StreamStalled",
    "ToolArgumentsInvalid",
    "ToolCallMissing",
]
