"""Both agents behind one face, talking to the scripted server through the real adapters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.unit.scripted_server import KEY, MODEL, ScriptedServer


@dataclass(frozen=True)
class Turn:
    """What one question brought.

    Attributes:
        text: The final answer.
        result: The structured result.
        calls: Tool calls the model made.
    """

    text: str
    result: Mapping[str, Any]
    calls: list[tuple[str, Mapping[str, Any]]]


Ask = Callable[..., Turn]


def _langchain_turn(state: Mapping[str, Any]) -> Turn:
    calls = [
        (call["name"], call["args"]) for message in state["messages"] for call in getattr(message, "tool_calls", ())
    ]
    return Turn(state["messages"][-1].content, state["structured_response"], calls)


def _langchain(
    url: str, question: str, *, asynchronous: bool, key: str = KEY, model: str = MODEL, **options: Any
) -> Turn:
    from langchain_llama70b import ChatLlama70B
    from langchain_llama70b.agent import create_syllogism_agent

    agent = create_syllogism_agent(ChatLlama70B(base_url=url, api_key=key, model=model, max_retries=0), **options)
    given = {"messages": [("user", question)]}
    return _langchain_turn(asyncio.run(agent.ainvoke(given)) if asynchronous else agent.invoke(given))


def _llamaindex(
    url: str, question: str, *, asynchronous: bool, key: str = KEY, model: str = MODEL, **options: Any
) -> Turn:
    from llamaindex_llama70b import Llama70B
    from llamaindex_llama70b.agent import create_syllogism_agent

    async def run() -> Turn:
        llm = Llama70B(base_url=url, api_key=key, model=model, max_retries=0)
        # There is no blocking agent in LlamaIndex; streaming and not are its two ways of asking the model.
        agent = create_syllogism_agent(llm, streaming=asynchronous, **options)
        output = await agent.run(question)
        calls = [(call.tool_name, call.tool_kwargs) for call in output.tool_calls]
        return Turn(output.response.content, output.structured_response, calls)

    return asyncio.run(run())


@pytest.fixture(params=["langchain", "langchain-async", "llamaindex", "llamaindex-streaming"])
def ask(request: pytest.FixtureRequest, scripted: ScriptedServer) -> Ask:
    """Ask a question of either agent, each in both its ways."""
    framework, _, way = request.param.partition("-")
    agent = _langchain if framework == "langchain" else _llamaindex

    def run(question: str, **options: Any) -> Turn:
        return agent(scripted.url, question, asynchronous=bool(way), **options)

    return run


@pytest.fixture
def call() -> Callable[..., tuple[str, str]]:
    """Write a tool call of `check_argument`."""

    def write(premises: list[str], conclusion: str) -> tuple[str, str]:
        return "check_argument", json.dumps({"premises": premises, "conclusion": conclusion})

    return write
