"""Core's agents over the model."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.memory import Memory

from llama70b.testing import Answer, CountingServer
from llamaindex_llama70b.testing._structured import as_asked
from llamaindex_llama70b.testing._suite import Make, Scripted, run

CALL = Answer(tool_calls=[("c1", "add", '{"a": 2, "b": 3}')])


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def greet(name: str = "everybody") -> str:
    """Greet somebody."""
    return f"Hello {name}"


def huge() -> str:
    """Return a lot of text."""
    return "lorem ipsum " * 3000


class Total(BaseModel):
    """A sum."""

    total: int


# llama-index-workflows and core's agents use what pydantic and they themselves deprecate
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class Agents(Scripted):
    """Behaviours of agents and workflows."""

    def run(self, llm: Any, agent: Any, question: str, **kwargs: Any) -> tuple[Any, list[Any]]:
        """Run an agent to its end; return its answer and all events."""

        async def main() -> tuple[Any, list[Any]]:
            handler = agent.run(question, **kwargs)
            events = [event async for event in handler.stream_events()]
            return await handler, events

        result: tuple[Any, list[Any]] = run(llm, main)
        return result

    @pytest.mark.parametrize("streaming", [True, False])
    def test_function_agent(self, llm: Any, server: CountingServer, streaming: bool) -> None:
        """`FunctionAgent` runs its tool and answers, streaming or not."""
        server.answer(CALL, Answer("It is 5."))
        answer, events = self.run(llm, FunctionAgent(tools=[add], llm=llm, streaming=streaming), "2+3?")
        assert str(answer) == "It is 5."
        (result,) = [event for event in events if isinstance(event, ToolCallResult)]
        assert result.tool_output.content == "5"
        assert [m["role"] for m in server.bodies[-1]["messages"]] == ["user", "assistant", "tool"]

    def test_function_agent_streams(self, llm: Any, server: CountingServer) -> None:
        """`FunctionAgent` forwards the deltas of its answer."""
        server.answer(CALL, Answer("It is 5."))
        _, events = self.run(llm, FunctionAgent(tools=[add], llm=llm), "2+3?")
        assert "".join(event.delta or "" for event in events if isinstance(event, AgentStream)) == "It is 5."

    def test_function_agent_without_tools(self, llm: Any, server: CountingServer) -> None:
        """`FunctionAgent` without tools just answers."""
        server.say("Hello.")
        assert str(self.run(llm, FunctionAgent(tools=[], llm=llm), "hi")[0]) == "Hello."

    def test_function_agent_with_two_calls_at_once(self, llm: Any, server: CountingServer) -> None:
        """Two calls in one turn come back to the model in a form that Llama's template takes."""
        calls = [("c1", "add", '{"a": 2, "b": 3}'), ("c2", "add", '{"a": 1, "b": 1}')]
        server.answer(Answer(tool_calls=calls), Answer("5 and 2"))
        assert str(self.run(llm, FunctionAgent(tools=[add], llm=llm), "x")[0]) == "5 and 2"
        assert not server.refused

    def test_function_agent_sees_malformed_arguments(self, llm: Any, server: CountingServer) -> None:
        """A tool that needs no arguments does not run on malformed ones; the model is told, and corrects them."""
        server.answer(
            Answer(tool_calls=[("c1", "greet", '{"name": "An')]),
            Answer(tool_calls=[("c2", "greet", '{"name": "Ann"}')]),
            Answer("Done."),
        )
        answer, events = self.run(llm, FunctionAgent(tools=[greet], llm=llm), "Greet Ann.")
        assert str(answer) == "Done."
        results = [event.tool_output for event in events if isinstance(event, ToolCallResult)]
        assert [result.is_error for result in results] == [True, False]
        assert results[-1].content == "Hello Ann"

    def test_initial_tool_choice(self, llm: Any, server: CountingServer) -> None:
        """`initial_tool_choice` forces the first call only."""
        server.answer(CALL, Answer("5"))
        self.run(llm, FunctionAgent(tools=[add], llm=llm, initial_tool_choice="add"), "2+3?")
        assert server.bodies[0]["tool_choice"] == {"type": "function", "function": {"name": "add"}}
        assert server.bodies[1].get("tool_choice", "auto") == "auto"

    def test_structured_answer(self, llm: Any, server: CountingServer) -> None:
        """`FunctionAgent` with `output_cls` ends in an object."""
        asked = iter([CALL, Answer("It is 5.")])
        server.answer(lambda request: next(asked, None) or as_asked('{"total": 5}')(request))
        answer, _ = self.run(llm, FunctionAgent(tools=[add], llm=llm, output_cls=Total), "2+3?")
        assert answer.structured_response == {"total": 5}

    def test_a_long_memory(self, make: Make, server: CountingServer) -> None:
        """`FunctionAgent` with core's default memory of 30,000 tokens keeps inside the window."""
        llm = make(max_tokens=256, **self.trimming)
        server.clamp = False
        turns = [ChatMessage(role=r, content="ship " * 600) for r in ("user", "assistant")] * 6
        memory = Memory.from_defaults(session_id="s", chat_history=turns)
        try:
            answer, _ = self.run(llm, FunctionAgent(tools=[add], llm=llm), "2+3?", memory=memory)
        finally:
            _closed(memory)
        assert str(answer) == "ok"
        assert not server.refused

    def test_a_huge_tool_result(self, make: Make, server: CountingServer) -> None:
        """A tool result larger than the window is shortened, not sent to be refused."""
        llm = make(max_tokens=256, **self.trimming)
        server.clamp = False
        server.answer(Answer(tool_calls=[("huge", "{}")]), Answer("Long."))
        assert str(self.run(llm, FunctionAgent(tools=[huge], llm=llm), "x")[0]) == "Long."
        assert not server.refused

    def test_react_agent(self, llm: Any, server: CountingServer) -> None:
        """`ReActAgent` runs its tool and answers."""
        server.say(
            'Thought: I need a tool.\nAction: add\nAction Input: {"a": 2, "b": 3}',
            "Thought: I can answer without using any more tools.\nAnswer: It is 5.",
        )
        answer, events = self.run(llm, ReActAgent(tools=[add], llm=llm), "2+3?")
        assert str(answer) == "It is 5."
        assert [e.tool_output.content for e in events if isinstance(e, ToolCallResult)] == ["5"]

    def test_workflow_of_two_agents(self, llm: Any, server: CountingServer) -> None:
        """An `AgentWorkflow` hands over from one agent to the other."""
        adder = FunctionAgent(name="adder", description="Adds.", tools=[add], llm=llm)
        desk = FunctionAgent(name="desk", description="Answers.", tools=[], llm=llm, can_handoff_to=["adder"])
        handoff = Answer(tool_calls=[("c1", "handoff", '{"to_agent": "adder", "reason": "sum"}')])
        server.answer(handoff, CALL, Answer("It is 5."))
        answer, events = self.run(llm, AgentWorkflow(agents=[desk, adder], root_agent="desk"), "2+3?")
        assert str(answer) == "It is 5."
        assert [e.tool_name for e in events if isinstance(e, ToolCallResult)] == ["handoff", "add"]

    def test_workflow_chooses_the_function_agent(self, llm: Any, server: CountingServer) -> None:
        """`AgentWorkflow.from_tools_or_functions` chooses the agent that calls tools natively."""
        workflow = AgentWorkflow.from_tools_or_functions([add], llm=llm)
        assert isinstance(next(iter(workflow.agents.values())), FunctionAgent)
        server.answer(CALL, Answer("5"))
        assert str(self.run(llm, workflow, "2+3?")[0]) == "5"


def _closed(memory: Memory) -> None:
    """Close the in-memory database behind core's memory, which core leaves open."""
    engine = getattr(memory.sql_store, "_async_engine", None)
    if engine is not None:
        asyncio.run(engine.dispose())
