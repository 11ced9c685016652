"""The syllogism agent on LlamaIndex's `FunctionAgent`: the model calls the exact checker, which has the last word.

from llamaindex_llama70b.agent import create_syllogism_agent
agent = create_syllogism_agent(Llama70B())
output = await agent.run("If all roses are flowers and ..., can we conclude that ...?")
str(output)                         # the answer, its verdict the checker's
output.structured_response          # verdict, reading, countermodel, explanation, assumptions, usage ...
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llama_index.core.agent.workflow import AgentOutput, AgentStreamStructuredOutput, FunctionAgent
from llama_index.core.agent.workflow.workflow_events import ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, TextBlock
from llama_index.core.llms import LLM
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import AsyncBaseTool, FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.workflow import Context
from pydantic import Field

from llama70b.reasoning import (
    SYSTEM_PROMPT,
    TOOLS,
    ToolDefinition,
    acheck_assisted,
    call_tool,
    constrained,
    for_model,
    lock,
)
from llama70b.reasoning.assisted import summary_of
from llama70b.syllogism import Import
from llamaindex_llama70b._asking import Asking

# No `from __future__ import annotations` here: LlamaIndex finds a tool's context parameter by its annotation itself.

ToolUse = Literal["auto", "forced"]
"""`auto`: the model decides to call; `forced`: its first step must be the call, with arguments chosen among the user's
own clauses. The latter is for models too small to call tools by themselves."""

_NAMES = frozenset(tool.name for tool in TOOLS)
_USAGE_KEY = "syllogism_usage"
_NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def create_syllogism_agent(
    llm: LLM,
    *,
    tool_use: ToolUse = "auto",
    import_: Import = "all_terms",
    max_rounds: int = 4,
    assist: bool = False,
    system_prompt: str = SYSTEM_PROMPT,
    tools: Sequence[Any] = (),
    **options: Any,
) -> "SyllogismAgent":
    """Build the agent.

    Args:
        llm: Any function-calling LLM.
        tool_use: Whether the model decides to call the checker, or must.
        import_: Convention of existential import.
        max_rounds: Most rounds of tool calls in a turn; then the model must answer.
        assist: Ask the model about sentences the grammar refuses, one at a time and under guard
            (`llama70b.reasoning.assisted`); what it read is marked in the result.
        system_prompt: Instructions.
        tools: Further tools.
        **options: Passed to `FunctionAgent`: `name`, `streaming`, `timeout`, `verbose` ...

    Returns:
        A `FunctionAgent`: `run`, event streaming, use in an `AgentWorkflow`. Deltas stream as the model writes them;
        the final output is the one held to the checker's verdict.

    Raises:
        ValueError: `max_rounds` is below 1.
    """
    ours = [_tool(definition, import_) for definition in TOOLS]
    return SyllogismAgent(
        llm=llm,
        tools=[*ours, *tools],
        system_prompt=system_prompt,
        tool_use=tool_use,
        import_=import_,
        max_rounds=max_rounds,
        assist=assist,
        allow_parallel_tool_calls=False,
        initial_tool_choice="required" if tool_use == "forced" else None,
        **options,
    )


class SyllogismAgent(FunctionAgent):
    """A `FunctionAgent` whose final answer is held to the checker's verdict."""

    tool_use: ToolUse = Field(default="auto", description="Whether the model decides to call the checker, or must.")
    import_: Import = Field(default="all_terms", description="Convention of existential import.")
    max_rounds: int = Field(default=4, ge=1, description="Most rounds of tool calls in a turn.")
    assist: bool = Field(default=False, description="Ask the model about sentences the grammar refuses.")

    async def take_step(
        self, ctx: Any, llm_input: list[ChatMessage], tools: Sequence[AsyncBaseTool], memory: BaseMemory
    ) -> AgentOutput:
        """Ask the model once, with the tools this step may use."""
        scratchpad: list[ChatMessage] = await ctx.store.get(self.scratchpad_key, default=[])
        if not scratchpad:
            await ctx.store.set(_USAGE_KEY, dict(_NO_USAGE))
        offered = self._offered(await ctx.store.get("user_msg_str", default=""), scratchpad, tools)
        output = await super().take_step(ctx, llm_input, offered, memory)
        await ctx.store.set(_USAGE_KEY, _added(await ctx.store.get(_USAGE_KEY), output.raw))
        return output

    async def finalize(self, ctx: Context, output: AgentOutput, memory: BaseMemory) -> AgentOutput:
        """Hold the final answer to the checker's verdict, in the output and in the memory."""
        results: list[ToolCallResult] = await ctx.store.get("current_tool_calls", default=[])
        text: str = await ctx.store.get("user_msg_str", default="")
        usage: dict[str, int] = await ctx.store.get(_USAGE_KEY, default=dict(_NO_USAGE))
        assisted: dict[str, Any] | None = None
        if self.assist:
            asking = Asking(self.llm)
            assisted = summary_of(await acheck_assisted(text, asking.acomplete, import_=self.import_))
            usage = {name: count + asking.usage[name] for name, count in usage.items()}
        answer = lock(
            text,
            output.response.content or "",
            [told for result in results if (told := _told(result)) is not None],
            usage=usage,
            import_=self.import_,
            assisted=assisted,
        )
        others = [block for block in output.response.blocks if not isinstance(block, TextBlock)]
        held = output.response.model_copy(update={"blocks": [*others, TextBlock(text=answer.answer)]})
        scratchpad: list[ChatMessage] = await ctx.store.get(self.scratchpad_key, default=[])
        await ctx.store.set(self.scratchpad_key, [*scratchpad[:-1], held])
        output = await super().finalize(ctx, output, memory)
        output.response = held
        output.structured_response = answer.to_dict()
        ctx.write_event_to_stream(AgentStreamStructuredOutput(output=output.structured_response))
        return output

    def _offered(
        self, text: str, scratchpad: Sequence[ChatMessage], tools: Sequence[AsyncBaseTool]
    ) -> Sequence[AsyncBaseTool]:
        rounds = sum(message.role == "tool" for message in scratchpad)
        if rounds >= self.max_rounds:
            return []
        if self.tool_use == "auto":
            return tools
        if rounds:
            return [tool for tool in tools if tool.metadata.name not in _NAMES]  # checked: now explain
        only = constrained(text)
        return tools if only is None else [_tool(only, self.import_)]


