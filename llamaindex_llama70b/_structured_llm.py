"""`as_structured_llm`: every answer one object, with usage, deltas and one pair of events a call."""

# ruff: noqa: SLF001 - a friend of `Llama70B`: it uses its calls before events are put around them
from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, closing
from typing import Any, Protocol

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
)
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.structured_llm import StructuredLLM

from llamaindex_llama70b._convert import completion_response
from llamaindex_llama70b._streaming import Held
from llamaindex_llama70b._structured import Growing, parsed_output


class _Inner(Protocol):
    """What is used of `Llama70B`: its calls before core's events are put around them."""

    def _core_does_it(self) -> bool: ...
    def _constraint(self, output_cls: type[BaseModel], llm_kwargs: dict[str, Any] | None) -> dict[str, Any]: ...
    def _answer(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse: ...
    async def _aanswer(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse: ...
    def _stream(
        self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]
    ) -> Generator[ChatResponse, None, None]: ...
    async def _astream(
        self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]
    ) -> AsyncGenerator[ChatResponse, None]: ...
    def to_payload(self) -> dict[str, Any]: ...


class StructuredLlama70B(StructuredLLM):
    """Core's `StructuredLLM` over `Llama70B`: `raw` is the object, `additional_kwargs` what it cost.

    Core's own has no usage, no delta and no completion streams, and announces every call twice. Of a stream, `delta`
    and `message.content` are the JSON text as it grows, and `raw` is the object so far.
    """

    @property
    def _inner(self) -> _Inner:
        inner: Any = self.llm
        typed: _Inner = inner
        return typed

    def to_payload(self) -> dict[str, Any]:
        """Return what events say of the model, see `Llama70B.to_payload`."""
        return self._inner.to_payload() | {"class_name": self.class_name(), "output_cls": self.output_cls.__name__}

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return an answer whose `raw` is an object of `output_cls`."""
        if self._inner._core_does_it():
            answer: ChatResponse = super().chat(messages, **kwargs)
            return answer

        def begin(_self: Any, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
            return self._inner._answer(messages, self._inner._constraint(self.output_cls, kwargs))

        return self._with_object(llm_chat_callback()(begin)(self, messages, **kwargs))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return an answer whose `raw` is an object of `output_cls`."""
        if self._inner._core_does_it():
            answer: ChatResponse = await super().achat(messages, **kwargs)
            return answer

        async def begin(_self: Any, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
            return await self._inner._aanswer(messages, self._inner._constraint(self.output_cls, kwargs))

        return self._with_object(await llm_chat_callback()(begin)(self, messages, **kwargs))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
        """Yield answers whose `raw` is the object so far; the last is complete, and carries usage."""
        if self._inner._core_does_it():
            yield from super().stream_chat(messages, **kwargs)
            return
        held = Held()

        def begin(_self: Any, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
            return held.keep(self._inner._stream(messages, self._inner._constraint(self.output_cls, kwargs)))

        reader = _Objects(self.output_cls)
        with closing(held.closing(llm_chat_callback()(begin)(self, messages, **kwargs))) as stream:
            for response in stream:
                yield reader.read(response)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        """Return an async generator of what `stream_chat` yields."""
        if self._inner._core_does_it():
            theirs: AsyncGenerator[ChatResponse, None] = await super().astream_chat(messages, **kwargs)
            return theirs
        held = Held()

        async def begin(
            _self: Any, messages: Sequence[ChatMessage], **kwargs: Any
        ) -> AsyncGenerator[ChatResponse, None]:
            return held.keep(await self._inner._astream(messages, self._inner._constraint(self.output_cls, kwargs)))

        outer = held.aclosing(await llm_chat_callback()(begin)(self, messages, **kwargs))

        async def objects() -> AsyncGenerator[ChatResponse, None]:
            reader = _Objects(self.output_cls)
            async with aclosing(outer) as stream:
                async for response in stream:
                    yield reader.read(response)

        return objects()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return an answer whose `raw` is an object of `output_cls`."""
        messages = self._asked(prompt, formatted)
        if self._inner._core_does_it():
            return completion_response(self.chat(messages, **kwargs))
        answer = self._inner._answer(messages, self._inner._constraint(self.output_cls, kwargs))
        return completion_response(self._with_object(answer))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return an answer whose `raw` is an object of `output_cls`."""
        messages = self._asked(prompt, formatted)
        if self._inner._core_does_it():
            return completion_response(await self.achat(messages, **kwargs))
        answer = await self._inner._aanswer(messages, self._inner._constraint(self.output_cls, kwargs))
        return completion_response(self._with_object(answer))

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse, None, None]:
        """Yield what `stream_chat` does, as completions."""
        with closing(self.stream_chat(self._asked(prompt, formatted), **kwargs)) as stream:
            for response in stream:
                yield completion_response(response)

    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> AsyncGenerator[CompletionResponse, None]:
        """Return an async generator of what `stream_complete` yields."""
        outer = await self.astream_chat(self._asked(prompt, formatted), **kwargs)

        async def completions() -> AsyncGenerator[CompletionResponse, None]:
            async with aclosing(outer) as stream:
                async for response in stream:
                    yield completion_response(response)

        return completions()

    def _asked(self, prompt: str, formatted: bool) -> list[ChatMessage]:
        to_prompt: Callable[[str], str] | None = self.llm.completion_to_prompt
        text = prompt if formatted or to_prompt is None else to_prompt(prompt)
        return [ChatMessage(role=MessageRole.USER, content=text)]

    def _with_object(self, answer: ChatResponse) -> ChatResponse:
        output = parsed_output(self.output_cls, answer)
        message = ChatMessage(role=MessageRole.ASSISTANT, content=output.model_dump_json())
        return ChatResponse(message=message, raw=output, additional_kwargs=answer.additional_kwargs)


class _Objects:
    """Elements of a stream with the object so far in `raw`."""

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self._growing: Growing[BaseModel] = Growing(output_cls)
        self._object: BaseModel | None = None
        self._length = 0

    def read(self, response: ChatResponse) -> ChatResponse:
        """Return an element's structured form."""
        changed = self._growing.take(response)
        if "finish_reason" in response.additional_kwargs:
            self._object = self._growing.whole()
        elif changed is not None or self._object is None:
            self._object = changed or self._growing.blank()
        calls = response.message.additional_kwargs.get("tool_calls")
        text = calls[0]["function"]["arguments"] if calls else response.message.content or ""
        delta, self._length = text[self._length :], len(text)
        return ChatResponse(
            message=ChatMessage(role=MessageRole.ASSISTANT, content=text),
            raw=self._object,
            delta=delta,
            additional_kwargs=response.additional_kwargs,
        )
