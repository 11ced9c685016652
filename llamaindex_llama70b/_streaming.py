"""A streamed answer as LlamaIndex's cumulative `ChatResponse`s, at little cost a token, and closed for certain."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from typing import Any, TypeVar

from llama_index.core.base.llms.types import ChatResponse
from pydantic_core import from_json

from llama70b import AsyncChatStream, ChatStream, Completion, Delta, ToolCall
from llamaindex_llama70b._convert import assistant_message, chat_response, logprobs

Element = TypeVar("Element")

_EVERY = 256
_GROWTH = 1.125


class PartialJson:
    """What can be read of a JSON object while it grows.

    It is parsed anew only after it has grown by an eighth (below 256 characters: at every call), so that all parses
    together cost no more than a constant number of parses of the whole; in between the last reading stands.
    """

    __slots__ = ("_next", "value")

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}
        self._next = 1

    def read(self, text: str) -> bool:
        """Look at the text so far; return whether `value` is a new reading (never a changed old one)."""
        if len(text) < self._next:
            return False
        self._next = max(len(text) + 1, int(len(text) * _GROWTH)) if len(text) >= _EVERY else len(text) + 1
        try:
            value = from_json(text, allow_partial="trailing-strings")
        except ValueError:  # malformed for good, or not yet begun: the end of the stream will tell
            return False
        if not isinstance(value, dict) or value == self.value:
            return False
        self.value = value
        return True


class _Call:
    __slots__ = ("arguments", "id", "name", "partial")

    def __init__(self, call_id: str) -> None:
        self.id = call_id
        self.name = ""
        self.arguments = ""
        self.partial = PartialJson()


class Accumulator:
    """Deltas in, cumulative responses out. Every response owns its parts: later deltas do not change it.

    Args:
        single_call: Show the first tool call only; core does not enforce `allow_parallel_tool_calls=False` on streams.
    """

    def __init__(self, *, single_call: bool) -> None:
        self._single = single_call
        self._text = ""
        self._reasoning = ""
        self._calls: dict[int, _Call] = {}

    def push(self, delta: Delta) -> ChatResponse | None:
        """Return what the caller sees of a delta, None if it brings nothing new."""
        new_call = bool(delta.tool_calls) and self._take_calls(delta)
        if not (delta.content or delta.reasoning or new_call or delta.logprobs):
            return None
        self._text += delta.content
        self._reasoning += delta.reasoning
        calls = [call for call in self._calls.values() if call.name]
        return ChatResponse(
            message=assistant_message(
                self._text,
                self._reasoning,
                [ToolCall(call.id, call.name, call.arguments) for call in calls],
                [call.partial.value for call in calls],
            ),
            raw=delta.raw,
            delta=delta.content,
            logprobs=logprobs(delta.logprobs),
            additional_kwargs={"thinking_delta": delta.reasoning} if delta.reasoning else {},
        )

    def _take_calls(self, delta: Delta) -> bool:
        seen = False
        for fragment in delta.tool_calls:
            call = self._calls.get(fragment.index)
            if call is None:
                if self._single and self._calls:
                    continue
                call = self._calls[fragment.index] = _Call(fragment.id or f"call_{fragment.index}")
            call.name = call.name or fragment.name or ""
            call.arguments += fragment.arguments
            call.partial.read(call.arguments)
            seen = True
        return seen

    def last(self, answer: Completion | None) -> ChatResponse:
        """Return the last element: the whole answer with usage, `finish_reason` and timing, and an empty delta."""
        assert answer is not None, "the core sets the completion before its stream ends"
        return chat_response(answer, single_call=self._single, delta="")


def responses(begin: Callable[[], ChatStream], *, single_call: bool) -> Generator[ChatResponse, None, None]:
    """Begin a stream at the first `next`, yield its elements, and close it however this ends."""
    with begin() as stream:
        state = Accumulator(single_call=single_call)
        for delta in stream:
            if (response := state.push(delta)) is not None:
                yield response
        yield state.last(stream.completion)


async def aresponses(
    begin: Callable[[], Awaitable[AsyncChatStream]], *, single_call: bool
) -> AsyncGenerator[ChatResponse, None]:
    """Begin a stream at the first `anext`, yield its elements, and close it however this ends."""
    async with await begin() as stream:
        state = Accumulator(single_call=single_call)
        async for delta in stream:
            if (response := state.push(delta)) is not None:
                yield response
        yield state.last(stream.completion)


class Held:
    """Closes our generator together with core's generator around it.

    Core's callback decorator iterates over ours and, being closed early, drops it unclosed; its exception event keeps
    the frame alive, and the server would go on generating until a garbage collection.
    """

    def __init__(self) -> None:
        self._inner: list[Any] = []

    def keep(self, inner: Element) -> Element:
        """Remember ours."""
        self._inner.append(inner)
        return inner

    def closing(self, outer: Generator[Element, None, None]) -> Generator[Element, None, None]:
        """Yield from core's; close both at the end."""
        try:
            yield from outer
        finally:
            outer.close()
            for inner in self._inner:
                inner.close()

    async def aclosing(self, outer: AsyncGenerator[Element, None]) -> AsyncGenerator[Element, None]:
        """Yield from core's; close both at the end."""
        try:
            async with aclosing(outer):
                async for element in outer:
                    yield element
        finally:
            for inner in self._inner:
                await inner.aclose()
