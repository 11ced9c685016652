"""The clients that are measured, each behind the same two calls: read one streamed answer to its end, and count.

A subject's library is imported when the subject is made, so that a process holds only the one it measures.
"""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

_DATA = b"data: "


@dataclass(slots=True)
class Target:
    """Where to ask, and what every request says.

    Attributes:
        url: Base URL with `/v1`.
        model: Served name.
        max_tokens: Most tokens of an answer; None leaves it out.
        fields: Further fields of vLLM's request.
    """

    url: str
    model: str
    max_tokens: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Seen:
    """One streamed answer as its reader saw it.

    Attributes:
        pieces: Elements that held text.
        chars: Characters of text in them.
        first_s: Seconds from the call to the first of them.
        end_s: Seconds from the call to the end.
    """

    pieces: int
    chars: int
    first_s: float
    end_s: float


class Count:
    """Counts pieces as they come; the same few instructions for every subject."""

    __slots__ = ("_began", "_first", "chars", "pieces")

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._first = 0.0
        self.pieces = self.chars = 0

    def text(self, piece: str) -> None:
        if piece:
            if not self.pieces:
                self._first = time.perf_counter()
            self.pieces += 1
            self.chars += len(piece)

    def seen(self) -> Seen:
        end = time.perf_counter()
        return Seen(self.pieces, self.chars, (self._first or end) - self._began, end - self._began)


new_count: Callable[[], Count] = Count
"""What the subjects count with; `worker` exchanges it for the stamped answers."""


class Subject(Protocol):
    """One client."""

    def ask(self, prompt: str) -> Seen:
        """Read one streamed answer, blocking."""
        ...

    async def aask(self, prompt: str) -> Seen:
        """Read one streamed answer, awaiting."""
        ...

    def whole(self, prompt: str) -> int:
        """Ask for one answer in one piece, blocking; return its characters."""
        ...

    async def awhole(self, prompt: str) -> int:
        """Ask for one answer in one piece, awaiting; return its characters."""
        ...


class Raw:
    """httpx and json, and no more: what a client cannot be cheaper than while it uses them.

    Bytes are split by hand at LF, because httpx's `iter_lines` also splits at U+2028 inside JSON strings.
    """

    def __init__(self, target: Target) -> None:
        self._url = f"{target.url}/chat/completions"
        self._body = {"model": target.model, **target.fields}
        if target.max_tokens is not None:
            self._body["max_tokens"] = target.max_tokens
        self._limits = httpx.Limits(max_connections=None, max_keepalive_connections=512)
        self._blocking = httpx.Client(timeout=None, limits=self._limits)
        self._awaiting: httpx.AsyncClient | None = None

    def _json(self, prompt: str, *, stream: bool = True) -> dict[str, Any]:
        body = {**self._body, "messages": [{"role": "user", "content": prompt}], "stream": stream}
        return {**body, "stream_options": {"include_usage": True}} if stream else body

    def _aclient(self) -> httpx.AsyncClient:
        if self._awaiting is None:
            self._awaiting = httpx.AsyncClient(timeout=None, limits=self._limits)
        return self._awaiting

    @staticmethod
    def _read(lines: list[bytes], count: Count) -> None:
        for line in lines:
            if line.startswith(_DATA) and line != b"data: [DONE]":
                chunk = json.loads(line[6:])
                if chunk["choices"]:
                    count.text(chunk["choices"][0]["delta"].get("content") or "")

    def ask(self, prompt: str) -> Seen:
        count, rest = new_count(), b""
        with self._blocking.stream("POST", self._url, json=self._json(prompt)) as answer:
            answer.raise_for_status()
            for data in answer.iter_raw():
                *lines, rest = (rest + data).split(b"\n")
                self._read(lines, count)
        return count.seen()

    async def aask(self, prompt: str) -> Seen:
        count, rest = new_count(), b""
        async with self._aclient().stream("POST", self._url, json=self._json(prompt)) as answer:
            answer.raise_for_status()
            async for data in answer.aiter_raw():
                *lines, rest = (rest + data).split(b"\n")
                self._read(lines, count)
        return count.seen()

    def whole(self, prompt: str) -> int:
        answer = self._blocking.post(self._url, json=self._json(prompt, stream=False))
        return len(answer.json()["choices"][0]["message"]["content"])

    async def awhole(self, prompt: str) -> int:
        answer = await self._aclient().post(self._url, json=self._json(prompt, stream=False))
        return len(answer.json()["choices"][0]["message"]["content"])


