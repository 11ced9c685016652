"""HTTP exchanges, blocking and awaiting. The only file that imports the HTTP library.

Each exchange sends one request and brings back a `Reply`, a `Reply` with an open stream, or a `Failure`; redirects,
retries and waiting are the flow's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import queue
import ssl
import threading
import urllib.request
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import httpx

from llama70b._opened import AsyncOpenStream, OpenStream, Unclosed
from llama70b._ops import OK, Context, Failure, Reply, Send
from llama70b._readlimit import ReadLimit, bind_opened
from llama70b._version import __version__
from llama70b.endpoint import Endpoint
from llama70b.errors import IncompleteStream, ProtocolError, StreamStalled

MAX_BODY_BYTES = 8 * 1024 * 1024
_KEEPALIVE_S = 4.0
"""Below the 5 s after which vLLM's uvicorn closes an idle connection, so that we close first."""
_SLACK_S = 0.2
_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
_STOPS = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)


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


def _headers(op: Send, context: Context) -> dict[str, str]:
    headers = {
        **context.headers,
        "Accept": "text/event-stream" if op.stream else "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"llama70b/{__version__}",
        "X-Request-Id": context.request_id,
        **context.endpoint.auth_headers(),
    }
    if op.body is not None:
        headers["Content-Type"] = "application/json"
    return headers


def _cleaned(error: BaseException) -> BaseException:
    """Take off an exception of the HTTP library, and off those behind it, what holds the credentials.

    That is the request with its headers, and the frames, whose variables some loggers print.
    """
    behind: BaseException | None = error
    while behind is not None:
        behind.__traceback__ = None
        if isinstance(behind, httpx.RequestError):
            behind.request = httpx.Request("POST", "")
        behind = behind.__cause__ or behind.__context__
    return error


def _failure(error: Exception, op: Send, *, reused: bool, answered: bool) -> Failure:
    """Return what an exception of the HTTP library means."""
    detail = str(error) or type(error).__name__
    _cleaned(error)
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
            # Without what follows the colon, and without the cause: they quote what was received.
            return Failure("protocol", f"the answer is not HTTP: {detail.partition(':')[0]}")
        case httpx.ReadError() | httpx.WriteError() | httpx.CloseError() | httpx.RemoteProtocolError():
            return Failure("stale" if reused else "no_answer", detail, error)
        case _:
            # Not `detail`: a refused header's text quotes the header.
            return Failure("unsendable", f"the request cannot be sent: {type(error).__name__}")


def _check_encoding(response: httpx.Response) -> None:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise ProtocolError(f"the answer is compressed ({encoding[:20]}), which was not asked for")


def _set_aside(response: httpx.Response) -> None:
    """Hide `Location` from httpx, which builds the next request from it even if it is not to follow, and may fail."""
    response.extensions["location"] = response.headers.pop("location", None)


async def _aset_aside(response: httpx.Response) -> None:
    _set_aside(response)


def _lowered(response: httpx.Response, endpoint: Endpoint) -> dict[str, str]:
    """Return the headers, with our credentials struck out, should a server echo them."""
    struck = endpoint.striker()
    headers = {name.lower(): struck(value) for name, value in response.headers.items()}
    location = response.extensions["location"]
    return headers if location is None else {**headers, "location": struck(location)}


def _is_stream(response: httpx.Response, op: Send) -> bool:
    """Return whether to hand over an open answer: an event stream that was asked for, or one without a type."""
    kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
    return op.stream and response.status_code == OK and kind in {"", "text/event-stream"}


def _built(
    http: httpx.Client | httpx.AsyncClient, op: Send, context: Context, limit: ReadLimit, trace: Callable[..., Any]
) -> httpx.Request:
    timeouts, left = context.timeouts, limit.left()
    limits = {"connect": min(timeouts.connect, left), "pool": left, "write": min(timeouts.write, left), "read": limit}
    request = http.build_request(
        op.method,
        op.url,
        content=op.body,
        headers=_headers(op, context),
        extensions={"timeout": limits, "trace": trace},
    )
    request.headers.pop("cookie", None)  # a proxy's cookie is no credential of ours
    return request


