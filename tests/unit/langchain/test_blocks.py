"""Standard content blocks, from a message in any state."""

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_llama70b import ChatLlama70B
from langchain_llama70b._blocks import translate_content, translate_content_chunk

assert ChatLlama70B  # importing it registers the translator
OURS = {"model_provider": "llama70b"}
CALL: Any = {"id": "a", "name": "f", "args": {"x": 1}, "type": "tool_call"}
BROKEN: Any = {"id": "b", "name": "f", "args": "{", "error": "cut", "type": "invalid_tool_call"}


def test_text_thoughts_and_calls() -> None:
    message = AIMessage(
        "Yes.",
        additional_kwargs={"reasoning_content": "Hm."},
        tool_calls=[CALL],
        invalid_tool_calls=[BROKEN],
        response_metadata=OURS,
    )
    assert message.content_blocks == [
        {"type": "reasoning", "reasoning": "Hm."},
        {"type": "text", "text": "Yes."},
        {"type": "tool_call", "name": "f", "args": {"x": 1}, "id": "a"},
        {"type": "invalid_tool_call", "name": "f", "args": "{", "id": "b", "error": "cut"},
    ]


def test_blocks_that_are_there_already_are_not_doubled() -> None:
    content: Any = [{"type": "reasoning", "reasoning": "Hm."}, "Yes", {"type": "text", "text": "."}, CALL]
    kinds = ["reasoning", "text", "text", "tool_call"]
    for kwargs in ({}, {"reasoning_content": "Hm."}):
        message = AIMessage(content, tool_calls=[CALL], additional_kwargs=kwargs, response_metadata=OURS)
        assert [block["type"] for block in translate_content(message)] == kinds
    assert translate_content(AIMessage("", response_metadata=OURS)) == []


def test_fragments_have_indexes_of_their_own_kind() -> None:
    fragment: Any = {"id": "a", "name": "f", "args": '{"x"', "index": 0, "type": "tool_call_chunk"}
    chunk = AIMessageChunk("", tool_call_chunks=[fragment], response_metadata=OURS)
    (block,) = translate_content_chunk(chunk)
    assert block == {"type": "tool_call_chunk", "id": "a", "name": "f", "args": '{"x"', "index": "lc_tc_0"}
    last = AIMessageChunk("", tool_call_chunks=[fragment], response_metadata=OURS, chunk_position="last")
    assert [block["type"] for block in translate_content_chunk(last)] == ["tool_call"]
