"""The deltas of a stream as LangChain chunks. Runs once a token, so it does no more than it must."""

from __future__ import annotations

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_llama70b._convert import logprobs_object, response_metadata, usage_metadata
from langchain_llama70b._names import PROVIDER
from llama70b import Completion, Delta


class ChunkMaker:
    """Makes the chunks of one stream.

    Finish reason, model name, usage and timing go on the last chunk only, because merging adds up what it can.
    """

    __slots__ = ("_answer_indexes", "_answer_tool")

    def __init__(self, answer_tool: str | None = None) -> None:
        """Begin a stream; `answer_tool` names the tool whose arguments are the answer's text, see `_request`."""
        self._answer_tool = answer_tool
        self._answer_indexes: set[int] = set()

    def chunk(self, delta: Delta) -> ChatGenerationChunk | None:
        """Return what a delta adds, None if that is nothing a reader could use yet."""
        content = delta.content
        calls: list[ToolCallChunk] = []
        if delta.tool_calls:
            content, calls = self._calls(delta, content)
        if not (content or calls or delta.reasoning or delta.logprobs):
            return None
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
                usage_metadata=usage_metadata(completion.usage),
                response_metadata=response_metadata(completion, choice, reason),
                chunk_position="last",
            ),
        )