@dataclass
class _Metadata(ToolMetadata):
    """Metadata whose JSON schema is given, not derived from a pydantic class."""

    parameters: dict[str, Any] = field(default_factory=dict)

    def get_parameters_dict(self) -> dict[str, Any]:
        return self.parameters


def _tool(definition: ToolDefinition, import_: Import) -> FunctionTool:
    async def run(ctx: Context, **arguments: Any) -> ToolOutput:
        text = await ctx.store.get("user_msg_str", default="")
        memory: BaseMemory | None = await ctx.store.get("memory", default=None)
        earlier = [m.content or "" for m in await memory.aget_all() if m.role == "user"] if memory else []
        told = call_tool(definition.name, arguments, text="\n".join([*earlier, text]), import_=import_)
        return _output(definition.name, for_model(told), told, arguments)

    metadata = _Metadata(
        description=definition.description, name=definition.name, fn_schema=None, parameters=definition.parameters
    )
    return _CheckerTool(async_fn=run, metadata=metadata)


class _CheckerTool(FunctionTool):
    """Hands its function's `ToolOutput` on as it is."""

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        output: ToolOutput = await self._async_fn(*args, **kwargs)
        return output


def _output(name: str, content: str, told: dict[str, Any], arguments: dict[str, Any]) -> ToolOutput:
    return ToolOutput(
        content=content, tool_name=name, raw_input={"kwargs": arguments}, raw_output=told, is_error="error" in told
    )


def _told(result: ToolCallResult) -> Mapping[str, Any] | None:
    if result.tool_name not in _NAMES:
        return None
    raw = result.tool_output.raw_output
    # A tool called with arguments that are no object ends in core's own error text.
    return raw if isinstance(raw, dict) else {"error": str(raw), "hint": ""}


def _added(usage: dict[str, int], raw: Any) -> dict[str, int]:
    given = raw.get("usage") if isinstance(raw, dict) else None
    if not isinstance(given, dict):
        return usage
    return {name: count + int(given.get(name) or 0) for name, count in usage.items()}
