"""HTTP exchanges, blocking and awaiting. The only file that imports the HTTP library.

Each exchange sends one request and brings back a `Reply`, a `Reply` with an open stream, or a `Failure`; redirects,
retries and waiting are the flow's business.
"""

from __future__ import annotations

import asyncio
import functools
import os
import select
import ssl
import threading
import urllib.request
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from typing import Any

import httpx

from llama70b._ops import OK, Context, Failure, Reply, Send
from llama70b._version import __version__
from llama70b.endpoint import Endpoint, Timeouts
from llama70b.errors import ConnectionFailed, ProtocolError, StreamStalled

MAX_BODY_BYTES = 8 * 1024 * 1024
_KEEPALIVE_S = 4.0
"""Below the 5 s after which vLLM's uvicorn closes an idle connection, so that we close first."""
_DRAIN_S = 0.02
_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)


@functools.cache
def _trust_store() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _verify(endpoint: Endpoint) -> ssl.SSLContext | bool:
    """Return the trust store; loading it costs 20 ms, which plain http without a proxy does not need."""
    if endpoint.origin[0] == "http" and not urllib.request.getproxies():
        return False
    return _trust_store()


def _client_options(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "verify": _verify(endpoint),
        "follow_redirects": False,
        # We bound connections ourselves: httpx 0.28's pool loses slots for good when requests are cancelled while
        # waiting for one (httpcore#1093) [notes: reliability 3].
        "limits": httpx.Limits(
            max_connections=None, max_keepalive_connections=endpoint.max_connections, keepalive_expiry=_KEEPALIVE_S
        ),
    }


def _headers(endpoint: Endpoint, op: Send, request_id: str) -> dict[str, str]:
    headers = {
        "Accept": "text/event-stream" if op.stream else "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"llama70b/{__version__}",
        "X-Request-Id": request_id,
        **endpoint.auth_headers(),
    }
    if op.body is not None:
        headers["Content-Type"] = "application/json"
    return headers


def _limits(timeouts: Timeouts, op: Send) -> dict[str, float]:
    return {"connect": timeouts.connect, "pool": timeouts.pool, "write": timeouts.write, "read": op.limit}


def _failure(error: Exception, op: Send, *, reused: bool, answered: bool) -> Failure:
    """Return what an exception of the HTTP library means."""
    detail = str(error) or type(error).__name__
    match error:
        case httpx.ConnectTimeout():
            return Failure("connect_timeout", "timed out (timeouts.connect)", error)
        case httpx.ConnectError() if isinstance(error.__context__, ssl.SSLError) or "SSL" in detail:
            return Failure("tls", detail, error)
        case httpx.ConnectError() | httpx.ProxyError():
            return Failure("connect", detail, error)
        case httpx.PoolTimeout():
            return Failure("pool_timeout", detail, error)
        case httpx.TimeoutException():
            return Failure("timeout", f"{op.limit:g} s (timeouts.{op.limit_name})", error)
        case httpx.ReadError() | httpx.WriteError() | httpx.CloseError() | httpx.RemoteProtocolError() if answered:
            return Failure("broken", detail, error)
        case httpx.RemoteProtocolError() if "without sending" not in detail:
            return Failure("protocol", f"the answer is not HTTP: {detail}", error)
        case httpx.ReadError() | httpx.WriteError() | httpx.CloseError() | httpx.RemoteProtocolError():
            return Failure("stale" if reused else "no_answer", detail, error)
        case _:
            # Not `detail`: a refused header's text quotes the header.
            return Failure("unsendable", f"the request cannot be sent: {type(error).__name__}")


def _check_encoding(response: httpx.Response) -> None:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise ProtocolError(f"the answer is compressed ({encoding}), which was not asked for")


