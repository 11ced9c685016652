"""Messages out and answers in: what is kept, what is refused, and that a conversation survives the round trip."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_llama70b import ConfigurationError
from langchain_llama70b._chunks import ChunkMaker
from langchain_llama70b._convert import combined_usage, to_messages, to_result
from llama70b import Choice, Completion, Delta, Message, ToolCall, ToolCallDelta, Usage

TEXT = st.text(max_size=20)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CALLS = st.lists(
    st.builds(
        lambda number, name, args: {"id": f"call-{number}", "name": name, "args": args, "type": "tool_call"},
        st.integers(0, 10**6),
        st.text("abcdef_", min_size=1, max_size=8),
        st.dictionaries(TEXT, JSON_VALUES, max_size=3),
    ),
    max_size=3,
    unique_by=lambda call: call["id"],
)


def echoed(message: Message) -> AIMessage:
    """Return what a server that answers with this very message makes of it."""
    completion = Completion(id="c", model="m", choices=(Choice(0, message, "stop"),), usage=Usage(1, 2))
    (generation,) = to_result(completion).generations
    assert isinstance(generation.message, AIMessage)
    return generation.message


@settings(deadline=None)
@given(text=TEXT, calls=CALLS)
def test_an_answer_survives_the_round_trip(text: str, calls: list[Any]) -> None:
    before = AIMessage(text, tool_calls=calls)
    (sent,) = to_messages([before])
    after = echoed(sent)
    assert after.content == before.content
    assert after.tool_calls == before.tool_calls
    assert after.invalid_tool_calls == []
    assert to_messages([after]) == (sent,)


@settings(deadline=None)
@given(text=TEXT, arguments=TEXT)
def test_invalid_calls_survive_the_round_trip(text: str, arguments: str) -> None:
    sent = Message("assistant", text, tool_calls=(ToolCall("id-1", "f", arguments),))
    (again,) = to_messages([echoed(sent)])
    assert again.content == text
    (call,) = again.tool_calls
    assert (call.id, call.name) == ("id-1", "f")
    try:
        assert call.parsed() == sent.tool_calls[0].parsed()
    except ValueError:
        assert call.arguments == arguments


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.builds(SystemMessage, TEXT),
            st.builds(HumanMessage, TEXT),
            st.builds(lambda text, calls: AIMessage(text, tool_calls=calls), TEXT, CALLS),
            st.builds(lambda text: ToolMessage(text, tool_call_id="call-1"), TEXT),
        ),
        max_size=8,
    )
)
def test_every_message_becomes_one_in_place(messages: list[BaseMessage]) -> None:
    before = [message.model_copy(deep=True) for message in messages]
    sent = to_messages(messages)
    roles = {"system": "system", "human": "user", "ai": "assistant", "tool": "tool"}
    assert [turn.role for turn in sent] == [roles[message.type] for message in messages]
    assert [turn.content for turn in sent] == [message.content for message in messages]
    assert messages == before


@settings(deadline=None)
@given(
    pieces=st.lists(TEXT, max_size=6),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    args=st.dictionaries(TEXT, JSON_VALUES, max_size=3),
)
def test_a_stream_adds_up_to_the_whole_answer(pieces: list[str], cuts: list[int], args: dict[str, Any]) -> None:
    arguments = json.dumps(args)
    places = [0, *sorted(cut for cut in cuts if cut < len(arguments)), len(arguments)]
    deltas = [Delta(content=piece) for piece in pieces]
    deltas.append(Delta(tool_calls=(ToolCallDelta(0, "id-1", "f"),)))
    deltas += [
        Delta(tool_calls=(ToolCallDelta(0, None, None, arguments[start:end]),)) for start, end in pairwise(places)
    ]
    message = Message("assistant", "".join(pieces), tool_calls=(ToolCall("id-1", "f", arguments),))
    completion = Completion("c", "m", (Choice(0, message, "tool_calls"),), Usage(3, 4, cached_tokens=1))
    make = ChunkMaker()
    chunks = [chunk for delta in deltas if (chunk := make.chunk(delta)) is not None]
    chunks.append(make.last(completion))
    whole = chunks[0] if len(chunks) == 1 else chunks[0] + chunks[1:]
    streamed = whole.message
    at_once = to_result(completion).generations[0].message
    assert isinstance(streamed, AIMessageChunk)
    assert isinstance(at_once, AIMessage)
    assert streamed.content == at_once.content
    assert streamed.tool_calls == at_once.tool_calls
    assert streamed.usage_metadata == at_once.usage_metadata
    assert streamed.response_metadata == at_once.response_metadata


def test_text_only_of_v1_blocks() -> None:
    blocks: Any = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": "Let me "},
        {"type": "text", "text": "look."},
        {"type": "tool_call", "id": "a", "name": "f", "args": {"x": 1}},
    ]
    call: Any = {"id": "a", "name": "f", "args": {"x": 1}, "type": "tool_call"}
    for message in (AIMessage(content_blocks=blocks), AIMessage(blocks, tool_calls=[call]), AIMessage(blocks)):
        (sent,) = to_messages([message])
        assert sent.content == "Let me look."
        assert [(c.id, c.name, c.arguments) for c in sent.tool_calls] == [("a", "f", '{"x": 1}')]


def test_anthropic_blocks() -> None:
    (sent,) = to_messages([AIMessage([{"type": "tool_use", "id": "a", "name": "f", "input": {"x": "é"}}])])
    assert sent.tool_calls == (ToolCall("a", "f", '{"x": "é"}'),)


def test_parts_of_a_users_message_are_joined_as_vllm_joins_them() -> None:
    (sent,) = to_messages([HumanMessage([{"type": "text", "text": "a"}, "b"])])
    assert sent.content == "a\nb"


def test_names_thoughts_and_tool_errors() -> None:
    sent = to_messages(
        [
            HumanMessage("hi", name="ann"),
            AIMessage("ok", additional_kwargs={"reasoning_content": "hm"}, name="bot"),
            ToolMessage("no such city", tool_call_id="a", status="error"),
            ToolMessage("Error: no such city", tool_call_id="a", status="error"),
            ToolMessage("20 C", tool_call_id="a"),
            FunctionMessage("x", name="f"),
            ChatMessage("be nice", role="developer"),
        ]
    )
    assert [turn.name for turn in sent[:2]] == ["ann", "bot"]
    assert sent[1].reasoning == "hm"
    assert [turn.content for turn in sent[2:5]] == ["Error: no such city", "Error: no such city", "20 C"]
    assert (sent[5].role, sent[6].role) == ("tool", "system")


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage(
            [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "data:..."}}]
        ),
        HumanMessage([{"type": "image", "base64": "aGk=", "mime_type": "image/png"}]),
        ToolMessage([{"type": "file", "base64": "aGk="}], tool_call_id="a"),
        ChatMessage("hi", role="narrator"),
        RemoveMessage(id="1"),
    ],
)
def test_what_the_model_cannot_read_is_refused_with_its_place(message: BaseMessage) -> None:
    with pytest.raises(ConfigurationError, match="message 1 "):
        to_messages([HumanMessage("hi"), message])


def test_llm_outputs_of_a_batch() -> None:
    one = {"token_usage": {"prompt_tokens": 1, "total_tokens": 3}, "model_name": "m"}
    assert combined_usage([None, one, one]) == {
        "token_usage": {"prompt_tokens": 2, "total_tokens": 6},
        "model_name": "m",
    }
    assert combined_usage([]) == {}
