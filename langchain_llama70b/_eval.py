"""The LangChain arm of `llama70b syllogism eval`; loaded by name from there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langchain_core.messages import AIMessage

from langchain_llama70b.agent import create_syllogism_agent
from langchain_llama70b.chat_models import ChatLlama70B
from llama70b import Endpoint
from llama70b.evaluation import AgentTurn, AskAgent, Settings, adapter_fields


@asynccontextmanager
async def open_agent(endpoint: Endpoint, settings: Settings) -> AsyncIterator[AskAgent]:
    """Open the agent of `create_syllogism_agent` for an evaluation.

    Args:
        endpoint: The model's.
        settings: The run's: sampling, tokens, tool use.
    """
    model = ChatLlama70B(
        **adapter_fields(endpoint),
        temperature=settings.temperature,
        seed=settings.seed,
        max_tokens=settings.agent_tokens,
    )
    agent = create_syllogism_agent(
        model, tool_use=settings.tool_use, import_=settings.import_, max_rounds=settings.max_rounds
    )

    async def ask(text: str) -> AgentTurn:
        state = await agent.ainvoke({"messages": [("user", text)]})
        replies = [message for message in state["messages"] if isinstance(message, AIMessage)]
        told = replies[-1].response_metadata
        name = " ".join(str(told[key]) for key in ("model_name", "system_fingerprint") if told.get(key))
        return AgentTurn(state["structured_response"], calls=len(replies), model=name or None)

    yield ask
