"""Llama 3.3 70B on your own vLLM endpoint, as a LangChain chat model.

from langchain_llama70b import ChatLlama70B
llm = ChatLlama70B()                            # LLAMA70B_BASE_URL, LLAMA70B_API_KEY
llm.invoke("Say hello").content
"""

from typing import TYPE_CHECKING, Any

from langchain_llama70b._errors import (
    AuthenticationError,
    BadRequest,
    BudgetExceeded,
    ColdStartTimeout,
    ConfigurationError,
    ConnectionFailed,
    ContextOverflow,
    EndpointUnavailable,
    IncompleteStream,
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
from langchain_llama70b._names import COLD_START_EVENT
from langchain_llama70b._register import register
from langchain_llama70b.chat_models import ChatLlama70B

if TYPE_CHECKING:
    from langchain_llama70b.agent import SyllogismMiddleware, create_syllogism_agent
    from langchain_llama70b.chain import syllogism_chain

__all__ = [
    "COLD_START_EVENT",
    "AuthenticationError",
    "BadRequest",
    "BudgetExceeded",
    "ChatLlama70B",
    "ColdStartTimeout",
    "ConfigurationError",
    "ConnectionFailed",
    "ContextOverflow",
    "EndpointUnavailable",
    "IncompleteStream",
    "NotFound",
    "PermissionDenied",
    "ProtocolError",
    "RateLimited",
    "RedirectRefused",
    "RequestTimeout",
    "ResponseTooLarge",
    "ServerError",
    "StreamStalled",
    "SyllogismMiddleware",
    "create_syllogism_agent",
    "register",
    "syllogism_chain",
]


def __getattr__(name: str) -> Any:
    """Load the agent when it is asked for: it brings langgraph, which a chat model does not need."""
    if name in {"SyllogismMiddleware", "create_syllogism_agent"}:
        from langchain_llama70b import agent  # noqa: PLC0415

        return getattr(agent, name)
    if name == "syllogism_chain":
        from langchain_llama70b import chain  # noqa: PLC0415

        return chain.syllogism_chain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
