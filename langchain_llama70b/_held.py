"""The chunks of a routed stream: held back until the gate has decided, marked with the record, told to callbacks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_llama70b._routing import noted, noted_chunk, objection_to
from llama70b.ledger import attributed
from llama70b.routing import Gate


class Held:
    """The first chunks of the 8B's stream, until it is decided whether they may go out."""

    def __init__(self, gate: Gate, tools: Sequence[str]) -> None:
        self._gate, self._tools = gate, tools
        self._chunks: list[ChatGenerationChunk] | None = []
        self._sum: AIMessageChunk | None = None
        self._first = True
        self.objection: str | None = None

    @property
    def message(self) -> AIMessage:
        """What has come."""
        return self._sum if self._sum is not None else AIMessage("")

    def first(self) -> bool:
        """Return True once: for the chunk that carries the record."""
        first, self._first = self._first, False
        return first

    def take(self, chunk: ChatGenerationChunk) -> list[ChatGenerationChunk]:
        """Take a chunk; return what may go out."""
        if self._chunks is None:
            return [chunk]
        self._chunks.append(chunk)
        assert isinstance(chunk.message, AIMessageChunk)
        self._sum = chunk.message if self._sum is None else self._sum + chunk.message
        if len(self._chunks) < self._gate.hold_tokens:
            return []
        return self._release(whole=False)

    def finish(self) -> list[ChatGenerationChunk]:
        """The stream has ended; return what may still go out."""
        return [] if self._chunks is None or self.objection is not None else self._release(whole=True)

    def _release(self, *, whole: bool) -> list[ChatGenerationChunk]:
        self.objection = objection_to(self._gate, self.message, self._tools, whole=whole)
        if self.objection is not None:
            return []
        chunks, self._chunks = self._chunks or [], None
        return chunks


def message_of(result: ChatResult) -> AIMessage:
    message = result.generations[0].message
    assert isinstance(message, AIMessage)
    return message


def noted_result(result: ChatResult, record: Mapping[str, Any]) -> ChatResult:
    generations = [
        ChatGeneration(message=noted(g.message, record), generation_info=g.generation_info)
        if isinstance(g.message, AIMessage)
        else g
        for g in result.generations
    ]
    return ChatResult(generations=generations, llm_output={**(result.llm_output or {}), "routing": dict(record)})


def with_record(chunk: ChatGenerationChunk, record: Mapping[str, Any]) -> ChatGenerationChunk:
    assert isinstance(chunk.message, AIMessageChunk)
    return ChatGenerationChunk(message=noted_chunk(chunk.message, record), generation_info=chunk.generation_info)


def told(
    chunk: ChatGenerationChunk, first: bool, record: Mapping[str, Any], run: CallbackManagerForLLMRun | None
) -> ChatGenerationChunk:
    """A chunk that was held back is told to the callbacks only now."""
    chunk = with_record(chunk, record) if first else chunk
    if run is not None:
        run.on_llm_new_token(chunk.text, chunk=chunk)
    return chunk


async def atold(
    chunk: ChatGenerationChunk, first: bool, record: Mapping[str, Any], run: AsyncCallbackManagerForLLMRun | None
) -> ChatGenerationChunk:
    chunk = with_record(chunk, record) if first else chunk
    if run is not None:
        await run.on_llm_new_token(chunk.text, chunk=chunk)
    return chunk


def begun(
    chunks: Iterator[ChatGenerationChunk], record: Mapping[str, Any]
) -> Generator[ChatGenerationChunk, None, None]:
    """The same chunks; the ledger hears of the record.

    A run reads what is said of it when it begins, at the first step. A generator shares its caller's context, so what
    stayed set between two steps would leak into it.
    """
    with attributed(routing=record):
        first = next(chunks, None)
    if first is not None:
        yield first
        yield from chunks


async def abegun(
    chunks: AsyncIterator[ChatGenerationChunk], record: Mapping[str, Any]
) -> AsyncGenerator[ChatGenerationChunk, None]:
    """See `begun`."""
    try:
        with attributed(routing=record):
            first = await anext(chunks, None)
        if first is not None:
            yield first
            async for chunk in chunks:
                yield chunk
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
