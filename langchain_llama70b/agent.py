"""The syllogism agent on LangChain's `create_agent`: the model calls the exact checker, the checker has the last word.

from langchain_llama70b.agent import create_syllogism_agent
agent = create_syllogism_agent(ChatLlama70B())
state = agent.invoke({"messages": [("user", "If all roses are flowers and ..., can we conclude that ...?")]})
state["messages"][-1].content       # the answer, its verdict the checker's
state["structured_response"]        # verdict, reading, countermodel, explanation, assumptions, usage ...
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, AgentState
from langchain.agents.middleware.types import ModelRequest, ModelResponse, ToolCallRequest
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from langchain_llama70b._asking import Asking
from llama70b.reasoning import (
    SYSTEM_PROMPT,
    TOOLS,
    AssistedResult,
    ToolDefinition,
    acheck_assisted,
    call_tool,
    check_assisted,
    constrained,
    for_model,
    lock,
)
from llama70b.reasoning.assisted import summary_of
from llama70b.syllogism import Import

ToolUse = Literal["auto", "forced"]
"""`auto`: the model decides to call; `forced`: its first step must be the call, with arguments chosen among the user's
own clauses. The latter is for models too small to call tools by themselves."""

AssistedTurn = tuple[AssistedResult, Mapping[str, int]]
"""What model-assisted reading brought, and its tokens."""

_NAMES = frozenset(tool.name for tool in TOOLS)


def create_syllogism_agent(
    model: BaseChatModel | str,
    *,
    tool_use: ToolUse = "auto",
    import_: Import = "all_terms",
    max_rounds: int = 4,
    assist: bool = False,
    system_prompt: str = SYSTEM_PROMPT,
    tools: Sequence[BaseTool | Callable[..., Any]] = (),
    middleware: Sequence[AgentMiddleware[Any, Any]] = (),
    **options: Any,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Build the agent.

    Args:
        model: Any chat model that can call tools.
        tool_use: Whether the model decides to call the checker, or must.
        import_: Convention of existential import.
        max_rounds: Most rounds of tool calls in a turn; then the model must answer.
        assist: Ask the model about sentences the grammar refuses, one at a time and under guard
            (`llama70b.reasoning.assisted`); what it read is marked in the result.
        system_prompt: Instructions.
        tools: Further tools.
        middleware: Further middleware, inside ours.
        **options: Passed to `create_agent`: `checkpointer`, `store`, `name`, `context_schema` ...

    Returns:
        A LangGraph graph: `invoke`, `stream`, `batch` and their async forms. Tokens stream as the model writes them;
        the last message of the final state is the one held to the checker's verdict.

    Raises:
        ValueError: `max_rounds` is below 1.
    """
    chat = init_chat_model(model) if isinstance(model, str) else model
    ours = SyllogismMiddleware(
        tool_use=tool_use, import_=import_, max_rounds=max_rounds, assistant=chat if assist else None
    )
    return create_agent(chat, tools=list(tools), system_prompt=system_prompt, middleware=[ours, *middleware], **options)


class SyllogismMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Adds the checker's tools to an agent, runs them, and holds the final answer to the checker's verdict.

    Use it in a `create_agent(...)` of your own, or let `create_syllogism_agent` do it.

    Args:
        tool_use: Whether the model decides to call the checker, or must.
        import_: Convention of existential import.
        max_rounds: Most rounds of tool calls in a turn.
        assistant: Model that is asked about sentences the grammar refuses; None: they stay refused.
    """

    def __init__(
        self,
        *,
        tool_use: ToolUse = "auto",
        import_: Import = "all_terms",
        max_rounds: int = 4,
        assistant: BaseChatModel | None = None,
    ) -> None:
        if max_rounds < 1:
            raise ValueError(f"max_rounds is {max_rounds}: give 1 or more")
        super().__init__()
        self._tool_use = tool_use
        self._import: Import = import_
        self._max_rounds = max_rounds
        self._assistant = assistant
        self.tools = [_tool(definition, import_) for definition in TOOLS]

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Offer the tools this step may use."""
        return handler(self._shaped(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Offer the tools this step may use."""
        return await handler(self._shaped(request))

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Run our tools with the user's text at hand; leave the others to the agent."""
        return self._called(request) or handler(request)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Run our tools with the user's text at hand; leave the others to the agent."""
        return self._called(request) or await handler(request)

    def after_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002
        """Hold the final answer to the checker's verdict."""
        return self._locked(state["messages"], self._assisted(state["messages"]))

    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002
        """Hold the final answer to the checker's verdict."""
        return self._locked(state["messages"], await self._aassisted(state["messages"]))

    def _assisted(self, messages: Sequence[AnyMessage]) -> AssistedTurn | None:
        if self._assistant is None or not _answered(messages):
            return None
        asking = Asking(self._assistant)
        return check_assisted(_said(_turn(messages)), asking.complete, import_=self._import), asking.usage

    async def _aassisted(self, messages: Sequence[AnyMessage]) -> AssistedTurn | None:
        if self._assistant is None or not _answered(messages):
            return None
        asking = Asking(self._assistant)
        return await acheck_assisted(_said(_turn(messages)), asking.acomplete, import_=self._import), asking.usage

    def _shaped(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        turn = _turn(request.messages)
        rounds = sum(isinstance(message, AIMessage) and bool(message.tool_calls) for message in turn)
        others = [tool for tool in request.tools if getattr(tool, "name", None) not in _NAMES]
        if rounds >= self._max_rounds:
            return request.override(tools=[], tool_choice=None)
        if self._tool_use == "auto":
            return request
        if any("error" not in told for told in _outcomes(turn)):
            return request.override(tools=list(others), tool_choice=None)  # checked: now explain
        only = constrained(_said(turn))
        if only is None:
            return request.override(tools=list(others), tool_choice=None)
        return request.override(tools=[only.as_openai()], tool_choice=only.name)

    def _called(self, request: ToolCallRequest) -> ToolMessage | None:
        call = request.tool_call
        if call["name"] not in _NAMES:
            return None
        text = "\n".join(str(m.text) for m in request.state["messages"] if isinstance(m, HumanMessage))
        told = call_tool(call["name"], call["args"], text=text, import_=self._import)
        return ToolMessage(
            for_model(told),
            tool_call_id=call["id"],
            name=call["name"],
            artifact=told,
            status="error" if "error" in told else "success",
        )

    def _locked(self, messages: Sequence[AnyMessage], assisted: AssistedTurn | None) -> dict[str, Any] | None:
        if not _answered(messages):
            return None
        turn, last = _turn(messages), messages[-1]
        usage = _usage(turn)
        if assisted is not None:
            usage = {name: count + assisted[1].get(name, 0) for name, count in usage.items()}
        answer = lock(
            _said(turn), str(last.text), _outcomes(turn), usage=usage, import_=self._import,
            assisted=summary_of(assisted[0]) if assisted is not None else None,
        )  # fmt: skip
        # The same id: the locked message takes the place of the model's.
        held = last.model_copy(update={"content": answer.answer})
        return {"messages": [held], "structured_response": answer.to_dict()}


def _tool(definition: ToolDefinition, import_: Import) -> StructuredTool:
    def run(**arguments: Any) -> str:
        # Outside an agent there is no user's text to compare with: the arguments themselves stand for it.
        text = json.dumps(arguments, ensure_ascii=False)
        return for_model(call_tool(definition.name, arguments, text=text, import_=import_))

    return StructuredTool.from_function(
        run, name=definition.name, description=definition.description, args_schema=definition.parameters
    )


def _turn(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the messages from the user's last one on."""
    start = max((i for i, message in enumerate(messages) if isinstance(message, HumanMessage)), default=0)
    return list(messages[start:])


def _answered(messages: Sequence[AnyMessage]) -> bool:
    last = messages[-1] if messages else None
    return isinstance(last, AIMessage) and not last.tool_calls


def _said(turn: Sequence[AnyMessage]) -> str:
    return str(turn[0].text) if turn and isinstance(turn[0], HumanMessage) else ""


def _outcomes(turn: Sequence[AnyMessage]) -> list[Mapping[str, Any]]:
    """Return what our tools told in this turn; read from the text, because a checkpointer may drop artifacts."""
    return [
        message.artifact if isinstance(message.artifact, dict) else json.loads(str(message.text))
        for message in turn
        if isinstance(message, ToolMessage) and message.name in _NAMES
    ]


def _usage(turn: Sequence[AnyMessage]) -> dict[str, int]:
    used = [m.usage_metadata for m in turn if isinstance(m, AIMessage) and m.usage_metadata is not None]
    return {
        "prompt_tokens": sum(usage["input_tokens"] for usage in used),
        "completion_tokens": sum(usage["output_tokens"] for usage in used),
        "total_tokens": sum(usage["total_tokens"] for usage in used),
    }
