"""A streamed answer: `ChatStream` and `AsyncChatStream`, two readers over the same bookkeeping."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType
from typing import Self

from llama70b._assemble import MAX_STREAM_BYTES, Assembler
from llama70b._flow import CallFlow
from llama70b._opened import AsyncOpenStream, OpenStream
from llama70b._ops import Context
from llama70b._readlimit import ReadLimit
from llama70b._sse import SSEDecoder
from llama70b.errors import IncompleteStream, Llama70BError, RequestTimeout, ResponseTooLarge, StreamStalled
from llama70b.types import Completion, Delta, Timing


class _State:
    """What is done between two reads, whoever reads."""

    def __init__(self, flow: CallFlow, context: Context, started: float, limit: ReadLimit) -> None:
        self.assembler = Assembler(request_id=context.request_id)
        self.completion: Completion | None = None
        self.request_id = context.request_id
        self._decoder = SSEDecoder()
        self._context = context
        self._flow = flow
        self._started = started
        self._first: float | None = None
        self._deadline = started + flow.cold_s + context.timeouts.total
        self._bytes = 0
        self._limit = limit
        self._wait_on()

    def _wait_on(self) -> None:
        """Begin to wait for an event: heartbeats and pieces of one do not move this on."""
        self._limit.ends_at(min(self._context.now() + self._context.timeouts.stream_idle, self._deadline))

    def take(self, chunk: bytes) -> Iterator[Delta]:
        """Yield the deltas that a chunk completes; what came before a fault in it is still delivered."""
        self._bytes += len(chunk)
        if self._bytes > MAX_STREAM_BYTES:
            raise ResponseTooLarge(f"the stream is larger than {MAX_STREAM_BYTES} bytes")
        moved_on = False
        for kind, data in self._decoder.feed(chunk):
            if not data or data.isspace():
                continue  # a heartbeat in the shape of an event
            moved_on = True
            delta = self.assembler.push(kind, data)
            if delta is not None:
                if self._first is None:
                    self._first = self._context.now() - self._started
                yield delta
            if self.assembler.done:
                return
        if self._decoder.fault is not None:
            raise self._decoder.fault
        if moved_on:
            self._wait_on()  # from now, not from when they came: the caller may have taken its time with them
        if self._limit.over:  # only heartbeats came, or the caller was slower than the whole call may take
            raise self.too_slow()

    def too_slow(self) -> RequestTimeout:
        """Return the error for the limit that has passed."""
        limits = self._context.timeouts
        if self._context.now() >= self._deadline:
            return RequestTimeout(f"the stream took longer than {limits.total:g} s (timeouts.total)")
        return StreamStalled(f"no event of the stream for more than {limits.stream_idle:g} s (timeouts.stream_idle)")

    def ended_by(self, error: Llama70BError) -> None:
        """Raise an error with all that had arrived on it; not for a break after the answer's own end."""
        if isinstance(error, StreamStalled | IncompleteStream) and self.assembler.finished:
            return  # only [DONE], or usage, is missing
        if isinstance(error, StreamStalled):
            error = self.too_slow()
        raise self._partial(error) from error.__cause__

    def _partial(self, error: Llama70BError) -> Llama70BError:
        error.request_id = self.request_id
        return self.assembler.interrupted(error)

    def finish(self) -> None:
        """Set `completion`; raises IncompleteStream if the answer had no end."""
        try:
            answer = self.assembler.completion()
        except Llama70BError as error:
            raise self._partial(error) from None
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
        self._state = _State(flow, context, started, opened.limit)
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
        """Stop reading and close the connection. A read going on in another thread ends with IncompleteStream."""
        try:
            self._events.close()
        except ValueError:  # a generator that is running
            self._opened.abort()
        else:
            self._opened.close()


def _read(opened: OpenStream, state: _State) -> Generator[Delta, None, None]:
    try:
        try:
            for chunk in opened.pieces:
                yield from state.take(chunk)
                if state.assembler.done:
                    opened.drain()
                    break
        except Llama70BError as error:
            state.ended_by(error)
        if (last := state.assembler.last()) is not None:
            yield last
        state.finish()
    except GeneratorExit:
        raise  # from `close`, which closes, or from the garbage collector, which may take no lock (see `_opened`)
    except BaseException:
        opened.close()
        raise
    opened.close()


class AsyncChatStream:
    """The deltas of one answer, as they come. Iterate once; use as an async context manager, or call `aclose`.

    Leaving early closes the connection, and the server stops generating.
    """

    def __init__(self, opened: AsyncOpenStream, flow: CallFlow, context: Context, started: float) -> None:
        self._opened = opened
        self._state = _State(flow, context, started, opened.limit)
        self._events = _aread(opened, self._state)

    @property
    def request_id(self) -> str:
        """The `X-Request-Id` of the call."""
        return self._state.request_id

    @property
    def completion(self) -> Completion | None:
        """The whole answer, once the stream has ended."""
        return self._state.completion

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._events

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading and close the connection. A read going on in another task ends with IncompleteStream."""
        try:
            await self._events.aclose()
        except RuntimeError as error:
            if "already running" not in str(error):
                raise
        await self._opened.aclose()


async def _aread(opened: AsyncOpenStream, state: _State) -> AsyncGenerator[Delta, None]:
    try:
        try:
            async with aclosing(opened.pieces) as pieces:
                async for chunk in pieces:
                    for delta in state.take(chunk):
                        yield delta
                    if state.assembler.done:
                        await opened.drain()
                        break
        except Llama70BError as error:
            state.ended_by(error)
        if (last := state.assembler.last()) is not None:
            yield last
        state.finish()
    finally:
        await opened.aclose()
