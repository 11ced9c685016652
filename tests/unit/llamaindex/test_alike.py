"""One request through either adapter is the same JSON on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the other adapter's framework is an extra of its own")

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from pydantic import BaseModel

from langchain_llama70b import ChatLlama70B
from llamaindex_llama70b import Llama70B
from tests.unit.scripted_server import KEY, Answer, Raw, ScriptedServer, error


class Person(BaseModel):
    """A person."""

    name: str
    tags: set[str] = set()


TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
OTHER = {"type": "function", "function": {**TOOL["function"], "name": "sub", "strict": False}}  # type: ignore[dict-item]
NAMED = {"type": "function", "function": {"name": "add"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {}}}}

PER_CALL: list[dict[str, Any]] = [
    {},
    {"temperature": 0},
    {"temperature": 0.7, "top_p": 0.9},
    {"max_tokens": 5},
    {"max_completion_tokens": 6},
    {"seed": 3},
    {"presence_penalty": 0.5, "frequency_penalty": -0.5},
    {"stop": ["a", "b"]},
    {"stop": []},
    {"logprobs": True},
    {"logprobs": True, "top_logprobs": 3},
    {"top_k": 4, "min_p": 0.1, "repetition_penalty": 1.2},
    {"min_tokens": 2, "ignore_eos": True},
    {"extra_body": {"priority": 3}},
    {"extra_body": {"some_new_field": [1]}},
    {"model": "another"},
    {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "text"}},
    {"response_format": SCHEMA},
    {"response_format": Person},
    {"structured_outputs": {"regex": "[a-z]+"}},
    {"structured_outputs": {"choice": ["a", "b"]}},
    {"structured_outputs": {"grammar": 'root ::= "a"'}},
    {"structured_outputs": {"json": {"type": "array", "uniqueItems": True}}},
    {"tools": [TOOL]},
    {"tools": [TOOL], "tool_choice": "auto"},
    {"tools": [TOOL], "tool_choice": "none"},
    {"tools": [TOOL], "tool_choice": "any"},
    {"tools": [TOOL], "tool_choice": "required"},
    {"tools": [TOOL, OTHER], "tool_choice": "add"},
    {"tools": [TOOL, OTHER], "tool_choice": NAMED},
    {"tools": [TOOL], "parallel_tool_calls": True},
    {"tools": [TOOL], "parallel_tool_calls": False},
    {"tools": []},
]
FIELDS: list[dict[str, Any]] = [
    {"temperature": 0.2, "max_tokens": 9, "stop": ["x"], "seed": 1},
    {"top_k": 3, "extra_body": {"cache_salt": "s"}},
    {"structured_outputs": {"regex": "a"}},
    {"model": "m"},
    {"min_tokens": 3},
    {"logprobs": True, "top_logprobs": 1, "presence_penalty": 0.1},
]
CONVERSATIONS: list[tuple[list[Any], list[Any]]] = [
    ([HumanMessage("hi")], [ChatMessage("hi")]),
    (
        [SystemMessage("s"), HumanMessage("ü"), AIMessage("a"), HumanMessage("b")],
        [
            ChatMessage(role=r, content=c)
            for r, c in [("system", "s"), ("user", "ü"), ("assistant", "a"), ("user", "b")]
        ],
    ),
    (
        [
            HumanMessage("x"),
            AIMessage("", tool_calls=[{"id": "c1", "name": "add", "args": {"a": 1}}]),
            ToolMessage("2", tool_call_id="c1"),
        ],
        [
            ChatMessage("x"),
            ChatMessage(
                role="assistant",
                blocks=[ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 1})],
            ),
            ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "c1"}),
        ],
    ),
    (
        [
            HumanMessage("x"),
            AIMessage(
                "",
                tool_calls=[
                    {"id": "c1", "name": "add", "args": {"a": 1}},
                    {"id": "c2", "name": "add", "args": {"a": 2}},
                ],
            ),
            ToolMessage("2", tool_call_id="c2"),
            ToolMessage("1", tool_call_id="c1"),
        ],
        [
            ChatMessage("x"),
            ChatMessage(
                role="assistant",
                blocks=[
                    ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 1}),
                    ToolCallBlock(tool_call_id="c2", tool_name="add", tool_kwargs={"a": 2}),
                ],
            ),
            ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "c2"}),
            ChatMessage(role="tool", content="1", additional_kwargs={"tool_call_id": "c1"}),
        ],
    ),
]


def pair(scripted: ScriptedServer, **fields: Any) -> tuple[ChatLlama70B, Llama70B]:
    given = {"base_url": scripted.url, "api_key": KEY, "progress_bar": False, **fields}
    return ChatLlama70B(**given), Llama70B(**given)


def bodies(scripted: ScriptedServer) -> tuple[dict[str, Any], dict[str, Any]]:
    first, second = scripted.bodies[-2:]
    return first, second


@pytest.mark.parametrize("given", PER_CALL, ids=str)
@pytest.mark.parametrize("streams", [False, True])
def test_arguments_of_a_call(scripted: ScriptedServer, given: dict[str, Any], streams: bool) -> None:
    one, other = pair(scripted)
    with one:
        if streams:
            list(one.stream([HumanMessage("hi")], **given))
            list(other.stream_chat([ChatMessage("hi")], **given))
        else:
            one.invoke([HumanMessage("hi")], **given)
            other.chat([ChatMessage("hi")], **given)
    other.close()
    first, second = bodies(scripted)
    assert first == second


@pytest.mark.parametrize("given", FIELDS, ids=str)
def test_fields(scripted: ScriptedServer, given: dict[str, Any]) -> None:
    one, other = pair(scripted, **given)
    with one:
        one.invoke([HumanMessage("hi")])
        other.chat([ChatMessage("hi")])
    other.close()
    first, second = bodies(scripted)
    assert first == second


@pytest.mark.parametrize("talk", CONVERSATIONS, ids=range(len(CONVERSATIONS)))
def test_conversations(scripted: ScriptedServer, talk: tuple[list[Any], list[Any]]) -> None:
    one, other = pair(scripted)
    with one:
        one.invoke(talk[0])
        other.chat(talk[1])
    other.close()
    first, second = bodies(scripted)
    assert first == second


def test_structured_output(scripted: ScriptedServer) -> None:
    scripted.say('{"name": "Ann"}')
    one, other = pair(scripted)
    from llama_index.core.prompts import PromptTemplate

    with one:
        made = one.with_structured_output(Person).invoke("hi")
        assert other.structured_predict(Person, PromptTemplate("hi")) == made
    other.close()
    first, second = bodies(scripted)
    assert first == second


def test_metadata(scripted: ScriptedServer) -> None:
    scripted.answer(Answer("x", metrics={"a_ms": 1.0}, stop_reason="END"))
    one, other = pair(scripted)
    with one:
        said = one.invoke("hi").response_metadata
        told = other.complete("hi").additional_kwargs
    other.close()
    # LangChain's own place for these is usage_metadata
    counts = {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert {told[name] for name in counts} == set(said.pop("token_usage", {"a": 11, "b": 7, "c": 18}).values())
    assert set(told) - counts == set(said)
    differing = {"request_id", "timing"}
    assert {k: v for k, v in said.items() if k not in differing} == {
        k: v for k, v in told.items() if k not in differing | counts
    }


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (error(400, "no"), "BadRequest"),
        (error(404, "no"), "NotFound"),
        (Raw(401, {"error": "Unauthorized"}), "AuthenticationError"),
        (Raw(200, "<html>"), "ProtocolError"),
    ],
)
def test_errors(scripted: ScriptedServer, answer: Raw, name: str) -> None:
    from llama70b import errors

    scripted.answer(answer)
    one, other = pair(scripted, max_retries=0)
    texts = []
    calls: list[Callable[[], Any]] = [lambda: one.invoke("hi"), lambda: other.complete("hi")]
    for call in calls:
        with pytest.raises(getattr(errors, name)) as caught:
            call()
        texts.append(str(caught.value))
    one.close()
    other.close()
    assert texts[0] == texts[1]


@pytest.mark.parametrize("given", [{"temprature": 1}, {"guided_json": {}}, {"api_key": "x"}, {"quux": 1}], ids=str)
def test_refusals(scripted: ScriptedServer, given: dict[str, Any]) -> None:
    one, other = pair(scripted)
    texts = []
    for call in (lambda: one.invoke("hi", **given), lambda: other.complete("hi", **given)):
        with pytest.raises(ValueError, match=next(iter(given))) as caught:
            call()
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert not scripted.chats
    one.close()
    other.close()
