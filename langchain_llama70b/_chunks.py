"""The deltas of a stream as LangChain chunks. Runs once a token, so it does no more than it must."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json

from langchain_llama70b._convert import logprobs_object, response_metadata, usage_metadata
from langchain_llama70b._names import PROVIDER
from llama70b import Completion, Delta, ToolCall
from llama70b._names import CUT_OFF

_TAILS = ("", "]", "}", '"]', '"}', '""]', '""}')


class ChunkMaker:
    """Makes the chunks of one stream.

    Finish reason, model name, usage and timing go on the last chunk only, because merging adds up what it can.
    """

    __slots__ = ("_answer_indexes", "_answer_tool", "_max_tokens")

    def __init__(self, answer_tool: str | None = None, max_tokens: int | None = None) -> None:
        """Begin a stream.

        Args:
            answer_tool: Name of the tool whose arguments are the answer's text, see `_request`.
            max_tokens: What was asked for.
        """
        self._answer_tool = answer_tool
        self._max_tokens = max_tokens
        self._answer_indexes: set[int] = set()

    def chunk(self, delta: Delta) -> ChatGenerationChunk | None:
        """Return what a delta adds, None if that is nothing a reader could use yet."""
        content = delta.content
        calls: list[ToolCallChunk] = []
        if delta.tool_calls:
            content, calls = self._calls(delta, content)
        if not (delta.reasoning or delta.logprobs) and all(_is_no_object(call) for call in calls):
            return _plain_chunk(content, calls) if content or calls else None
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content=content,
                additional_kwargs={"reasoning_content": delta.reasoning} if delta.reasoning else {},
                tool_call_chunks=calls,
                response_metadata={"model_provider": PROVIDER},
            ),
            generation_info={"logprobs": logprobs_object(delta.logprobs)} if delta.logprobs else None,
        )

    def _calls(self, delta: Delta, content: str) -> tuple[str, list[ToolCallChunk]]:
        calls = []
        for call in delta.tool_calls:
            if self._answer_tool is not None and call.name == self._answer_tool:
                self._answer_indexes.add(call.index)
            if call.index in self._answer_indexes:
                content += call.arguments
            else:
                calls.append(tool_call_chunk(name=call.name, args=call.arguments, id=call.id, index=call.index))
        return content, calls

    def last(self, completion: Completion | None) -> ChatGenerationChunk:
        """Return the chunk that ends the stream, which has an answer: the core raises for one without an end."""
        assert completion is not None
        choice = completion.choices[0]
        reason = "stop" if self._answer_indexes and choice.finish_reason == "tool_calls" else choice.finish_reason
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                tool_call_chunks=self._spoiling(choice.message.tool_calls, cut=choice.finish_reason in CUT_OFF),
                usage_metadata=usage_metadata(completion.usage),
                response_metadata=response_metadata(completion, choice, reason, self._max_tokens),
                chunk_position="last",
            ),
        )

    def _spoiling(self, calls: Sequence[ToolCall], *, cut: bool) -> list[ToolCallChunk]:
        """Return what must follow arguments that are no JSON object, those cut off by `max_tokens` for one.

        Merging chunks closes open strings and brackets, so an agent would run half a call as if it were whole. With
        this at its end the call is found in `invalid_tool_calls`, as it is without streaming.
        """
        return [
            tool_call_chunk(name=None, args=tail, id=None, index=index)
            for index, call in enumerate(calls)
            if index not in self._answer_indexes and (tail := _spoiling_tail(call.arguments, cut=cut))
        ]


_MESSAGE = AIMessageChunk(content="", response_metadata={"model_provider": PROVIDER})
_GENERATION = ChatGenerationChunk(message=_MESSAGE)


def _is_no_object(call: ToolCallChunk) -> bool:
    """Return whether a fragment is no JSON object by itself, whatever is mended at its end."""
    args = call["args"] or ""
    return args != "" and not args.lstrip(" \t\r\n").startswith("{")


def _plain_chunk(content: str, calls: list[ToolCallChunk]) -> ChatGenerationChunk:
    """Return a chunk of text and fragments of calls, as nearly every token is: copied, because validating costs more.

    Twice as much for text; for a fragment nine times, because `AIMessageChunk` tries to mend it into an object, one
    character after the other. Every field that can be changed in place is new; a test compares with what the
    constructors make.
    """
    message = copy(_MESSAGE)
    message.__dict__.update(
        content=content,
        additional_kwargs={},
        response_metadata={"model_provider": PROVIDER},
        tool_calls=[],
        invalid_tool_calls=[
            invalid_tool_call(name=call["name"], args=call["args"], id=call["id"], error=None) for call in calls
        ],
        tool_call_chunks=calls,
    )
    chunk = copy(_GENERATION)
    chunk.__dict__.update(message=message, text=content)
    return chunk


def _spoiling_tail(arguments: str, *, cut: bool = False) -> str:
    """Return the shortest ending with which LangChain's lenient reader makes no dict of what is none; "" if whole."""
    if cut and not arguments.strip():
        return "]"  # it may have come no further than the name
    try:
        json.loads(arguments or "{}", strict=False)
    except (ValueError, RecursionError):
        return next(tail for tail in _TAILS if not isinstance(_leniently(arguments + tail), dict))
    return ""


def _leniently(text: str) -> Any:
    try:
        return parse_partial_json(text)
    except (ValueError, RecursionError):
        return None
