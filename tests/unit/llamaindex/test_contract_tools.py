"""Tools: single, several, required, named, streamed, malformed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool, ToolMetadata
from pydantic import BaseModel, Field

from llamaindex_llama70b import (
    ConfigurationError,
    Llama70B,
    OutputTruncated,
    ToolArgumentsInvalid,
    ToolCallMissing,
)
from tests.unit.scripted_server import Answer, ScriptedServer

Make = Callable[..., Llama70B]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


ADD, SHOUT = FunctionTool.from_defaults(add), FunctionTool.from_defaults(shout)
ONE = Answer(tool_calls=[("c1", "add", '{"a": 1, "b": 2}')])
TWO = Answer(tool_calls=[("c1", "add", '{"a": 1, "b": 2}'), ("c2", "shout", '{"text": "hi"}')])


class TestAsking:
    def test_the_request(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        call.chat_with_tools(llm, [ADD], user_msg="1+2")
        body = scripted.bodies[-1]
        assert body["tools"] == [
            {
                "type": "function",
                "function": {
                    "name": "add",
                    "description": ADD.metadata.description,
                    "parameters": {
                        "type": "object",
                        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                        "required": ["a", "b"],
                    },
                    "strict": True,
                },
            }
        ]
        assert "tool_choice" not in body
        assert body["parallel_tool_calls"] is False

    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ({"tool_required": True}, "required"),
            ({"tool_choice": "any"}, "required"),
            ({"tool_choice": "required"}, "required"),
            ({"tool_choice": "auto"}, "auto"),
            ({"tool_choice": "none"}, "none"),
            ({"tool_choice": "add"}, {"type": "function", "function": {"name": "add"}}),
            (
                {"tool_choice": {"type": "function", "function": {"name": "add"}}},
                {"type": "function", "function": {"name": "add"}},
            ),
            ({"tool_choice": "add", "tool_required": True}, {"type": "function", "function": {"name": "add"}}),
        ],
    )
    def test_tool_choice(
        self, llm: Llama70B, scripted: ScriptedServer, call: Any, given: dict[str, Any], sent: Any
    ) -> None:
        call.chat_with_tools(llm, [ADD, SHOUT], user_msg="x", **given)
        call.stream_chat_with_tools(llm, [ADD, SHOUT], user_msg="x", **given)
        assert [body["tool_choice"] for body in scripted.bodies] == [sent, sent]

    def test_a_choice_nobody_offers(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        with pytest.raises(ConfigurationError, match="'multiply'; the tools given are add"):
            call.chat_with_tools(llm, [ADD], user_msg="x", tool_choice="multiply")
        with pytest.raises(ConfigurationError, match="tool_choice is 7"):
            call.chat_with_tools(llm, [ADD], user_msg="x", tool_choice=7)

    def test_parallel_calls_allowed(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        call.chat_with_tools(llm, [ADD], user_msg="x", allow_parallel_tool_calls=True)
        assert scripted.bodies[-1]["parallel_tool_calls"] is True

    def test_strictness(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        call.chat_with_tools(make(strict=False), [ADD], user_msg="x")
        call.chat_with_tools(make(strict=False), [ADD], user_msg="x", strict=True)
        assert ["strict" in body["tools"][0]["function"] for body in scripted.bodies] == [False, True]

    def test_tools_in_any_form_to_chat(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        from llama70b import ToolSpec

        form = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
        call.chat(llm, tools=[ADD, form, ToolSpec("g", "", {"type": "object"}, strict=False)])
        assert [tool["function"]["name"] for tool in scripted.bodies[-1]["tools"]] == ["add", "f", "g"]
        with pytest.raises(ConfigurationError, match="tool 0 is int"):
            call.chat(llm, tools=[3])

    def test_a_schema_keeps_what_it_means_and_loses_titles(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        class Nested(BaseModel):
            title: str = Field(description="the title of the book")

        class Arguments(BaseModel):
            title: str
            inner: Nested

        tool = FunctionTool.from_defaults(add, name="odd name!", description="d" * 2000, fn_schema=Arguments)
        llm.chat_with_tools([tool], user_msg="x")
        function = scripted.bodies[-1]["tools"][0]["function"]
        assert function["name"] == "odd_name_"
        assert function["description"] == "d" * 2000
        parameters = function["parameters"]
        assert parameters["properties"]["title"] == {"type": "string"}
        assert parameters["$defs"]["Nested"]["properties"]["title"]["description"] == "the title of the book"
        assert "title" not in parameters["$defs"]["Nested"]

    def test_a_tool_without_a_schema(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        class Bare(FunctionTool):
            @property
            def metadata(self) -> ToolMetadata:
                return ToolMetadata(name="bare", description="d", fn_schema=None)

        llm.chat_with_tools([Bare.from_defaults(shout)], user_msg="x")
        assert scripted.bodies[-1]["tools"][0]["function"]["parameters"]["required"] == ["input"]

    def test_tools_and_a_constraint_are_refused(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        with pytest.raises(ConfigurationError, match="vLLM drops one of them"):
            call.chat_with_tools(llm, [ADD], user_msg="x", regex="a+")


class TestAnswering:
    def test_growing_arguments(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer(tool_calls=[("shout", '{"text": "hello there"}')]))
        elements = call.stream_chat_with_tools(llm, [SHOUT], user_msg="x")
        texts = [llm.get_tool_calls_from_response(e, error_on_no_tool_call=False)[0].tool_kwargs for e in elements]
        assert texts[0] == {}
        assert {"text": "hello"} in texts or {"text": "hello "} in texts
        assert texts[-1] == {"text": "hello there"}
        assert [e.delta for e in elements] == [""] * len(elements)

    def test_none_where_one_is_demanded(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.say("I would rather not.")
        answer = call.chat_with_tools(llm, [ADD], user_msg="x")
        assert llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False) == []
        with pytest.raises(ToolCallMissing, match="expected at least one tool call") as caught:
            llm.get_tool_calls_from_response(answer)
        assert isinstance(caught.value, ValueError)
        assert caught.value.text == "I would rather not."


class TestMalformed:
    """Arguments that are no JSON object are shown, and never become `{}`, with which the tool would run."""

    BROKEN = Answer(tool_calls=[("c1", "shout", '{"text": "a')])

    def test_for_an_agent(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(self.BROKEN)
        for answer in (
            call.chat_with_tools(llm, [SHOUT], user_msg="x"),
            call.stream_chat_with_tools(llm, [SHOUT], user_msg="x")[-1],
        ):
            (selection,) = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
            assert selection.tool_kwargs == {
                "malformed_arguments": '{"text": "a',
                "error": "the arguments are not a JSON object",
            }
            assert answer.message.blocks[0].tool_kwargs == '{"text": "a'

    def test_where_a_call_is_demanded(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(self.BROKEN)
        with pytest.raises(ToolArgumentsInvalid, match="call of 'shout' are not a JSON object") as caught:
            call._whole(llm, "predict_and_call", [SHOUT], "x")
        assert caught.value.text == '{"text": "a'

    @pytest.mark.parametrize("text", ['["a"]', '"a"', "3", "null"])
    def test_json_that_is_no_object(self, llm: Llama70B, scripted: ScriptedServer, text: str) -> None:
        scripted.answer(Answer(tool_calls=[("shout", text)]))
        with pytest.raises(ToolArgumentsInvalid):
            llm.get_tool_calls_from_response(llm.chat_with_tools([SHOUT], user_msg="x"))

    def test_cut_off(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer(tool_calls=[("shout", '{"text": "a')], finish_reason="length"))
        answer = call.stream_chat_with_tools(llm, [SHOUT], user_msg="x")[-1]
        (selection,) = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
        assert selection.tool_kwargs["error"] == "the arguments are cut off by max_tokens"
        with pytest.raises(OutputTruncated, match="the call of 'shout' was cut off"):
            llm.get_tool_calls_from_response(answer)

    def test_cut_off_right_after_the_name(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        # seen on vLLM 0.32: such a call must not run as if it had no arguments
        scripted.answer(Answer(tool_calls=[("shout", "")], finish_reason="length"))
        for answer in (
            call.chat_with_tools(llm, [SHOUT], user_msg="x"),
            call.stream_chat_with_tools(llm, [SHOUT], user_msg="x")[-1],
        ):
            (selection,) = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
            assert selection.tool_kwargs["malformed_arguments"] == ""
            with pytest.raises(OutputTruncated):
                llm.get_tool_calls_from_response(answer)

    def test_cut_off_before_there_was_a_call(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        # vLLM: a forced call cut by max_tokens comes as text, without tool_calls
        scripted.answer(Answer('{"name": "sho', finish_reason="length"))
        answer = call.chat_with_tools(llm, [SHOUT], user_msg="x", tool_required=True)
        with pytest.raises(OutputTruncated):
            llm.get_tool_calls_from_response(answer)

    def test_it_goes_back_to_the_model(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(self.BROKEN)
        message = call.chat_with_tools(llm, [SHOUT], user_msg="x").message
        call.chat(llm, [ChatMessage("x"), message])
        (sent,) = scripted.bodies[-1]["messages"][-1]["tool_calls"]
        assert sent["function"]["arguments"] == '{"malformed_arguments": "{\\"text\\": \\"a"}'


class TestForeignAnswers:
    """Answers that other models or older memories wrote: calls as objects, as text, in additional_kwargs only."""

    def test_sdk_objects(self, llm: Llama70B) -> None:
        from types import SimpleNamespace

        from llama_index.core.llms import ChatResponse

        function = SimpleNamespace(name="add", arguments='{"a": 1, "b": 2}')
        call = SimpleNamespace(id="c9", type="function", function=function)
        answer = ChatResponse(message=ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]}))
        (selection,) = llm.get_tool_calls_from_response(answer)
        assert (selection.tool_id, selection.tool_kwargs) == ("c9", {"a": 1, "b": 2})

    def test_arguments_as_text_in_a_block(self, llm: Llama70B) -> None:
        from llama_index.core.llms import ChatResponse

        block = ToolCallBlock(tool_call_id=None, tool_name="add", tool_kwargs='{"a": 1}')
        (selection,) = llm.get_tool_calls_from_response(ChatResponse(message=ChatMessage(blocks=[block])))
        assert selection.tool_kwargs == {"a": 1}

    def test_what_has_no_name(self, llm: Llama70B, call: Any) -> None:
        message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [{"id": "c"}]})
        with pytest.raises(ConfigurationError, match=r"tool_calls'\]\[0\] has no function name"):
            call.chat(llm, [message])
