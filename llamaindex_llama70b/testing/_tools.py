"""Tools: asked for, forced, several, streamed, malformed."""

# ruff: noqa: PLR2004 - small numbers of calls and characters

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.tools import FunctionTool

from llama70b.testing import Answer, CountingServer
from llamaindex_llama70b.testing._suite import Caller, Scripted, failure


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def shout(text: str = "nothing") -> str:
    """Say it loudly."""
    return text.upper()


ADD, SHOUT = FunctionTool.from_defaults(add), FunctionTool.from_defaults(shout)
ONE = Answer(tool_calls=[("c1", "add", '{"a": 1, "b": 2}')])
TWO = Answer(tool_calls=[("c1", "add", '{"a": 1, "b": 2}'), ("c2", "shout", '{"text": "hi"}')])
BROKEN = Answer(tool_calls=[("c1", "shout", '{"text": "a')])


def names(llm: Any, answer: Any) -> list[str]:
    """Return the names of the tools an answer calls."""
    calls = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
    return [call.tool_name for call in calls]


class Tools(Scripted):
    """Behaviours of `chat_with_tools` and its streams."""

    def with_tools(self, call: Caller, llm: Any, tools: Any = (ADD,), **kwargs: Any) -> Any:
        """Return the answer to a question with tools."""
        return call.whole(llm, "chat_with_tools", list(tools), **{"user_msg": "1+2?", **kwargs})

    def stream_with_tools(self, call: Caller, llm: Any, tools: Any = (ADD,), **kwargs: Any) -> list[Any]:
        """Return the streamed answer to a question with tools."""
        return call.elements(llm, "stream_chat_with_tools", list(tools), **{"user_msg": "1+2?", **kwargs})

    def test_tools_are_described(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A tool reaches the server with its name, description and schema."""
        self.with_tools(call, llm)
        (tool,) = server.bodies[-1]["tools"]
        assert tool["type"] == "function"
        assert tool["function"]["name"] == "add"
        assert "Add two numbers" in tool["function"]["description"]
        assert tool["function"]["parameters"]["properties"]["a"]["type"] == "integer"
        assert tool["function"]["parameters"]["required"] == ["a", "b"]

    def test_tools_are_strict(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A tool says `strict`, without which vLLM does not hold arguments to their schema."""
        self.with_tools(call, llm)
        assert server.bodies[-1]["tools"][0]["function"].get("strict") is True

    def test_one_call(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A tool call comes back with id, name and arguments."""
        server.answer(ONE)
        (selection,) = llm.get_tool_calls_from_response(self.with_tools(call, llm))
        assert (selection.tool_id, selection.tool_name) == ("c1", "add")
        assert selection.tool_kwargs == {"a": 1, "b": 2}

    def test_one_call_streamed(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A streamed tool call comes back with id, name and arguments."""
        server.answer(ONE)
        (selection,) = llm.get_tool_calls_from_response(self.stream_with_tools(call, llm)[-1])
        assert (selection.tool_id, selection.tool_name) == ("c1", "add")
        assert selection.tool_kwargs == {"a": 1, "b": 2}

    def test_several_calls(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Several calls of one answer all come back when they are allowed."""
        server.answer(TWO)
        answer = self.with_tools(call, llm, (ADD, SHOUT), allow_parallel_tool_calls=True)
        assert names(llm, answer) == ["add", "shout"]

    def test_several_calls_streamed(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Several calls of one stream all come back when they are allowed."""
        server.answer(TWO)
        elements = self.stream_with_tools(call, llm, (ADD, SHOUT), allow_parallel_tool_calls=True)
        assert names(llm, elements[-1]) == ["add", "shout"]

    def test_call_as_block_and_as_dict(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A call stands in a `ToolCallBlock` and in `additional_kwargs["tool_calls"]`: cores look at either."""
        server.answer(ONE)
        for answer in (self.with_tools(call, llm), self.stream_with_tools(call, llm)[-1]):
            (block,) = [block for block in answer.message.blocks if isinstance(block, ToolCallBlock)]
            assert block.tool_name == "add"
            assert len(answer.message.additional_kwargs["tool_calls"]) == 1

    def test_calls_are_plain_data(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`additional_kwargs["tool_calls"]` is plain JSON, which a store can keep."""
        server.answer(ONE)
        for answer in (self.with_tools(call, llm), self.stream_with_tools(call, llm)[-1]):
            assert '"add"' in json.dumps(answer.message.additional_kwargs["tool_calls"])

    def test_required(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`tool_required=True` forces a call."""
        server.answer(ONE)
        self.with_tools(call, llm, tool_required=True)
        assert server.bodies[-1]["tool_choice"] == "required"

    def test_required_streamed(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`tool_required=True` forces a call in a stream."""
        server.answer(ONE)
        self.stream_with_tools(call, llm, tool_required=True)
        assert server.bodies[-1]["tool_choice"] == "required"

    def test_named(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`tool_choice` with a tool's name forces that tool."""
        server.answer(ONE)
        self.with_tools(call, llm, (ADD, SHOUT), tool_choice="add")
        assert server.bodies[-1]["tool_choice"] == {"type": "function", "function": {"name": "add"}}

    def test_none(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`tool_choice="none"` reaches the server."""
        self.with_tools(call, llm, tool_choice="none")
        assert server.bodies[-1]["tool_choice"] == "none"

    def test_parallel_off_is_asked_for(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Without `allow_parallel_tool_calls` the server is asked for one call."""
        self.with_tools(call, llm)
        assert server.bodies[-1]["parallel_tool_calls"] is False

    def test_parallel_off_trims(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Without `allow_parallel_tool_calls` an answer shows one call, in both places."""
        server.answer(TWO)
        answer = self.with_tools(call, llm, (ADD, SHOUT))
        assert names(llm, answer) == ["add"]
        assert len(answer.message.additional_kwargs["tool_calls"]) == 1

    def test_parallel_off_trims_streams(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Without `allow_parallel_tool_calls` a stream shows one call, in every element."""
        server.answer(TWO)
        elements = self.stream_with_tools(call, llm, (ADD, SHOUT))
        assert names(llm, elements[-1]) == ["add"]
        assert all(len(names(llm, element)) <= 1 for element in elements)

    def test_history_is_not_changed(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`chat_history` is the caller's list and stays as it was."""
        history = [ChatMessage(role="system", content="s")]
        self.with_tools(call, llm, chat_history=history)
        self.stream_with_tools(call, llm, chat_history=history)
        assert len(history) == 1
        assert [[m["content"] for m in body["messages"]] for body in server.bodies] == [["s", "1+2?"]] * 2

    def test_malformed_arguments_show(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Arguments that are no JSON are shown or refused, and never become an empty dict, which would run the tool."""
        server.answer(BROKEN)
        for answer in (self.with_tools(call, llm, (SHOUT,)), self.stream_with_tools(call, llm, (SHOUT,))[-1]):
            try:
                (selection,) = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
            except ValueError:
                continue
            assert selection.tool_kwargs not in ({}, {"text": "a"})

    def test_no_arguments(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A call without arguments has an empty dict."""
        server.answer(Answer(tool_calls=[("shout", "")]))
        (selection,) = llm.get_tool_calls_from_response(self.with_tools(call, llm, (SHOUT,)))
        assert selection.tool_kwargs == {}

    def test_text_and_call(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Text beside a call is kept."""
        server.answer(Answer("Let me see.", tool_calls=[("add", '{"a": 1, "b": 2}')]))
        for answer in (self.with_tools(call, llm), self.stream_with_tools(call, llm)[-1]):
            assert answer.message.content == "Let me see."
            assert names(llm, answer) == ["add"]

    def test_growing_arguments(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Every element of a stream can be asked for its calls while their JSON is incomplete."""
        server.answer(Answer(tool_calls=[("shout", '{"text": "hello there"}')]))
        elements = self.stream_with_tools(call, llm, (SHOUT,))
        readings = [llm.get_tool_calls_from_response(element, error_on_no_tool_call=False) for element in elements]
        assert readings[-1][0].tool_kwargs == {"text": "hello there"}
        assert len(readings) > 2

    def test_reading_calls_is_linear(self, llm: Any, server: CountingServer) -> None:
        """Looking at the calls of every element, as agents do, costs no more an element when arguments are long."""

        def seconds(size: int) -> float:
            server.answer(Answer(tool_calls=[("shout", '{"text": "' + "x" * size + '"}')]))
            elements = list(llm.stream_chat_with_tools([SHOUT], user_msg="x"))
            began = time.process_time()
            for element in elements:
                llm.get_tool_calls_from_response(element, error_on_no_tool_call=False)
            return (time.process_time() - began) / len(elements)

        seconds(500)
        assert seconds(8000) < 4 * seconds(1000)

    def test_result_round_trip(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A call and its result go back to the server in the wire's form."""
        server.answer(ONE)
        answer = self.with_tools(call, llm)
        result = ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": "c1"})
        call.chat(llm, [ChatMessage("1+2?"), answer.message, result])
        _, asked, told = server.bodies[-1]["messages"]
        (sent,) = asked["tool_calls"]
        assert sent["id"] == told["tool_call_id"] == "c1"
        assert json.loads(sent["function"]["arguments"]) == {"a": 1, "b": 2}
        assert (told["role"], told["content"]) == ("tool", "3")

    def test_block_arguments_are_text(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A `ToolCallBlock` with a dict is sent as JSON text, its letters kept."""
        block = ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 1, "ü": "é"})
        told = ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "c1"})
        call.chat(llm, [ChatMessage("x"), ChatMessage(role="assistant", blocks=[block]), told])
        (sent,) = server.bodies[-1]["messages"][1]["tool_calls"]
        assert json.loads(sent["function"]["arguments"]) == {"a": 1, "ü": "é"}

    def test_several_calls_in_history(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A turn with several calls goes back in a form that Llama's template takes, with nothing lost."""
        blocks = [ToolCallBlock(tool_call_id=f"c{n}", tool_name="add", tool_kwargs={"a": n, "b": 1}) for n in (1, 2)]
        told = [ChatMessage(role="tool", content=f"r{n}", additional_kwargs={"tool_call_id": f"c{n}"}) for n in (1, 2)]
        call.chat(llm, [ChatMessage("x"), ChatMessage(role="assistant", blocks=blocks), *told])
        assert not server.refused
        sent = json.dumps(server.bodies[-1]["messages"])
        assert all(text in sent for text in ("c1", "c2", "r1", "r2"))

    def test_no_tools(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """An empty list of tools is a plain request."""
        assert self.with_tools(call, llm, ()).message.content == "ok"
        assert self.stream_with_tools(call, llm, ())[-1].message.content == "ok"
        assert not any(name in body for name in ("tools", "tool_choice") for body in server.bodies)

    def test_no_call(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """An answer without a call gives an empty list, or a ValueError where one is demanded."""
        server.say("I would rather not.")
        answer = self.with_tools(call, llm)
        assert names(llm, answer) == []
        with pytest.raises(ValueError):  # noqa: PT011 - any
            llm.get_tool_calls_from_response(answer, error_on_no_tool_call=True)

    def test_predict_and_call(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`predict_and_call` runs the tool."""
        server.answer(ONE)
        assert call.whole(llm, "predict_and_call", [ADD], user_msg="1+2?").response == "3"

    def test_cut_off_call_does_not_run(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A call that `max_tokens` cut off right after its name, as vLLM sends it, does not run without arguments."""
        server.answer(Answer(tool_calls=[("shout", "")], finish_reason="length"))
        answer = self.with_tools(call, llm, (SHOUT,))
        raised = failure(lambda: _not_empty(llm.get_tool_calls_from_response(answer)))
        assert isinstance(raised, ValueError)


def _not_empty(selections: list[Any]) -> None:
    if selections[0].tool_kwargs:
        raise ValueError("shown")
