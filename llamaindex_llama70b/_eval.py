"""The LlamaIndex arm of `llama70b syllogism eval`; loaded by name from there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llama_index.core.agent.workflow import AgentOutput

from llama70b import Endpoint
from llama70b.evaluation import AgentTurn, AskAgent, Settings, adapter_fields
from llamaindex_llama70b.agent import create_syllogism_agent
from llamaindex_llama70b.llm import Llama70B


@asynccontextmanager
async def open_agent(endpoint: Endpoint, settings: Settings) -> AsyncIterator[AskAgent]:
    """Open the agent of `create_syllogism_agent` for an evaluation.

    Args:
        endpoint: The model's.
        settings: The run's: sampling, tokens, tool use.
    """
    llm = Llama70B(
        **adapter_fields(endpoint),
        temperature=settings.temperature,
        seed=settings.seed,
        max_tokens=settings.agent_tokens,
    )

    async def ask(text: str) -> AgentTurn:
        agent = create_syllogism_agent(
            llm,
            tool_use=settings.tool_use,
            import_=settings.import_,
            max_rounds=settings.max_rounds,
            streaming=False,
            timeout=None,
        )
        output: AgentOutput = await agent.run(text)
        raw = output.raw if isinstance(output.raw, dict) else {}
        name = " ".join(str(raw[key]) for key in ("model", "system_fingerprint") if raw.get(key))
        # One answer for every tool call, and the last one; a round may hold several calls only in theory.
        return AgentTurn(output.structured_response or {}, calls=len(output.tool_calls) + 1, model=name or None)

    yield ask