def _stream_limit(request: httpx.Request, context: Context) -> ReadLimit:
    """Replace the limit for the answer's beginning by one for its pieces; httpcore takes it up with the body."""
    limit = ReadLimit(context.timeouts.stream_idle, context.now)
    request.extensions["timeout"]["read"] = limit
    return limit


class _Body:
    """A body being read under caps."""

    def __init__(self, response: httpx.Response, limit: ReadLimit) -> None:
        _check_encoding(response)
        self._parts: list[bytes] = []
        self._size = 0
        self._limit = limit

    def add(self, chunk: bytes, op: Send) -> Failure | None:
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            return Failure("too_large", f"the answer is larger than {MAX_BODY_BYTES} bytes")
        if self._limit.over:
            return Failure("timeout", f"{op.limit:g} s (timeouts.{op.limit_name}): it only trickled in")
        return None

    def whole(self) -> bytes:
        return b"".join(self._parts)


def _broken(error: Exception) -> StreamStalled | IncompleteStream:
    _cleaned(error)
    if isinstance(error, httpx.TimeoutException):
        return StreamStalled("the stream was silent for too long")
    detail = (str(error) or type(error).__name__).partition(":")[0]
    return IncompleteStream(f"the connection broke inside the stream, the answer is cut off: {detail}")


def _pieces(response: httpx.Response) -> Generator[bytes, None, None]:
    """Yield the body as it comes; raises StreamStalled, IncompleteStream or ProtocolError."""
    try:
        _check_encoding(response)
        yield from response.iter_raw()
    except _ERRORS as error:
        raise _broken(error) from error
    except _STOPS as error:
        raise _cleaned(error) from None


