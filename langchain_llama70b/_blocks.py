"""Standard content blocks of this provider's messages, for `content_blocks` and `output_version="v1"`."""

from __future__ import annotations

from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages import content as types
from langchain_core.messages.block_translators import register_translator

from langchain_llama70b._names import PROVIDER


def translate_content(message: AIMessage) -> list[types.ContentBlock]:
    """Return a message's blocks: thoughts, text, tool calls, invalid tool calls."""
    return _thoughts_and_text(message) + _calls(message)


def translate_content_chunk(chunk: AIMessageChunk) -> list[types.ContentBlock]:
    """Return a chunk's blocks; fragments of calls get indexes of their own kind.

    Were they integers, core would merge the first call with the text block of the same number and lose it
    [notes: langchain 1.3].
    """
    blocks = _thoughts_and_text(chunk)
    if chunk.chunk_position == "last":
        return blocks + _calls(chunk)
    for call in chunk.tool_call_chunks:
        block: dict[str, Any] = {
            "type": "tool_call_chunk",
            "id": call.get("id"),
            "name": call.get("name"),
            "args": call.get("args"),
        }
        if (index := call.get("index")) is not None:
            block["index"] = f"lc_tc_{index}"
        blocks.append(cast("types.ContentBlock", block))
    return blocks


def _thoughts_and_text(message: AIMessage) -> list[types.ContentBlock]:
    blocks: list[types.ContentBlock] = []
    thoughts = message.additional_kwargs.get("reasoning_content")
    if isinstance(thoughts, str) and thoughts:
        blocks.append({"type": "reasoning", "reasoning": thoughts})
    if isinstance(message.content, str):
        if message.content:
            blocks.append({"type": "text", "text": message.content})
        return blocks
    for part in message.content:
        if isinstance(part, str):
            blocks.append({"type": "text", "text": part})
        elif part.get("type") not in {"tool_call", "tool_call_chunk", "invalid_tool_call"}:
            if part.get("type") == "reasoning" and blocks and blocks[0]["type"] == "reasoning":
                continue
            blocks.append(cast("types.ContentBlock", part))
    return blocks


def _calls(message: AIMessage) -> list[types.ContentBlock]:
    blocks: list[types.ContentBlock] = [
        {"type": "tool_call", "name": call["name"], "args": call["args"], "id": call.get("id")}
        for call in message.tool_calls
    ]
    blocks += [
        {
            "type": "invalid_tool_call",
            "name": call["name"],
            "args": call["args"],
            "id": call["id"],
            "error": call.get("error"),
        }
        for call in message.invalid_tool_calls
    ]
    return blocks


register_translator(PROVIDER, translate_content, translate_content_chunk)
