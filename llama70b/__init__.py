"""A self-hosted Llama-3.3-70B behind one client: cold starts, retries, streams and errors, done once.

from llama70b import ChatRequest, Client, Message
with Client() as client:                       # LLAMA70B_BASE_URL, LLAMA70B_API_KEY
    print(client.chat(ChatRequest(messages=(Message("user", "Say hello"),))).text)
"""

from llama70b._observe import Recorder, Run, RunContext, RunEnd, observing, set_default_recorder
from llama70b._secret import Secret
from llama70b._stream import AsyncChatStream, ChatStream
from llama70b._version import __version__
from llama70b.client import AsyncClient, Client
from llama70b.endpoint import Endpoint, Timeouts
from llama70b.errors import Llama70BError
from llama70b.types import (
    ChatRequest,
    Choice,
    ColdStartProgress,
    Completion,
    Delta,
    Logprob,
    Message,
    ModelInfo,
    NamedTool,
    StructuredOutputs,
    Timing,
    TokenCount,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    Usage,
)

__all__ = [
    "AsyncChatStream",
    "AsyncClient",
    "ChatRequest",
    "ChatStream",
    "Choice",
    "Client",
    "ColdStartProgress",
    "Completion",
    "Delta",
    "Endpoint",
    "Llama70BError",
    "Logprob",
    "Message",
    "ModelInfo",
    "NamedTool",
    "Recorder",
    "Run",
    "RunContext",
    "RunEnd",
    "Secret",
    "StructuredOutputs",
    "Timeouts",
    "Timing",
    "TokenCount",
    "ToolCall",
    "ToolCallDelta",
    "ToolSpec",
    "Usage",
    "__version__",
    "observing",
    "set_default_recorder",
]
