"""Requests as vLLM reads them, and its answers as values."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b import (
    ChatRequest,
    Message,
    ModelInfo,
    NamedTool,
    StructuredOutputs,
    TokenCount,
    ToolCall,
    ToolSpec,
    Usage,
    _wire,
)
from llama70b.errors import ConfigurationError, ProtocolError
from tests.unit.core.world import few

USER = Message("user", "hi")
ADD = ToolSpec("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})


def request(**fields: Any) -> ChatRequest:
    return ChatRequest(messages=(USER,), **fields)


def test_the_smallest_body() -> None:
    assert _wire.chat_body(request(), "m", stream=False) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": False,
    }


def test_the_largest_body() -> None:
    whole = ChatRequest(
        messages=(
            Message("system", "s"),
            Message("user", "u", name="Ann"),
            Message("assistant", "", tool_calls=(ToolCall("c1", "add", '{"a": 1}'),), reasoning="never sent"),
            Message("tool", "2", tool_call_id="c1"),
        ),
        model="mine",
        temperature=0.0,
        top_p=0.9,
        max_tokens=5,
        stop=("END",),
        seed=7,
        n=1,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=3,
        tools=(ADD, ToolSpec("sub", "Subtract.", {}, strict=False)),
        tool_choice=NamedTool("add"),
        response_format={"type": "json_object"},
        structured_outputs=StructuredOutputs(choice=("a", "b")),
        extra={"top_k": 5, "min_p": 0.1},
    )
    assert _wire.chat_body(whole, "m", stream=True) == {
        "model": "mine",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "u", "name": "Ann"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
            },
            {"role": "tool", "content": "2", "tool_call_id": "c1"},
        ],
        "temperature": 0.0,
        "top_p": 0.9,
        "max_tokens": 5,
        "seed": 7,
        "n": 1,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "stop": ["END"],
        "logprobs": True,
        "top_logprobs": 3,
        "tools": [
            {
                "type": "function",
                "function": {"name": "add", "description": "Add.", "parameters": ADD.parameters, "strict": True},
            },
            {"type": "function", "function": {"name": "sub", "description": "Subtract.", "parameters": {}}},
        ],
        "parallel_tool_calls": False,
        "tool_choice": {"type": "function", "function": {"name": "add"}},
        "response_format": {"type": "json_object"},
        "structured_outputs": {"choice": ["a", "b"]},
        "top_k": 5,
        "min_p": 0.1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"top_logprobs": 0}, {"logprobs": True, "top_logprobs": 0}),
        ({"logprobs": True}, {"logprobs": True}),
        ({"stop": ()}, {}),
        ({"tools": (ADD,), "tool_choice": "required", "parallel_tool_calls": True}, {"tool_choice": "required"}),
        ({"tools": (ADD,)}, {"parallel_tool_calls": False}),
        ({"structured_outputs": StructuredOutputs(json_object=True)}, {"structured_outputs": {"json_object": True}}),
    ],
)
def test_parts_of_a_body(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    body = _wire.chat_body(request(**fields), "m", stream=False)
    assert {name: body.get(name) for name in sent} == sent
    assert "stop" not in body


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"extra": {"guided_json": {}, "guided_regex": "x"}}, "guided_json, guided_regex"),
        *[({"extra": {name: 1}}, name) for name in ("messages", "model", "stream", "stream_options", "tools")],
        ({"extra": {"tool_choice": "auto"}}, "tool_choice"),
        ({"tool_choice": "required"}, "no tools"),
        ({"tool_choice": NamedTool("x")}, "no tools"),
        ({"tool_choice": NamedTool("x"), "tools": (ADD,)}, "add"),
    ],
)
def test_requests_that_contradict_themselves(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        _wire.chat_body(request(**fields), "m", stream=False)


@pytest.mark.parametrize("fields", [{"n": 2}, {"extra": {"n": 2}}, {"extra": {"n": [1]}}])
def test_one_answer_in_a_stream(fields: dict[str, Any]) -> None:
    _wire.chat_body(request(**fields), "m", stream=False)
    with pytest.raises(ConfigurationError, match="stream"):
        _wire.chat_body(request(**fields), "m", stream=True)


def test_no_messages() -> None:
    with pytest.raises(ConfigurationError, match="no messages"):
        _wire.chat_body(ChatRequest(messages=()), "m", stream=False)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("", "{}"),
        ("  ", "{}"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"a": ', '{"malformed_arguments": "{\\"a\\": "}'),
        ("[1]", '{"malformed_arguments": "[1]"}'),
        ("null", '{"malformed_arguments": "null"}'),
        ("[" * 100_000, '{"malformed_arguments": "' + "[" * 100_000 + '"}'),
    ],
)
def test_arguments_in_history_are_always_an_object(text: str, sent: str) -> None:
    turn = Message("assistant", "", tool_calls=(ToolCall("c", "f", text),))
    body = _wire.chat_body(ChatRequest(messages=(USER, turn)), "m", stream=False)
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == sent
    assert isinstance(json.loads(sent), dict)


def test_unique_items_is_stripped_and_properties_of_that_name_stay() -> None:
    schema = {
        "type": "object",
        "properties": {
            "uniqueItems": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            "pair": {"type": "array", "prefixItems": [{"uniqueItems": True, "type": "array"}]},
        },
        "$defs": {"uniqueItems": {"uniqueItems": False, "type": "array"}},
    }
    clean = _wire.compilable(schema)
    assert clean == {
        "type": "object",
        "properties": {
            "uniqueItems": {"type": "array", "items": {"type": "string"}},
            "pair": {"type": "array", "prefixItems": [{"type": "array"}]},
        },
        "$defs": {"uniqueItems": {"type": "array"}},
    }
    spec = ToolSpec("f", "", {"type": "array", "uniqueItems": True})
    body = _wire.chat_body(request(tools=(spec,), response_format={"schema": schema}), "m", stream=False)
    assert "uniqueItems" not in body["tools"][0]["function"]["parameters"]
    assert body["response_format"] == {"schema": clean}


@pytest.mark.parametrize(
    "schema",
    [
        {"const": {"uniqueItems": True}},
        {"enum": [{"uniqueItems": True}, 5]},
        {"default": {"uniqueItems": False}},
        {"examples": [{"uniqueItems": True}]},
        {"dependentSchemas": {"uniqueItems": True}},
        {"properties": {"uniqueItems": True}, "required": ["uniqueItems"]},
        {"patternProperties": {"uniqueItems": False}},
        {"definitions": {"uniqueItems": True}},
    ],
)
def test_data_and_names_that_look_like_the_keyword_stay(schema: dict[str, Any]) -> None:
    assert _wire.compilable(schema) == schema
    assert _wire.compilable({"items": schema, "uniqueItems": True}) == {"items": schema}


def test_schemas_of_structured_outputs_are_cleaned_and_the_callers_own_is_not_touched() -> None:
    schema = {"type": "array", "uniqueItems": True}
    fields = {"structured_outputs": StructuredOutputs(json=schema)}
    assert _wire.chat_body(request(**fields), "m", stream=False)["structured_outputs"] == {"json": {"type": "array"}}
    assert schema == {"type": "array", "uniqueItems": True}


SCHEMAS = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "items", "uniqueItems", "properties", "$defs", "x"]), inner, max_size=3
        )
    ),
)


@few
@given(SCHEMAS)
def test_compilable_is_stable_and_changes_nothing_else(schema: Any) -> None:
    clean = _wire.compilable(schema)
    assert _wire.compilable(clean) == clean
    if "uniqueItems" not in json.dumps(schema):
        assert clean == schema


def test_tokenize_counts_what_the_chat_would_send() -> None:
    body = _wire.tokenize_body(request(tools=(ADD,), temperature=0.5), "m")
    chat = _wire.chat_body(request(tools=(ADD,)), "m", stream=False)
    assert body["messages"] == chat["messages"]
    assert body["tools"] == chat["tools"]
    assert body["add_generation_prompt"] is True
    assert "temperature" not in body


def answer(**message: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def test_a_whole_answer() -> None:
    raw = {
        **answer(
            content="hi",
            reasoning="hm",
            tool_calls=[
                {"id": "a", "function": {"name": "f", "arguments": "{"}},
                {"function": {"name": "g", "arguments": {"x": 1}}},
                {"function": {"name": "h", "arguments": None}},
            ],
        ),
        "created": 5,
        "system_fingerprint": "fp",
        "metrics": {"queue_time_ms": 1},
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 2,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }
    got = _wire.completion(raw)
    assert (got.id, got.model, got.created, got.system_fingerprint, got.text) == ("c1", "m", 5, "fp", "hi")
    assert got.message.reasoning == "hm"
    assert got.metrics == {"queue_time_ms": 1}
    assert got.usage == Usage(7, 2, 4, 1)
    assert got.usage is not None
    assert got.usage.total_tokens == 9
    assert got.message.tool_calls == (
        ToolCall("a", "f", "{"),
        ToolCall("call_1", "g", '{"x": 1}'),
        ToolCall("call_2", "h", "{}"),
    )
    assert got.raw is raw


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, ""), ("", ""), ("x", "x"), ([{"type": "text", "text": "a"}, {"text": "b"}, "c", {"x": 1}], "ab")],
)
def test_forms_of_content(content: Any, text: str) -> None:
    assert _wire.completion(answer(content=content)).text == text


def test_what_servers_leave_out() -> None:
    got = _wire.completion({"choices": [{"message": {"reasoning_content": "hm", "tool_calls": None}}]})
    assert (got.id, got.model, got.usage, got.created, got.finish_reason) == ("", "", None, None, "unknown")
    assert got.message.reasoning == "hm"
    assert got.choices[0].index == 0


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [5]},
        {"choices": [{}]},
        {"choices": [{"message": 5}]},
        answer(content=5),
        answer(content={"a": 1}),
        answer(tool_calls=[5]),
        answer(tool_calls=[{}]),
        answer(tool_calls=[{"function": {"name": 5}}]),
    ],
)
def test_what_is_no_answer(raw: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        _wire.completion(raw)


@pytest.mark.parametrize("usage", [None, 5, {}, {"prompt_tokens": "7"}])
def test_what_is_no_usage(usage: Any) -> None:
    assert _wire.usage(usage) is None


def test_usage_without_details() -> None:
    assert _wire.usage({"prompt_tokens": 7, "completion_tokens": None, "prompt_tokens_details": None}) == Usage(7, 0)


def test_logprobs() -> None:
    nested = {"token": "b", "logprob": -2, "top_logprobs": [{"token": "deeper"}]}
    items = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [nested, 5]}, {"logprob": "x"}, 5]
    first, second = _wire.logprobs({"content": items}) or ()
    assert (first.token, first.logprob, first.bytes) == ("a", -0.5, (97,))
    assert [(t.token, t.top) for t in first.top] == [("b", ())]
    assert second.token == ""
    huge = _wire.logprobs({"content": [{"token": "a", "logprob": 10**400}]}) or ()
    assert not math.isfinite(huge[0].logprob)
    assert math.isnan(second.logprob)
    for nothing in (None, {}, {"content": None}):
        assert _wire.logprobs(nothing) is None


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "5", '"x"', '{"a": NaN}', '{"a": Infinity}', "[" * 10_000])
def test_what_is_no_json_object(text: str) -> None:
    with pytest.raises(ProtocolError, match="the answer"):
        _wire.json_object(text, what="the answer")


def test_bodies() -> None:
    assert _wire.body_object(b'{"a": 1}', what="x") == {"a": 1}
    with pytest.raises(ProtocolError, match="UTF-8"):
        _wire.body_object(b"\xff", what="x")


def test_models_and_token_counts() -> None:
    raw = {"data": [{"id": "m", "max_model_len": 4096, "root": "r"}, {"id": "n", "max_model_len": None}, {"x": 1}, 5]}
    assert _wire.models(raw) == (ModelInfo("m", 4096, "r"), ModelInfo("n"))
    assert _wire.token_count({"count": 5, "max_model_len": 4096}) == TokenCount(5, 4096)
    assert _wire.token_count({"count": 5}) == TokenCount(5, None)
    with pytest.raises(ProtocolError):
        _wire.models({"data": None})
    with pytest.raises(ProtocolError, match="count"):
        _wire.token_count({})
    assert _wire.token_ids({"tokens": [1, 2]}) == (1, 2)
    for bad in (None, "12", ["1"], [1, None]):
        with pytest.raises(ProtocolError, match="tokens"):
            _wire.token_ids({"tokens": bad})


@pytest.mark.parametrize("fields", [{}, {"regex": "a", "grammar": "b"}, {"choice": ()}])
def test_structured_outputs_take_one_constraint(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="structured_outputs"):
        StructuredOutputs(**fields)


def test_parsed_arguments() -> None:
    assert ToolCall("a", "f", '{"x": 1}').parsed() == {"x": 1}
    assert ToolCall("a", "f", " ").parsed() == {}
    for bad in ("{", "[1]", "5", "null", "[" * 100_000):
        with pytest.raises(ValueError, match=r"JSON|Expecting|deeply"):
            ToolCall("a", "f", bad).parsed()


TEXTS = st.text(max_size=10)
MESSAGES = st.one_of(
    st.builds(Message, st.sampled_from(["system", "user"]), TEXTS),
    st.builds(
        lambda text, calls: Message("assistant", text, tool_calls=tuple(calls)),
        TEXTS,
        st.lists(st.builds(ToolCall, TEXTS, TEXTS, st.dictionaries(TEXTS, st.integers()).map(json.dumps)), max_size=1),
    ),
    st.builds(lambda text, call: Message("tool", text, tool_call_id=call), TEXTS, TEXTS),
)


@few
@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_messages_come_back_as_they_were_sent(messages: list[Message]) -> None:
    sent = json.loads(json.dumps(_wire.chat_body(ChatRequest(messages=tuple(messages)), "m", stream=False)))["messages"]
    back = [
        Message(
            item["role"],
            item["content"],
            tool_calls=tuple(
                ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
                for call in item.get("tool_calls", ())
            ),
            tool_call_id=item.get("tool_call_id"),
        )
        for item in sent
    ]
    assert back == messages
