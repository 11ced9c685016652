"""A streamed answer: `ChatStream` and `AsyncChatStream`, two readers over the same bookkeeping."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType
from typing import Self

from llama70b._assemble import MAX_STREAM_BYTES, Assembler
from llama70b._flow import CallFlow
from llama70b._http import AsyncOpenStream, OpenStream
from llama70b._ops import OK, Context
from llama70b._sse import SSEDecoder
from llama70b.errors import Llama70BError, ProtocolError, RequestTimeout, ResponseTooLarge, StreamStalled
from llama70b.types import Completion, Delta, Timing


class _State:
    """What is done between two reads, whoever reads."""

    def __init__(self, flow: CallFlow, context: Context, started: float) -> None:
        self.assembler = Assembler(request_id=context.request_id)
        self.completion: Completion | None = None
        self.request_id = context.request_id
        self._decoder = SSEDecoder()
        self._context = context
        self._flow = flow
        self._started = started
        self._first: float | None = None
        self._last_event = context.now()
        self._deadline = started + flow.cold_s + context.timeouts.total
        self._bytes = 0

    def check(self, headers: dict[str, str]) -> None:
        """Refuse an answer that is no event stream."""
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if kind not in {"", "text/event-stream"}:
            raise ProtocolError(
                f"asked for a stream, got {kind}",
                hint="an HTML page came back: is base_url the API, or a login page?" if "html" in kind else "",
                request_id=self.request_id,
                status=OK,
            )

    def take(self, chunk: bytes) -> Iterator[Delta]:
        """Yield the deltas that a chunk completes; what came before a fault in it is still delivered."""
        now = self._context.now()
        self._bytes += len(chunk)
        if self._bytes > MAX_STREAM_BYTES:
            raise ResponseTooLarge(f"the stream is larger than {MAX_STREAM_BYTES} bytes")
        for kind, data in self._decoder.feed(chunk):
            self._last_event = now
            delta = self.assembler.push(kind, data)
            if delta is not None:
                if self._first is None:
                    self._first = now - self._started
                yield delta
            if self.assembler.done:
                return
        limits = self._context.timeouts
        if now - self._last_event > limits.stream_idle:  # only heartbeats came
            raise StreamStalled(f"no event of the stream for more than {limits.stream_idle:g} s (timeouts.stream_idle)")
        if now > self._deadline:
            raise RequestTimeout(f"the stream took longer than {limits.total:g} s (timeouts.total)")

    def partial(self, error: Llama70BError) -> Llama70BError:
        """Put what had arrived on an error."""
        error.request_id = self.request_id
        return self.assembler.interrupted(error)

    def finish(self) -> None:
        """Set `completion`; raises IncompleteStream if the answer had no end."""
        answer = self.assembler.completion()
        timing = Timing(
            total_s=self._context.now() - self._started,
            first_token_s=self._first,
            cold_start_s=self._flow.cold_s,
            attempts=self._flow.posts,
        )
        self.completion = replace(answer, request_id=self.request_id, timing=timing)


class ChatStream:
    """The deltas of one answer, as they come. Iterate once; use as a context manager, or call `close`.

    Leaving early closes the connection, and the server stops generating.
    """

    def __init__(self, opened: OpenStream, flow: CallFlow, context: Context, started: float) -> None:
        self._opened = opened
        self._state = _State(flow, context, started)
        try:
            self._state.check(opened.headers)
        except ProtocolError:
            opened.close()
            raise
        self._events = _read(opened, self._state)

    @property
    def request_id(self) -> str:
        """The `X-Request-Id` of the call."""
        return self._state.request_id

    @property
    def completion(self) -> Completion | None:
        """The whole answer, once the stream has ended."""
        return self._state.completion

    def __iter__(self) -> Iterator[Delta]:
        return self._events

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading and close the connection."""
        self._events.close()
        self._opened.close()


def _read(opened: OpenStream, state: _State) -> Generator[Delta, None, None]:
    chunks = opened.chunks()
    try:
        for chunk in chunks:
            yield from state.take(chunk)
            if state.assembler.done:
                opened.drain(chunks)
                break
        if (last := state.assembler.last()) is not None:
            yield last
        state.finish()
    except Llama70BError as error:
        raise state.partial(error) from error.__cause__
    finally:
        chunks.close()
        opened.close()


class AsyncChatStream:
    """The deltas of one answer, as they come. Iterate once; use as an async context manager, or call `aclose`.

    Leaving early closes the connection, and the server stops generating.
    """

    def __init__(self, opened: AsyncOpenStream, flow: CallFlow, context: Context, started: float) -> None:
        self._opened = opened
        self._state = _State(flow, context, started)
        self._events = _aread(opened, self._state)

    @property
    def request_id(self) -> str:
        """The `X-Request-Id` of the call."""
        return self._state.request_id

    @property
    def completion(self) -> Completion | None:
        """The whole answer, once the stream has ended."""
        return self._state.completion

    async def check(self) -> None:
        """Refuse an answer that is no event stream, and close it then."""
        try:
            self._state.check(self._opened.headers)
        except ProtocolError:
            await self._opened.aclose()
            raise

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._events

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading and close the connection."""
        await self._events.aclose()
        await self._opened.aclose()


async def _aread(opened: AsyncOpenStream, state: _State) -> AsyncGenerator[Delta, None]:
    try:
        async with aclosing(opened.chunks()) as chunks:
            async for chunk in chunks:
                for delta in state.take(chunk):
                    yield delta
                if state.assembler.done:
                    await opened.drain(chunks)
                    break
        if (last := state.assembler.last()) is not None:
            yield last
        state.finish()
    except Llama70BError as error:
        raise state.partial(error) from error.__cause__
    finally:
        await opened.aclose()