async def _apieces(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    try:
        _check_encoding(response)
        async for chunk in response.aiter_raw():
            yield chunk
    except _ERRORS as error:
        raise _broken(error) from error
    except _STOPS as error:
        raise _cleaned(error) from None


class SyncHttp:
    """Blocking exchanges with one endpoint, from any thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        # httpx imports it with the first client. If a fork falls into that import, the child waits for it for ever.
        importlib.import_module("httpcore")
        self._endpoint = endpoint
        self._opened: weakref.WeakSet[Any] = weakref.WeakSet()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._http: httpx.Client | None = None
        self._dropped: weakref.finalize[..., Any] | None = None
        self._unclosed: deque[Unclosed] = deque()
        # Not a semaphore: only this may be given back from inside the garbage collector (see `_forget`).
        self._slots: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(self._endpoint.max_connections):
            self._slots.put(None)

    def after_fork(self) -> None:
        """Give up the inherited sockets, which are the parent's: both would read each other's answers."""
        for stream in list(self._opened):
            stream.close()  # this process's handle only; the parent's connection stays open
        if self._dropped is not None:
            self._dropped.detach()
        self._begin()

    def _connection(self) -> httpx.Client:
        with self._lock:
            if self._http is None:
                self._http = httpx.Client(**_client_options(self._endpoint), event_hooks={"response": [_set_aside]})
                self._dropped = weakref.finalize(self, self._http.close)  # frameworks never close their models
                self._dropped.atexit = False
        while self._unclosed:
            with contextlib.suppress(IndexError):  # another thread was quicker
                self._unclosed.popleft()[0].close()
        return self._http

    def exchange(self, op: Send, context: Context) -> Reply | Failure:
        """Send one request."""
        try:
            return self._exchange(op, context)
        except _STOPS as error:
            raise _cleaned(error) from None

    def _exchange(self, op: Send, context: Context) -> Reply | Failure:
        http, slots = self._connection(), self._slots
        whole = ReadLimit(op.limit if op.within is None else op.within, context.now)
        try:
            slots.get(timeout=min(context.timeouts.pool, whole.left()))
        except queue.Empty:
            return Failure("pool_timeout", f"{min(context.timeouts.pool, float(whole)):g} s")
        give_back = functools.partial(slots.put, None)
        limit = ReadLimit(min(op.limit, whole.left()), context.now)
        held, connected, answered = True, None, False

        def trace(name: str, info: dict[str, Any]) -> None:
            nonlocal connected
            if (stream := bind_opened(name, info)) is not None:
                connected = stream
                self._opened.add(stream)

        try:
            request = _built(http, op, context, limit, trace)
            response = http.send(request, stream=True)
            answered = True
            http.cookies.clear()
            if _is_stream(response, op):
                held = False  # the stream gives the slot back
                limit = _stream_limit(request, context)
                opened = OpenStream(response, _pieces(response), limit, give_back, self._unclosed)
                return Reply(OK, _lowered(response, context.endpoint), opened=opened)
            try:
                body = _Body(response, limit)
                for chunk in response.iter_raw():
                    if (failure := body.add(chunk, op)) is not None:
                        return failure
            finally:
                response.close()
            return Reply(
                response.status_code, _lowered(response, context.endpoint), context.endpoint.redacted(body.whole())
            )
        except ProtocolError as error:
            return Failure("protocol", error.message)
        except _ERRORS as error:
            return _failure(error, op, reused=connected is None, answered=answered)
        except RuntimeError:
            if not http.is_closed:
                raise
            return Failure("stale", "the client was closed meanwhile")
        finally:
            if held:
                give_back()
                if connected is not None and http.is_closed:
                    connected.close()  # opened while another thread closed the client, which therefore missed it

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            http, self._http = self._http, None
        if http is not None:
            http.close()


class AsyncHttp:
    """Awaiting exchanges with one endpoint, inside one event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._http = httpx.AsyncClient(**_client_options(endpoint), event_hooks={"response": [_aset_aside]})
        self._slots = asyncio.Semaphore(endpoint.max_connections)

    async def exchange(self, op: Send, context: Context) -> Reply | Failure:
        """Send one request."""
        try:
            return await self._exchange(op, context)
        except _STOPS as error:
            raise _cleaned(error) from None

    async def _exchange(self, op: Send, context: Context) -> Reply | Failure:
        whole = ReadLimit(op.limit if op.within is None else op.within, context.now)
        try:
            async with asyncio.timeout(min(context.timeouts.pool, whole.left())):
                await self._slots.acquire()
        except TimeoutError:
            return Failure("pool_timeout", f"{min(context.timeouts.pool, float(whole)):g} s")
        limit = ReadLimit(min(op.limit, whole.left()), context.now)
        held, connected, answered = True, False, False

        async def trace(name: str, info: dict[str, Any]) -> None:
            nonlocal connected
            connected = bind_opened(name, info) is not None or connected

        http = self._http
        try:
            request = _built(http, op, context, limit, trace)
            async with asyncio.timeout(limit.left() + _SLACK_S):  # the parts' own limits, one after the other
                response = await http.send(request, stream=True)
                answered = True
                http.cookies.clear()
                if _is_stream(response, op):
                    held = False  # the stream gives the slot back
                    limit = _stream_limit(request, context)
                    opened = AsyncOpenStream(response, _apieces(response), limit, self._slots.release)
                    return Reply(OK, _lowered(response, context.endpoint), opened=opened)
                try:
                    body = _Body(response, limit)
                    async for chunk in response.aiter_raw():
                        if (failure := body.add(chunk, op)) is not None:
                            return failure
                finally:
                    await response.aclose()
            return Reply(
                response.status_code, _lowered(response, context.endpoint), context.endpoint.redacted(body.whole())
            )
        except TimeoutError as error:
            _cleaned(error)
            return Failure("timeout", f"{op.limit:g} s (timeouts.{op.limit_name})")
        except ProtocolError as error:
            return Failure("protocol", error.message)
        except _ERRORS as error:
            return _failure(error, op, reused=not connected, answered=answered)
        except RuntimeError:
            if not http.is_closed:
                raise
            return Failure("stale", "the client was closed meanwhile")
        finally:
            if held:
                self._slots.release()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()