class RawLines(Raw):
    """httpx and json as most people write it: `iter_lines`."""

    def ask(self, prompt: str) -> Seen:
        count = new_count()
        with self._blocking.stream("POST", self._url, json=self._json(prompt)) as answer:
            for line in answer.iter_lines():
                self._line(line, count)
        return count.seen()

    async def aask(self, prompt: str) -> Seen:
        count = new_count()
        async with self._aclient().stream("POST", self._url, json=self._json(prompt)) as answer:
            async for line in answer.aiter_lines():
                self._line(line, count)
        return count.seen()

    @staticmethod
    def _line(line: str, count: Count) -> None:
        if line.startswith("data: ") and line != "data: [DONE]":
            chunk = json.loads(line[6:])
            if chunk["choices"]:
                count.text(chunk["choices"][0]["delta"].get("content") or "")


class Core:
    """Our core, without a framework."""

    def __init__(self, target: Target) -> None:
        from llama70b import AsyncClient, ChatRequest, Client, Endpoint, Message  # noqa: PLC0415

        endpoint = Endpoint(target.url, model=target.model)
        self._blocking, self._awaiting = (
            Client(endpoint, progress_bar=False),
            AsyncClient(endpoint, progress_bar=False),
        )
        self._request = lambda prompt: ChatRequest(
            (Message("user", prompt),), max_tokens=target.max_tokens, extra=target.fields
        )

    def ask(self, prompt: str) -> Seen:
        count = new_count()
        with self._blocking.stream(self._request(prompt)) as stream:
            for delta in stream:
                count.text(delta.content)
        return count.seen()

    async def aask(self, prompt: str) -> Seen:
        count = new_count()
        async with await self._awaiting.stream(self._request(prompt)) as stream:
            async for delta in stream:
                count.text(delta.content)
        return count.seen()

    def whole(self, prompt: str) -> int:
        return len(self._blocking.chat(self._request(prompt)).text)

    async def awhole(self, prompt: str) -> int:
        return len((await self._awaiting.chat(self._request(prompt))).text)


