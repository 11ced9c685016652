"""Structured output: constrained by the server, typed when it fails, with usage and deltas."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, field_validator

from llamaindex_llama70b import Llama70B, OutputInvalid, OutputTruncated
from tests.unit.scripted_server import Answer, ScriptedServer

Make = Callable[..., Llama70B]
ASK = PromptTemplate("Make up a person from {town}.")
JSON = '{"name": "Ann", "age": 5, "tags": ["a", "b"], "home": {"town": "Oslo"}}'


class Home(BaseModel):
    town: str


class Person(BaseModel):
    """A person."""

    name: str
    age: int
    tags: list[str]
    home: Home


ANN = Person(name="Ann", age=5, tags=["a", "b"], home=Home(town="Oslo"))


class Colour(Enum):
    RED = "red"


class Wide(BaseModel):
    colour: Colour
    kind: Literal["x", "y"]
    options: dict[str, int] | None = None
    unique: set[str] = set()


class Small(BaseModel):
    """A person whose name is short."""

    name: str

    @field_validator("name")
    @classmethod
    def short(cls, value: str) -> str:
        if len(value) > 3:
            raise ValueError("at most 3 letters")
        return value


class TestServerConstrained:
    def test_the_request(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.say(JSON)
        assert call.structured_predict(llm, Person, ASK, town="Oslo") == ANN
        body = scripted.bodies[-1]
        assert body["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "Person", "schema": Person.model_json_schema(), "strict": True},
        }
        assert "tools" not in body
        assert body["messages"] == [{"role": "user", "content": "Make up a person from Oslo."}]

    def test_llm_kwargs(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.say(JSON)
        given = {"max_tokens": 9, "tool_choice": "x", "tool_required": True}
        call.structured_predict(llm, Person, ASK, llm_kwargs=given, town="x")
        assert scripted.bodies[-1]["max_tokens"] == 9
        assert given == {"max_tokens": 9, "tool_choice": "x", "tool_required": True}

    def test_a_chat_prompt(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.say(JSON)
        prompt = ChatPromptTemplate.from_messages([("system", "From {town}."), ("user", "Go.")])
        call.structured_predict(llm, Person, prompt, town="Oslo")
        assert [m["content"] for m in scripted.bodies[-1]["messages"]] == ["From Oslo.", "Go."]


class TestFailures:
    @pytest.mark.parametrize("mode", [PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION])
    def test_cut_off(self, make: Make, scripted: ScriptedServer, call: Any, mode: PydanticProgramMode) -> None:
        llm = make(pydantic_program_mode=mode)
        cut = Answer('{"name": "A', finish_reason="length")
        if mode == PydanticProgramMode.FUNCTION:
            cut = Answer(tool_calls=[("Person", '{"name": "A')], finish_reason="length")
        scripted.answer(cut)
        for method in (call.structured_predict, call.stream_structured_predict):
            with pytest.raises(OutputTruncated, match=r"cut off.*raise max_tokens") as caught:
                method(llm, Person, ASK, town="x")
            assert caught.value.text == '{"name": "A'
            assert isinstance(caught.value, ValueError)

    @pytest.mark.parametrize("mode", [PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION])
    def test_a_validator_says_no(
        self, make: Make, scripted: ScriptedServer, call: Any, mode: PydanticProgramMode
    ) -> None:
        llm = make(pydantic_program_mode=mode)
        bad = '{"name": "Annabel"}'
        function = mode == PydanticProgramMode.FUNCTION
        scripted.answer(Answer(tool_calls=[("Small", bad)]) if function else Answer(bad))
        for method in (call.structured_predict, call.stream_structured_predict):
            with pytest.raises(OutputInvalid, match=r"does not fit Small: name: .*at most 3 letters.*1 in all"):
                method(llm, Small, ASK, town="x")

    def test_prose_where_a_call_was_forced(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        scripted.say("I am Ann.")
        with pytest.raises(OutputInvalid):
            call.structured_predict(make(pydantic_program_mode="function"), Small, ASK, town="x")

    def test_a_class_that_is_none(self, llm: Llama70B, call: Any) -> None:
        with pytest.raises(ValueError, match="dict is no pydantic class"):
            call.structured_predict(llm, dict, ASK, town="x")


class TestOtherModes:
    def test_function(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        llm = make(pydantic_program_mode=PydanticProgramMode.FUNCTION, system_prompt="Be terse.")
        scripted.answer(Answer(tool_calls=[("Person", JSON)]))
        assert call.structured_predict(llm, Person, ASK, town="x") == ANN
        objects = call.stream_structured_predict(llm, Person, ASK, town="x")
        assert objects[-1] == ANN
        assert len(objects) > 2
        for body in scripted.bodies:
            assert body["tool_choice"] == "required"
            assert body["parallel_tool_calls"] is False
            assert body["tools"][0]["function"]["strict"] is True
            assert [m["role"] for m in body["messages"]] == ["system", "user"]
            assert "response_format" not in body


class TestStructuredLLM:
    # core's StructuredLLM.stream_chat, which serves the mode "llm", calls pydantic's old .json()
    @pytest.mark.filterwarnings("ignore:The `json` method is deprecated:DeprecationWarning")
    @pytest.mark.parametrize("mode", ["function", "llm"])
    def test_other_modes(self, make: Make, scripted: ScriptedServer, call: Any, mode: str) -> None:
        scripted.answer(Answer(tool_calls=[("Person", JSON)]) if mode == "function" else Answer(JSON))
        structured = make(pydantic_program_mode=mode).as_structured_llm(Person)
        assert call.chat(structured, [ChatMessage("x")]).raw == ANN
        assert call.complete(structured, "x").raw == ANN
        assert call.stream_chat(structured, [ChatMessage("x")])[-1].raw == ANN
        if mode == "function":
            assert "".join(e.delta for e in call.stream_chat(structured, [ChatMessage("x")])) == JSON

    def test_cut_off(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer('{"name": "A', finish_reason="length"))
        structured = llm.as_structured_llm(Person)
        for method in (call.chat, call.stream_chat):
            with pytest.raises(OutputTruncated):
                method(structured, [ChatMessage("x")])

    def test_call_arguments(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.say(JSON)
        call.chat(llm.as_structured_llm(Person), [ChatMessage("x")], max_tokens=9)
        assert scripted.bodies[-1]["max_tokens"] == 9

    def test_metadata_and_payload(self, llm: Llama70B) -> None:
        structured = llm.as_structured_llm(Person)
        assert structured.metadata == llm.metadata
        assert structured.to_payload()["output_cls"] == "Person"

    def test_leaving_early_hangs_up(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        scripted.answer(Answer(pieces=list(JSON), pause_s=0.05))
        stream = llm.as_structured_llm(Person).stream_chat([ChatMessage("x")])
        next(stream)
        stream.close()
        assert scripted.left.wait(3)
        objects = llm.stream_structured_predict(Person, ASK, town="x")
        next(objects)
        scripted.left.clear()
        objects.close()
        assert scripted.left.wait(3)