def _lowered(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _built(
    http: httpx.Client | httpx.AsyncClient, op: Send, context: Context, trace: Callable[..., Any]
) -> httpx.Request:
    request = http.build_request(
        op.method,
        op.url,
        content=op.body,
        headers=_headers(context.endpoint, op, context.request_id),
        extensions={"timeout": _limits(context.timeouts, op), "trace": trace},
    )
    request.headers.pop("cookie", None)  # a proxy's cookie is no credential of ours
    return request


class _Body:
    """A body being read under caps."""

    def __init__(self, response: httpx.Response, deadline: float, context: Context) -> None:
        _check_encoding(response)
        self._parts: list[bytes] = []
        self._size = 0
        self._deadline = deadline
        self._context = context

    def add(self, chunk: bytes) -> Failure | None:
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            return Failure("too_large", f"the answer is larger than {MAX_BODY_BYTES} bytes")
        if self._context.now() > self._deadline:
            return Failure("timeout", "the time limit: the answer only trickled in")
        return None

    def whole(self) -> bytes:
        return b"".join(self._parts)


class OpenStream:
    """The open body of a streamed answer, read by blocking."""

    def __init__(self, response: httpx.Response, release: Callable[[], None], idle_s: float) -> None:
        self.headers = _lowered(response)
        self._response = response
        self._release = weakref.finalize(self, release)
        self._idle_s = idle_s

    def chunks(self) -> Generator[bytes, None, None]:
        """Yield the body as it comes; raises StreamStalled, ConnectionFailed or ProtocolError."""
        try:
            _check_encoding(self._response)
            yield from self._response.iter_raw()
        except _ERRORS as error:
            raise _broken(error, self._idle_s) from error

    def drain(self, chunks: Generator[bytes, None, None]) -> None:
        """Read the end of the body if it is there or comes within 20 ms: the connection can then be used again."""
        stream = self._response.extensions.get("network_stream")
        sock = stream.get_extra_info("socket") if stream is not None else None
        if sock is not None and sock.fileno() >= 0 and select.select([sock], [], [], _DRAIN_S)[0]:
            next(chunks, None)

    def close(self) -> None:
        """Close the body; unless it was read to its end, the connection with it, and the server stops generating."""
        self._response.close()
        self._release()


class AsyncOpenStream:
    """The open body of a streamed answer, read by awaiting."""

    def __init__(self, response: httpx.Response, release: Callable[[], None], idle_s: float) -> None:
        self.headers = _lowered(response)
        self._response = response
        self._release = weakref.finalize(self, release)
        self._idle_s = idle_s

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes; raises StreamStalled, ConnectionFailed or ProtocolError."""
        try:
            _check_encoding(self._response)
            async for chunk in self._response.aiter_raw():
                yield chunk
        except _ERRORS as error:
            raise _broken(error, self._idle_s) from error

    async def drain(self, chunks: AsyncIterator[bytes]) -> None:
        """Read the end of the body if it comes within 20 ms: the connection can then be used again."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                await anext(chunks, None)
        except TimeoutError:
            return  # the server holds the connection open after its last word: it will be closed instead

    async def aclose(self) -> None:
        """Close the body; unless it was read to its end, the connection with it, and the server stops generating."""
        try:
            await self._response.aclose()
        finally:
            self._release()


def _broken(error: Exception, idle_s: float) -> StreamStalled | ConnectionFailed:
    if isinstance(error, httpx.TimeoutException):
        return StreamStalled(f"the stream was silent for more than {idle_s:g} s (timeouts.stream_idle)")
    return ConnectionFailed(f"the connection broke inside the stream: {str(error) or type(error).__name__}")


class SyncHttp:
    """Blocking exchanges with one endpoint, from any thread; a forked child opens connections of its own."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._http: httpx.Client | None = None
        self._slots = threading.BoundedSemaphore(self._endpoint.max_connections)

    def _connection(self) -> tuple[httpx.Client, threading.BoundedSemaphore]:
        with self._lock:
            if self._pid != os.getpid():
                self._reset()  # the inherited sockets are the parent's: both would read each other's answers
            if self._http is None:
                self._http = httpx.Client(**_client_options(self._endpoint))
            return self._http, self._slots

    def exchange(self, op: Send, context: Context) -> Reply | Failure:
        """Send one request."""
        http, slots = self._connection()
        if not slots.acquire(timeout=context.timeouts.pool):
            return Failure("pool_timeout", "")
        held, connected, answered = True, False, False

        def trace(name: str, _info: object) -> None:
            nonlocal connected
            connected = connected or name.startswith("connection.connect")

        try:
            request = _built(http, op, context, trace)
            response = http.send(request, stream=True)
            answered = True
            http.cookies.clear()
            if op.stream and response.status_code == OK:
                request.extensions["timeout"]["read"] = context.timeouts.stream_idle
                held = False  # the stream gives the slot back
                return Reply(
                    OK, _lowered(response), opened=OpenStream(response, slots.release, context.timeouts.stream_idle)
                )
            try:
                body = _Body(response, context.now() + op.limit, context)
                for chunk in response.iter_raw():
                    if (failure := body.add(chunk)) is not None:
                        return failure
            finally:
                response.close()
            return Reply(response.status_code, _lowered(response), body.whole())
        except ProtocolError as error:
            return Failure("protocol", error.message)
        except _ERRORS as error:
            return _failure(error, op, reused=not connected, answered=answered)
        finally:
            if held:
                slots.release()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            http, self._http = self._http, None
        if http is not None:
            http.close()


class AsyncHttp:
    """Awaiting exchanges with one endpoint, inside one event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._http = httpx.AsyncClient(**_client_options(endpoint))
        self._slots = asyncio.Semaphore(endpoint.max_connections)

    async def exchange(self, op: Send, context: Context) -> Reply | Failure:
        """Send one request."""
        try:
            async with asyncio.timeout(context.timeouts.pool):
                await self._slots.acquire()
        except TimeoutError:
            return Failure("pool_timeout", "")
        held, connected, answered = True, False, False

        async def trace(name: str, _info: object) -> None:
            nonlocal connected
            connected = connected or name.startswith("connection.connect")

        http = self._http
        try:
            request = _built(http, op, context, trace)
            # The read limit alone would begin anew with every byte of slowly dripping headers.
            async with asyncio.timeout(op.limit + context.timeouts.connect):
                response = await http.send(request, stream=True)
                answered = True
                http.cookies.clear()
                if op.stream and response.status_code == OK:
                    request.extensions["timeout"]["read"] = context.timeouts.stream_idle
                    held = False  # the stream gives the slot back
                    opened = AsyncOpenStream(response, self._slots.release, context.timeouts.stream_idle)
                    return Reply(OK, _lowered(response), opened=opened)
                try:
                    body = _Body(response, context.now() + op.limit, context)
                    async for chunk in response.aiter_raw():
                        if (failure := body.add(chunk)) is not None:
                            return failure
                finally:
                    await response.aclose()
            return Reply(response.status_code, _lowered(response), body.whole())
        except TimeoutError as error:
            return Failure("timeout", f"{op.limit:g} s (timeouts.{op.limit_name})", error)
        except ProtocolError as error:
            return Failure("protocol", error.message)
        except _ERRORS as error:
            return _failure(error, op, reused=not connected, answered=answered)
        finally:
            if held:
                self._slots.release()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()