class LangChain:
    """A LangChain chat model."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def ask(self, prompt: str) -> Seen:
        count = new_count()
        for chunk in self.model.stream(prompt):
            count.text(chunk.content)
        return count.seen()

    async def aask(self, prompt: str) -> Seen:
        count = new_count()
        async for chunk in self.model.astream(prompt):
            count.text(chunk.content)
        return count.seen()

    def whole(self, prompt: str) -> int:
        return len(self.model.invoke(prompt).content)

    async def awhole(self, prompt: str) -> int:
        return len((await self.model.ainvoke(prompt)).content)


class LlamaIndex:
    """A LlamaIndex model, through `stream_chat`."""

    def __init__(self, model: Any) -> None:
        from llama_index.core.base.llms.types import ChatMessage  # noqa: PLC0415

        self.model = model
        self._turn = lambda prompt: [ChatMessage(role="user", content=prompt)]

    def ask(self, prompt: str) -> Seen:
        count = new_count()
        for response in self.model.stream_chat(self._turn(prompt)):
            count.text(response.delta or "")
        return count.seen()

    async def aask(self, prompt: str) -> Seen:
        count = new_count()
        async for response in await self.model.astream_chat(self._turn(prompt)):
            count.text(response.delta or "")
        return count.seen()

    def whole(self, prompt: str) -> int:
        return len(self.model.chat(self._turn(prompt)).message.content or "")

    async def awhole(self, prompt: str) -> int:
        return len((await self.model.achat(self._turn(prompt))).message.content or "")


class LlamaIndexComplete(LlamaIndex):
    """A LlamaIndex model, through `stream_complete`."""

    def ask(self, prompt: str) -> Seen:
        count = new_count()
        for response in self.model.stream_complete(prompt):
            count.text(response.delta or "")
        return count.seen()

    async def aask(self, prompt: str) -> Seen:
        count = new_count()
        async for response in await self.model.astream_complete(prompt):
            count.text(response.delta or "")
        return count.seen()


def chat_llama70b(target: Target) -> Any:
    """Ours, for LangChain."""
    from langchain_llama70b import ChatLlama70B  # noqa: PLC0415

    return ChatLlama70B(
        base_url=target.url, model=target.model, max_tokens=target.max_tokens, progress_bar=False, **target.fields
    )


def chat_openai(target: Target) -> Any:
    """LangChain's own client of OpenAI-compatible servers."""
    from langchain_openai import ChatOpenAI  # noqa: PLC0415

    return ChatOpenAI(
        base_url=target.url,
        model=target.model,
        api_key="none",
        max_tokens=target.max_tokens,
        stream_usage=True,
        extra_body=target.fields or None,
    )


def chat_llama(target: Target) -> Any:
    """langchain-llama-cpp's; it has llama.cpp's fields only."""
    from langchain_llama_cpp import ChatLlama  # noqa: PLC0415

    known = {name: value for name, value in target.fields.items() if name in ChatLlama.model_fields}
    return ChatLlama(base_url=target.url.removesuffix("/v1"), model=target.model, max_tokens=target.max_tokens, **known)


def llama70b(target: Target) -> Any:
    """Ours, for LlamaIndex."""
    from llamaindex_llama70b import Llama70B  # noqa: PLC0415

    return Llama70B(
        base_url=target.url, model=target.model, max_tokens=target.max_tokens, progress_bar=False, **target.fields
    )


def openai_like(target: Target) -> Any:
    """LlamaIndex's own client of OpenAI-compatible servers."""
    from llama_index.llms.openai_like import OpenAILike  # noqa: PLC0415

    return OpenAILike(
        api_base=target.url,
        model=target.model,
        api_key="none",
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=4096,
        max_tokens=target.max_tokens,
        additional_kwargs={
            "stream_options": {"include_usage": True},
            **({"extra_body": target.fields} if target.fields else {}),
        },
    )


MODELS: dict[str, Callable[[Target], Any]] = {
    "ChatLlama70B": chat_llama70b,
    "ChatOpenAI": chat_openai,
    "ChatLlama": chat_llama,
    "Llama70B": llama70b,
    "OpenAILike": openai_like,
}

SUBJECTS: dict[str, Callable[[Target], Subject]] = {
    "httpx + json": Raw,
    "httpx iter_lines + json": RawLines,
    "llama70b core": Core,
    "ChatLlama70B": lambda target: LangChain(chat_llama70b(target)),
    "ChatOpenAI": lambda target: LangChain(chat_openai(target)),
    "ChatLlama": lambda target: LangChain(chat_llama(target)),
    "Llama70B": lambda target: LlamaIndex(llama70b(target)),
    "Llama70B complete": lambda target: LlamaIndexComplete(llama70b(target)),
    "OpenAILike": lambda target: LlamaIndex(openai_like(target)),
    "OpenAILike complete": lambda target: LlamaIndexComplete(openai_like(target)),
}


async def aclose(subject: Subject) -> None:
    """Close what a subject holds in this event loop, where it can be closed."""
    for held in (getattr(subject, "model", None), getattr(subject, "_awaiting", None)):
        if held is not None and hasattr(held, "aclose"):
            with contextlib.suppress(RuntimeError):
                await held.aclose()
