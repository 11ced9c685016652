"""Structured output: constrained by the server, typed when it fails, with usage and deltas."""

# ruff: noqa: PLR2004 - small numbers

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import BaseModel, ValidationError
from llama_index.core.program.function_program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode

from llama70b.testing import Answer, CountingServer, Request
from llamaindex_llama70b.testing._suite import Caller, Make, Scripted, failure, usage_of

ASK = PromptTemplate("Make up a person from {town}.")
JSON = '{"name": "Ann", "age": 5, "tags": ["a", "b"], "home": {"town": "Oslo"}}'
TOWN = {"town": "Oslo"}


class Home(BaseModel):
    """Where somebody lives."""

    town: str


class Person(BaseModel):
    """A person."""

    name: str
    age: int
    tags: list[str]
    home: Home


class Colour(Enum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Paint(BaseModel):
    """A paint."""

    colour: Colour
    kind: Literal["oil", "water"]


class Tags(BaseModel):
    """Different tags."""

    tags: set[str]


ANN = Person(name="Ann", age=5, tags=["a", "b"], home=Home(town="Oslo"))


def as_asked(text: str, pieces: int = 6) -> Any:
    """Return a script that answers as a model does: by a call if one is forced, in prose if it is merely offered."""

    def answer(request: Request) -> Answer:
        tools = request.body.get("tools")
        if not tools:
            return Answer(pieces=[text[at : at + pieces] for at in range(0, len(text), pieces)])
        if request.body.get("tool_choice", "auto") in {"auto", "none"}:
            return Answer("I would call it Ann.")
        return Answer(tool_calls=[(tools[0]["function"]["name"], text)])

    return answer


def constrained(body: dict[str, Any]) -> bool:
    """Return whether the server is made to keep to a schema."""
    if body.get("response_format", {}).get("type") == "json_schema" or "json" in body.get("structured_outputs", {}):
        return True
    forced = body.get("tool_choice", "auto") not in {"auto", "none"}
    return forced and all(tool["function"].get("strict") for tool in body["tools"])


class Structured(Scripted):
    """Behaviours of the four structured methods and of `as_structured_llm`."""

    def one_object(self, call: Caller, llm: Any, output_cls: type[BaseModel] = Person, **kwargs: Any) -> Any:
        """Return one object."""
        return call.whole(llm, "structured_predict", output_cls, ASK, **{**TOWN, **kwargs})

    def objects(self, call: Caller, llm: Any, output_cls: type[BaseModel] = Person, **kwargs: Any) -> list[Any]:
        """Return the growing objects."""
        return call.elements(llm, "stream_structured_predict", output_cls, ASK, **{**TOWN, **kwargs})

    def test_nested(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`structured_predict` returns an object with nested parts and lists."""
        server.answer(as_asked(JSON))
        assert self.one_object(call, llm) == ANN
        assert "Oslo" in server.bodies[-1]["messages"][-1]["content"]

    def test_enum(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`structured_predict` returns enums and literals."""
        server.answer(as_asked('{"colour": "red", "kind": "oil"}'))
        assert self.one_object(call, llm, Paint) == Paint(colour=Colour.RED, kind="oil")

    def test_set(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A class with a set works: `uniqueItems`, which vLLM's grammars refuse, is not sent."""
        server.answer(as_asked('{"tags": ["a", "a"]}'))
        assert self.one_object(call, llm, Tags) == Tags(tags={"a"})
        assert not server.refused

    def test_the_server_constrains_it(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`structured_predict` makes the server keep to the schema: `json_schema`, or a forced strict tool."""
        server.answer(as_asked(JSON))
        self.one_object(call, llm)
        assert constrained(server.bodies[-1])

    def test_the_server_constrains_streams(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`stream_structured_predict` makes the server keep to the schema."""
        server.answer(as_asked(JSON))
        self.objects(call, llm)
        assert constrained(server.bodies[-1])

    def test_streamed(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """The last object of a stream is complete and of the class."""
        server.answer(as_asked(JSON))
        objects = self.objects(call, llm)
        assert objects[-1].model_dump() == ANN.model_dump()

    def test_streamed_objects_grow(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Objects of a stream appear while the answer is incomplete."""
        server.answer(as_asked(JSON))
        objects = self.objects(call, llm)
        assert len(objects) > 2
        assert any(getattr(partial, "home", None) is None for partial in objects[:-1])

    def test_system_prompt(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`system_prompt` applies to `structured_predict`."""
        server.answer(as_asked(JSON))
        self.one_object(call, make(system_prompt="Be terse."))
        assert [m["role"] for m in server.bodies[-1]["messages"]] == ["system", "user"]

    def test_system_prompt_streamed(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`system_prompt` applies to `stream_structured_predict`."""
        server.answer(as_asked(JSON))
        self.objects(call, make(system_prompt="Be terse."))
        assert [m["role"] for m in server.bodies[-1]["messages"]] == ["system", "user"]

    def test_llm_kwargs(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`llm_kwargs` reach the server, and the caller's dict stays as it was."""
        server.answer(as_asked(JSON))
        given = {"max_tokens": 9}
        self.one_object(call, llm, llm_kwargs=given)
        body = server.bodies[-1]
        assert body.get("max_tokens", body.get("max_completion_tokens")) == 9
        assert given == {"max_tokens": 9}

    @pytest.mark.parametrize("mode", ["whole", "stream"])
    def test_cut_off(self, llm: Any, server: CountingServer, call: Caller, mode: str) -> None:
        """An object cut off by `max_tokens` raises an error that says so, not a bare parse error."""

        def cut(request: Request) -> Answer:
            if request.body.get("tools"):
                name = request.body["tools"][0]["function"]["name"]
                return Answer(tool_calls=[(name, '{"name": "A')], finish_reason="length")
            return Answer('{"name": "A', finish_reason="length")

        server.answer(cut)
        do = self.one_object if mode == "whole" else self.objects
        raised = failure(lambda: do(call, llm))
        assert not isinstance(raised, ValidationError)
        assert any(word in str(raised).lower() for word in ("length", "cut", "truncat", "max_tokens"))

    def test_what_does_not_fit(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """An answer that does not fit the class is an error."""
        server.answer(as_asked('{"name": "Ann"}'))
        failure(lambda: self.one_object(call, llm))

    def test_mode_function(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`PydanticProgramMode.FUNCTION` forces a tool."""
        server.answer(as_asked(JSON))
        assert self.one_object(call, make(pydantic_program_mode=PydanticProgramMode.FUNCTION)) == ANN
        assert server.bodies[-1]["tools"]

    def test_mode_function_streamed(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`PydanticProgramMode.FUNCTION` forces a tool in a stream, and ends in the whole object."""
        server.answer(as_asked(JSON))
        objects = self.objects(call, make(pydantic_program_mode=PydanticProgramMode.FUNCTION))
        assert objects[-1].model_dump() == ANN.model_dump()

    def test_mode_llm(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`PydanticProgramMode.LLM` asks in words, and says nothing of tools."""
        server.say(f"Here you are: {JSON}")
        assert self.one_object(call, make(pydantic_program_mode=PydanticProgramMode.LLM)) == ANN
        assert "tool_choice" not in server.bodies[-1]
        assert "schema" in server.bodies[-1]["messages"][-1]["content"]

    def test_core_s_function_program(self, llm: Any, server: CountingServer) -> None:
        """Core's own `FunctionCallingProgram` works over the model."""
        server.answer(Answer(tool_calls=[("Person", JSON)]))
        program = FunctionCallingProgram.from_defaults(Person, prompt=ASK, llm=llm)
        assert program(town="Oslo") == ANN

    def test_structured_llm(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`as_structured_llm` answers with the object in `raw` and its JSON as text."""
        server.answer(as_asked(JSON))
        answer = call.chat(llm.as_structured_llm(Person), [ChatMessage("x")])
        assert answer.raw == ANN
        assert Person.model_validate_json(answer.message.content) == ANN

    def test_structured_llm_complete(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`as_structured_llm` completes too."""
        server.answer(as_asked(JSON))
        assert Person.model_validate_json(call.complete(llm.as_structured_llm(Person), "x").text) == ANN

    def test_structured_llm_keeps_braces(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Braces in a message are not taken for a template."""
        server.answer(as_asked(JSON))
        call.chat(llm.as_structured_llm(Person), [ChatMessage("braces {town} stay")])
        assert server.bodies[-1]["messages"][-1]["content"].startswith("braces {town} stay")

    def test_structured_llm_usage(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """An answer of `as_structured_llm` says what it cost."""
        server.answer(as_asked(JSON))
        answer = call.chat(llm.as_structured_llm(Person), [ChatMessage("x")])
        assert answer.additional_kwargs["prompt_tokens"] == server.prompts[-1]

    def test_structured_llm_stream(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A stream of `as_structured_llm` ends in the whole object."""
        server.answer(as_asked(JSON))
        elements = call.stream_chat(llm.as_structured_llm(Person), [ChatMessage("x")])
        assert elements[-1].raw.model_dump() == ANN.model_dump()

    def test_structured_llm_deltas(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Deltas of a stream of `as_structured_llm` make up the JSON."""
        server.answer(as_asked(JSON))
        elements = call.stream_chat(llm.as_structured_llm(Person), [ChatMessage("x")])
        assert Person.model_validate_json("".join(element.delta or "" for element in elements)) == ANN

    def test_structured_llm_stream_usage(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """The last element of a stream of `as_structured_llm` says what it cost."""
        server.answer(as_asked(JSON))
        last = call.stream_chat(llm.as_structured_llm(Person), [ChatMessage("x")])[-1]
        assert last.additional_kwargs["prompt_tokens"] == server.prompts[-1]

    def test_structured_llm_stream_complete(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`as_structured_llm` streams completions."""
        server.answer(as_asked(JSON))
        elements = call.stream_complete(llm.as_structured_llm(Person), "x")
        assert Person.model_validate_json(elements[-1].text) == ANN

    def test_response_format_by_hand(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A `json_schema` format given to `chat` by hand arrives as it is, and usage with the answer."""
        server.say(JSON)
        form = {"type": "json_schema", "json_schema": {"name": "Home", "schema": Home.model_json_schema()}}
        answer = call.chat(llm, response_format=form)
        assert server.bodies[-1]["response_format"]["json_schema"]["name"] == "Home"
        assert usage_of(answer)[0] == server.prompts[-1]
