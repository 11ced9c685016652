"""A self-hosted Llama-3.3-70B as a first-class LlamaIndex model.

from llama_index.core import Settings
from llamaindex_llama70b import Llama70B
Settings.llm = Llama70B()                      # LLAMA70B_BASE_URL, LLAMA70B_API_KEY
"""

from typing import TYPE_CHECKING, Any

from llamaindex_llama70b._errors import (
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
    NotFound,
    OutputError,
    OutputInvalid,
    OutputTruncated,
    PermissionDenied,
    ProtocolError,
    RateLimited,
    RedirectRefused,
    RequestTimeout,
    ResponseTooLarge,
    ServerError,
    StreamStalled,
    ToolArgumentsInvalid,
    ToolCallMissing,
)
from llamaindex_llama70b._events import ColdStartEvent
from llamaindex_llama70b._recommended import (
    REACT_STOP,
    RecommendedSettings,
    recommended_memory,
    recommended_settings,
)
from llamaindex_llama70b.llm import Llama70B

if TYPE_CHECKING:
    from llamaindex_llama70b.agent import create_syllogism_agent
    from llamaindex_llama70b.query_engine import SyllogismQueryEngine

__all__ = [
    "REACT_STOP",
    "AuthenticationError",
    "BadRequest",
    "BudgetExceeded",
    "ColdStartEvent",
    "ColdStartTimeout",
    "ConfigurationError",
    "ConnectionFailed",
    "ContextOverflow",
    "EndpointUnavailable",
    "IncompleteStream",
    "Llama70B",
    "Llama70BError",
    "NotFound",
    "OutputError",
    "OutputInvalid",
    "OutputTruncated",
    "PermissionDenied",
    "ProtocolError",
    "RateLimited",
    "RecommendedSettings",
    "RedirectRefused",
    "RequestTimeout",
    "ResponseTooLarge",
    "ServerError",
    "StreamStalled",
    "SyllogismQueryEngine",
    "ToolArgumentsInvalid",
    "ToolCallMissing",
    "create_syllogism_agent",
    "recommended_memory",
    "recommended_settings",
]


def __getattr__(name: str) -> Any:
    """Load the agent when it is asked for: it brings the workflow runtime, which a model does not need."""
    if name == "create_syllogism_agent":
        from llamaindex_llama70b import agent  # noqa: PLC0415

        return agent.create_syllogism_agent
    if name == "SyllogismQueryEngine":
        from llamaindex_llama70b import query_engine  # noqa: PLC0415

        return query_engine.SyllogismQueryEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
