"""A streamed answer: `ChatStream` and `AsyncChatStream`, two readers over the same bookkeeping."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType
from typing import Self

from llama70b._assemble import MAX_STREAM_BYTES, Assembler
from llama70b._call import Call
from llama70b._opened import AsyncOpenStream, OpenStream
from llama70b._readlimit import ReadLimit
from llama70b._sse import SSEDecoder
from llama70b.errors import IncompleteStream, Llama70BError, RequestTimeout, ResponseTooLarge, StreamStalled
from llama70b.types import Completion, Delta, Timing


class _State:
    """What is done between two reads, whoever reads."""

    def __init__(self, call: Call, limit: ReadLimit) -> None:
        self.assembler = Assembler(request_id=call.context.request_id)
        self.completion: Completion | None = None
        self.request_id = call.context.request_id
        self._decoder = SSEDecoder()
        self._call = call
        self._context = call.context
        self._struck = call.context.endpoint.striker()
        self._first: float | None = None
        self._deadline = call.started + call.flow.cold_s + call.context.timeouts.total
        self._bytes = 0
        self._limit = limit
        self._wait_for_first()
        if call.recording is not None:
            call.recording.watch(self, self.assembler)

    def _wait_for_first(self) -> None:
        """Begin to wait for the first event: the headers may come before the prompt has been read."""
        limits, now = self._context.timeouts, self._context.now()
        sent = now if self._call.flow.sent is None else self._call.flow.sent
        self._limit.ends_at(min(max(sent + limits.first_byte, now + limits.stream_idle), self._deadline))

    def _wait_on(self) -> None:
        """Begin to wait for the next event: heartbeats and pieces of one do not move this on."""
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
            delta = self.assembler.push(kind, self._struck(data))
            if delta is not None:
                if self._first is None:
                    self._note_first()
                yield delta
            if self.assembler.done:
                return
        if self._decoder.fault is not None:
            raise self._decoder.fault
        if moved_on:
            self._wait_on()  # from now, not from when they came: the caller may have taken its time with them
        if self._limit.over:  # only heartbeats came, or the caller was slower than the whole call may take
            raise self._too_slow()

    def _note_first(self) -> None:
        now = self._context.now()
        self._first = now - self._call.started
        if self._call.recording is not None:
            self._call.recording.first_token = now

    def _too_slow(self) -> RequestTimeout:
        """Return the error for the limit that has passed."""
        limits = self._context.timeouts
        if self._context.now() >= self._deadline:
            return RequestTimeout(f"the stream took longer than {limits.total:g} s (timeouts.total)")
        if self._first is None and limits.first_byte > limits.stream_idle:
            return StreamStalled(f"no event of the stream within {limits.first_byte:g} s (timeouts.first_byte)")
        return StreamStalled(f"no event of the stream for more than {limits.stream_idle:g} s (timeouts.stream_idle)")

    def end(self, error: Llama70BError | None) -> Iterator[Delta]:
        """Yield what comes after all other deltas, and set `completion`.

        Args:
            error: What ended the reading, None if the stream simply ended.

        Raises:
            Llama70BError: The answer was cut off, and that is not to be returned; all that had arrived is on it.
        """
        if not self.assembler.finished:
            error = error or self.assembler.unfinished()
        elif isinstance(error, RequestTimeout | IncompleteStream):
            error = None  # only [DONE], or usage, is missing
        if isinstance(error, StreamStalled):
            error, error.__cause__ = self._too_slow(), error.__cause__
        if error is not None:
            error.request_id = self.request_id
            self.assembler.interrupted(error)
            error.text = self._struck(error.text)
            if not (self._call.on_interrupt == "return" and error.retryable and self.assembler.begun):
                # Without the frames it came through: they hold what was received, and some loggers print variables.
                raise error.with_traceback(None)
            yield self.assembler.cut_by(error)
        if (last := self.assembler.last()) is not None:
            yield last
        self._finish(error)

    def _finish(self, error: Llama70BError | None) -> None:
        timing = Timing(
            total_s=self._context.now() - self._call.started,
            first_token_s=self._first,
            cold_start_s=self._call.flow.cold_s,
            attempts=self._call.flow.posts,
        )
        answer = replace(
            self.assembler.completion(), request_id=self.request_id, timing=timing, cost=self._call.cost(timing)
        )
        self.completion = answer
        if self._call.recording is not None:
            self._call.recording.answered(answer, interrupted_by=error)

    def failed(self, error: BaseException) -> None:
        """Record what ended the stream; after its end, nothing."""
        self._call.failed(error)

    def left(self, error: BaseException | None = None) -> None:
        """Record that its reader left it, because of an error perhaps; after its end, nothing."""
        if self._call.recording is not None:
            cancelled = isinstance(error, CancelledError | KeyboardInterrupt | SystemExit)
            self._call.recording.stopped("cancelled" if cancelled else "closed")


class ChatStream:
    """The deltas of one answer, as they come. Iterate once; use as a context manager, or call `close`.

    Leaving early closes the connection, and the server stops generating.
    """

    def __init__(self, opened: OpenStream, call: Call) -> None:
        self._opened = opened
        self._state = _State(call, opened.limit)
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
        self._state.left(error)
        self.close()

    def close(self) -> None:
        """Stop reading and close the connection. A read going on in another thread ends with IncompleteStream."""
        self._state.left()
        try:
            self._events.close()
        except ValueError:  # a generator that is running
            self._opened.abort()
        else:
            self._opened.close()


def _read(opened: OpenStream, state: _State) -> Generator[Delta, None, None]:
    fault: Llama70BError | None = None
    chunk = b""
    try:
        try:
            for chunk in opened.pieces:
                yield from state.take(chunk)
                if state.assembler.done:
                    opened.drain()
                    break
        except Llama70BError as error:
            fault, chunk = error, b""
        yield from state.end(fault)
    except GeneratorExit:
        raise  # from `close`, which closes, or from the garbage collector, which may take no lock (see `_opened`)
    except BaseException as error:
        opened.close()
        state.failed(error)
        raise
    finally:
        fault = None  # an error that holds this frame must not be held by it
    opened.close()


class AsyncChatStream:
    """The deltas of one answer, as they come. Iterate once; use as an async context manager, or call `aclose`.

    Leaving early closes the connection, and the server stops generating.
    """

    def __init__(self, opened: AsyncOpenStream, call: Call) -> None:
        self._opened = opened
        self._state = _State(call, opened.limit)
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
        self._state.left(error)
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading and close the connection. A read going on in another task ends with IncompleteStream."""
        self._state.left()
        try:
            await self._events.aclose()
        except RuntimeError as error:
            if "already running" not in str(error):
                raise
        await self._opened.aclose()


async def _aread(opened: AsyncOpenStream, state: _State) -> AsyncGenerator[Delta, None]:
    fault: Llama70BError | None = None
    chunk = b""
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
            fault, chunk = error, b""
        for delta in state.end(fault):
            yield delta
    except GeneratorExit:
        raise  # as in `_read`: from `aclose`, or because nobody holds the stream any more
    except BaseException as error:
        state.failed(error)
        raise
    finally:
        fault = None
        await opened.aclose()
