"""The calls of `Llama70B` before core's events are put around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.prompts import BasePromptTemplate, RichPromptTemplate
from llama_index.core.utils import get_tokenizer

from llama70b import AsyncChatStream, ChatStream, observing
from llama70b.endpoint import DEFAULT_CONTEXT_WINDOW
from llamaindex_llama70b._connection import Connected
from llamaindex_llama70b._convert import chat_response
from llamaindex_llama70b._events import announce
from llamaindex_llama70b._guard import certainly_fits, guarded
from llamaindex_llama70b._request import Call, understood
from llamaindex_llama70b._streaming import aresponses, responses


class Calls(Connected):
    """Whole and streamed answers, blocking and awaited.

    A decorated method that called another decorated one would announce, and count, every call twice.
    """

    def _turn(self, prompt: str, formatted: bool) -> list[ChatMessage]:
        to_prompt: Callable[[str], str] | None = self.completion_to_prompt
        text = prompt if formatted or to_prompt is None else to_prompt(prompt)
        return [ChatMessage(role=MessageRole.USER, content=text)]

    def _get_messages(self, prompt: BasePromptTemplate, **prompt_args: Any) -> list[ChatMessage]:
        """Format a prompt for `predict` and `stream`; a list of texts counts as their text.

        Core's `simple_summarize` passes a list, of which the prompt would hold Python's repr: with every line break
        escaped it outgrows the window that it was cut to.
        """
        if not isinstance(prompt, RichPromptTemplate):  # those may go through a list
            prompt_args = {name: _joined(value) for name, value in prompt_args.items()}
        return super()._get_messages(prompt, **prompt_args)

    def _understood(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> Call:
        return understood(messages, self._defaults(), kwargs)

    def _answer(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        client, call = self.client, self._guarded(self._understood(messages, kwargs))
        with observing(framework="llamaindex"):
            answer = client.chat(call.request, timeout=call.timeout, max_retries=call.max_retries, on_progress=announce)
        self._awake()
        return chat_response(answer, single_call=call.single_call)

    async def _aanswer(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        client, call = self.aclient, await self._aguarded(self._understood(messages, kwargs))
        with observing(framework="llamaindex"):
            answer = await client.chat(
                call.request, timeout=call.timeout, max_retries=call.max_retries, on_progress=announce
            )
        self._awake()
        return chat_response(answer, single_call=call.single_call)

    def _stream(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> Generator[ChatResponse, None, None]:
        client, call = self.client, self._understood(messages, kwargs)

        def begin() -> ChatStream:
            request = self._guarded(call).request
            with observing(framework="llamaindex"):
                stream = client.stream(
                    request,
                    timeout=call.timeout,
                    max_retries=call.max_retries,
                    on_progress=announce,
                    on_interrupt=call.on_interrupt,
                )
            self._awake()
            return stream

        return responses(begin, single_call=call.single_call)

    async def _astream(
        self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]
    ) -> AsyncGenerator[ChatResponse, None]:
        client, call = self.aclient, self._understood(messages, kwargs)

        async def begin() -> AsyncChatStream:
            request = (await self._aguarded(call)).request
            with observing(framework="llamaindex"):
                stream = await client.stream(
                    request,
                    timeout=call.timeout,
                    max_retries=call.max_retries,
                    on_progress=announce,
                    on_interrupt=call.on_interrupt,
                )
            self._awake()
            return stream

        return aresponses(begin, single_call=call.single_call)

    def _needs_window(self, call: Call) -> bool:
        """Return whether the guard has to know the server's window: only for what may not fit the default one."""
        return call.guard != "off" and not certainly_fits(call.request, self._known_window() or DEFAULT_CONTEXT_WINDOW)

    def _guarded(self, call: Call) -> Call:
        if not self._needs_window(call):
            return call
        return _fitted(call, self._known_window() or self._ask_window())

    async def _aguarded(self, call: Call) -> Call:
        if not self._needs_window(call):
            return call
        return _fitted(call, self._known_window() or await asyncio.to_thread(self._ask_window))


def _fitted(call: Call, window: int | None) -> Call:
    """Return the call as the guard leaves it. With the window not known, the server decides."""
    if window is None:
        return call
    tokenizer = get_tokenizer()
    return replace(call, request=guarded(call.request, call.guard, window, lambda text: len(tokenizer(text))))


def _joined(value: Any) -> Any:
    texts = isinstance(value, list) and value and all(isinstance(part, str) for part in value)
    return "\n".join(value) if texts else value
