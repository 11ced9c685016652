"""The open body of a streamed answer: read in pieces, closed exactly once, also when nobody closes it.

Knows the HTTP library's response only by `close`/`aclose` and `extensions`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from llama70b._readlimit import ReadLimit, is_bound
from llama70b.errors import Llama70BError

_DRAIN_S = 0.02

Unclosed = tuple[Any, Generator[bytes, None, None]]
"""A response and its pieces, waiting to be closed."""


def _shut_down(response: Any) -> None:
    """End the connection at once, without any lock; the other side sees it."""
    stream = response.extensions.get("network_stream")
    sock = stream.get_extra_info("socket") if stream is not None else None
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


class OpenStream:
    """A body read by blocking.

    Attributes:
        pieces: The body as it comes; raises StreamStalled, IncompleteStream or ProtocolError. Not to be closed: `close`
            does that.
        limit: When the next read is too late; whoever reads moves it on.
    """

    def __init__(
        self,
        response: Any,
        pieces: Generator[bytes, None, None],
        limit: ReadLimit,
        release: Callable[[], None],
        unclosed: deque[Unclosed],
    ) -> None:
        self.pieces = pieces
        self.limit = limit
        self._response = response
        self._release = release
        # The pieces too are kept for it: collected as garbage, they would close, and httpcore take its locks for that.
        self._forgotten = weakref.finalize(self, _forget, response, pieces, release, unclosed, os.getpid())
        self._forgotten.atexit = False

    def drain(self) -> None:
        """Read the end of the body if it is there or comes within 20 ms: the connection can then be used again."""
        if is_bound(self._response.extensions.get("network_stream")):
            self.limit.restart(_DRAIN_S)
            with contextlib.suppress(Llama70BError):  # it holds the connection open: it will be closed instead
                next(self.pieces, None)

    def close(self) -> None:
        """Close the body; unless it was read to its end, the connection with it, and the server stops generating."""
        if self._forgotten.detach() is not None:
            try:
                self._response.close()
            finally:
                self._release()

    def abort(self) -> None:
        """End, from another thread, a read that is going on: it then raises IncompleteStream."""
        _shut_down(self._response)


def _forget(
    response: Any,
    pieces: Generator[bytes, None, None],
    release: Callable[[], None],
    unclosed: deque[Unclosed],
    pid: int,
) -> None:
    """End a stream that was dropped without being closed, so that the server stops generating.

    The garbage collector may call this at any moment, also while httpcore's pool holds its lock in this thread: so no
    lock is taken. The socket is shut down at once, the rest is closed before the next request.
    """
    if os.getpid() == pid:  # else the stream is the parent's
        _shut_down(response)
        unclosed.append((response, pieces))
        release()


class AsyncOpenStream:
    """A body read by awaiting.

    Attributes:
        pieces: The body as it comes; raises StreamStalled, IncompleteStream or ProtocolError.
        limit: When the next read is too late; whoever reads moves it on.
    """

    def __init__(
        self, response: Any, pieces: AsyncGenerator[bytes, None], limit: ReadLimit, release: Callable[[], None]
    ) -> None:
        self.pieces = pieces
        self.limit = limit
        self._response = response
        self._release = release
        loop = asyncio.get_running_loop()
        self._forgotten = weakref.finalize(self, _aforget, response, release, loop, os.getpid())
        self._forgotten.atexit = False

    async def drain(self) -> None:
        """Read the end of the body if it is there or comes within 20 ms: the connection can then be used again."""
        if is_bound(self._response.extensions.get("network_stream")):
            self.limit.restart(_DRAIN_S)
            with contextlib.suppress(Llama70BError):  # it holds the connection open: it will be closed instead
                await anext(self.pieces, None)

    async def aclose(self) -> None:
        """Close the body; unless it was read to its end, the connection with it, and the server stops generating."""
        if self._forgotten.detach() is not None:
            try:
                await self._response.aclose()
            finally:
                self._release()


_closing: set[asyncio.Task[None]] = set()


def _aforget(response: Any, release: Callable[[], None], loop: asyncio.AbstractEventLoop, pid: int) -> None:
    """End a stream that was dropped without being closed or read: its loop closes it."""

    def close() -> None:
        release()
        task = loop.create_task(response.aclose())
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    if os.getpid() == pid:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and its connections with it
            loop.call_soon_threadsafe(close)
