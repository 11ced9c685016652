"""What the model said comes back unchanged when the conversation goes on: core -> framework -> core, both adapters."""

from __future__ import annotations

import functools
import json
import operator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_llama70b._chunks import ChunkMaker
from langchain_llama70b._convert import to_messages, to_result
from llama70b import Completion, Message, ToolCall
from llama70b._assemble import Assembler
from llama70b._wire import chat_body, completion
from llama70b.types import ChatRequest
from llamaindex_llama70b._convert import chat_response, to_message
from llamaindex_llama70b._streaming import Accumulator

few = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=4)
ARGUMENTS = OBJECTS.map(lambda value: json.dumps(value, ensure_ascii=False)) | OBJECTS.map(json.dumps)
BROKEN = st.sampled_from(["{", '{"a": 1', '{"a": "b', "[1]", "5", "nothing", '{"a": 1}}', '"x"', "null"])


@st.composite
def answers(draw: st.DrawFn, arguments: st.SearchStrategy[str] = ARGUMENTS) -> Completion:
    """An answer of the model: text, thoughts, up to three tool calls."""
    calls = [
        {"id": f"call-{n}", "type": "function", "function": {"name": draw(NAMES), "arguments": draw(arguments)}}
        for n in range(draw(st.integers(0, 3)))
    ]
    message: dict[str, Any] = {"role": "assistant", "content": draw(WORDS)}
    if calls:
        message["tool_calls"] = calls
    if thought := draw(st.sampled_from(["", "hm"])):
        message["reasoning"] = thought
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    return completion({"id": "c", "model": "m", "created": 1, "choices": [choice]})


def same(got: Message, want: Message) -> None:
    """Text is the same to the letter, arguments are the same JSON, or the same text where they are none."""
    assert (got.role, got.content) == ("assistant", want.content)
    assert [(call.id, call.name) for call in got.tool_calls] == [(call.id, call.name) for call in want.tool_calls]
    for mine, theirs in zip(got.tool_calls, want.tool_calls, strict=True):
        assert _meaning(mine) == _meaning(theirs)
    body = chat_body(ChatRequest(messages=(Message("user", "x"), got)), "m", stream=False)  # and can be sent
    assert json.loads(json.dumps(body)) == body


def _meaning(call: ToolCall) -> Any:
    try:
        return call.parsed()
    except ValueError:
        return call.arguments


def events(draw: st.DrawFn, answer: Completion) -> list[dict[str, Any]]:
    """The same answer as chunks, its texts cut anywhere."""
    message = answer.message
    deltas: list[dict[str, Any]] = [{"reasoning": message.reasoning}] if message.reasoning else []
    deltas += [{"content": piece} for piece in _cut(draw, message.content)]
    for index, call in enumerate(message.tool_calls):
        head = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        deltas.append({"tool_calls": [head]})
        pieces = _cut(draw, call.arguments)
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    return [*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": answer.finish_reason}]}]


def _cut(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True) if a < b]


@st.composite
def streams(draw: st.DrawFn, arguments: st.SearchStrategy[str] = ARGUMENTS) -> tuple[Completion, list[dict[str, Any]]]:
    """An answer and the chunks it comes in."""
    answer = draw(answers(arguments))
    return answer, events(draw, answer)


@few
@given(answers())
def test_langchain(answer: Completion) -> None:
    message = to_result(answer).generations[0].message
    same(to_messages([message])[0], answer.message)


@few
@given(answers(BROKEN))
def test_langchain_arguments_that_are_no_object(answer: Completion) -> None:
    message = to_result(answer).generations[0].message
    assert not message.tool_calls  # type: ignore[attr-defined]
    same(to_messages([message])[0], answer.message)


@few
@given(answers(ARGUMENTS | BROKEN))
def test_llamaindex(answer: Completion) -> None:
    same(to_message(chat_response(answer).message), answer.message)


def _merged(chunks: list[dict[str, Any]]) -> Any:
    """Return LangChain's message of a stream."""
    maker, assembler = ChunkMaker(), Assembler()
    deltas = [delta for chunk in chunks if (delta := assembler.push("", json.dumps(chunk))) is not None]
    pieces: list[Any] = [piece.message for delta in deltas if (piece := maker.chunk(delta)) is not None]
    return functools.reduce(operator.add, [*pieces, maker.last(assembler.completion()).message])


@few
@given(streams())
def test_langchain_streamed(given_stream: tuple[Completion, list[dict[str, Any]]]) -> None:
    answer, chunks = given_stream
    same(to_messages([_merged(chunks)])[0], answer.message)


@few
@given(streams(BROKEN))
def test_langchain_streamed_arguments_that_are_no_object(given_stream: tuple[Completion, list[dict[str, Any]]]) -> None:
    answer, chunks = given_stream
    whole = _merged(chunks)
    assert not whole.tool_calls
    assert len(whole.invalid_tool_calls) == len(answer.message.tool_calls)


@few
@given(streams(ARGUMENTS | BROKEN))
def test_llamaindex_streamed(given_stream: tuple[Completion, list[dict[str, Any]]]) -> None:
    answer, chunks = given_stream
    state, assembler = Accumulator(single_call=False), Assembler()
    for chunk in chunks:
        if (delta := assembler.push("", json.dumps(chunk))) is not None:
            state.push(delta)
    same(to_message(state.last(assembler.completion()).message), answer.message)


def _cut_off(arguments: str) -> Completion:
    call = {"id": "c", "type": "function", "function": {"name": "wipe", "arguments": arguments}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    return completion({"choices": [{"index": 0, "message": message, "finish_reason": "interrupted"}]})


def test_a_call_cut_off_after_its_name_is_no_call_without_arguments() -> None:
    answer = _cut_off("")
    message: Any = to_result(answer).generations[0].message
    assert (message.tool_calls, len(message.invalid_tool_calls)) == ([], 1)
    streamed: Any = ChunkMaker().last(answer).message
    assert streamed.tool_calls == []
    block = chat_response(answer).message.blocks[-1]
    assert block.tool_kwargs == ""  # type: ignore[union-attr]
