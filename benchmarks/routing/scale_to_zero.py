"""A scale-to-zero front before the local engine: 503 while it sleeps or boots, and it really stops it when idle.

It answers as a Modal Server does: a request that finds nothing running gets a 503 at once and starts the boot; when
nothing has been in work for `window_s`, the engine's process is ended. It keeps the true up-times, to which those
reconstructed from the ledger can be compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from llama70b import Endpoint

_HOP = frozenset({"host", "authorization", "content-length", "connection", "transfer-encoding", "keep-alive"})
KEY = "bench-key"


class Engine(Protocol):
    """What is started and stopped: `LocalEngine`, or a stand-in."""

    def start(self) -> Endpoint: ...

    def wait_until_ready(self) -> None: ...

    def stop(self) -> None: ...


class ScaleToZero:
    """The front; one engine at most."""

    def __init__(self, window_s: float, make: Callable[[], Engine], *, lock: Path | None = None) -> None:
        self.window_s = window_s
        self._make = make
        self.up: list[tuple[int, int, int]] = []  # from, ready, until; UTC nanoseconds
        self._lock_file = lock
        self._locked: Any = None
        self._engine: Engine | None = None
        self._target: Endpoint | None = None
        self._began = self._ready = 0
        self._booting: asyncio.Task[None] | None = None
        self._in_work = 0
        self._idle_since = time.monotonic()
        self._http = httpx.AsyncClient(timeout=None)

    def app(self) -> Starlette:
        @contextlib.asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[None]:
            reaper = asyncio.create_task(self._reap())
            try:
                yield
            finally:
                reaper.cancel()
                await self._sleep()
                await self._http.aclose()

        methods = ["GET", "POST"]
        return Starlette(routes=[Route("/{path:path}", self.answer, methods=methods)], lifespan=lifespan)

    async def answer(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": {"message": "who are you?"}}, 401)
        if self._target is None:
            if self._booting is None:
                self._booting = asyncio.create_task(self._boot())
            return Response(status_code=503)
        return await self._pass_on(request, self._target)

    async def _pass_on(self, request: Request, target: Endpoint) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        headers.update(target.auth_headers())
        self._in_work += 1
        try:
            sent = self._http.build_request(
                request.method, target.root_url + request.url.path, headers=headers, content=await request.body()
            )
            reply = await self._http.send(sent, stream=True)
        except BaseException:
            self._done()
            raise

        async def body() -> AsyncIterator[bytes]:
            try:
                async for piece in reply.aiter_raw():
                    yield piece
            finally:
                await reply.aclose()
                self._done()

        kept = {name: value for name, value in reply.headers.items() if name.lower() not in _HOP}
        return StreamingResponse(body(), reply.status_code, kept)

    def _done(self) -> None:
        self._in_work -= 1
        self._idle_since = time.monotonic()

    async def _boot(self) -> None:
        self._began = time.time_ns()
        engine = self._make()

        def start() -> Endpoint:
            if self._lock_file is not None:
                self._locked = self._lock_file.open("a")
                fcntl.flock(self._locked, fcntl.LOCK_EX)
            endpoint = engine.start()
            engine.wait_until_ready()
            return endpoint

        self._target = await asyncio.to_thread(start)
        self._engine, self._booting = engine, None
        self._ready, self._idle_since = time.time_ns(), time.monotonic()

    async def _sleep(self) -> None:
        if self._booting is not None:
            await self._booting
        engine, self._engine, self._target = self._engine, None, None
        if engine is not None:
            await asyncio.to_thread(engine.stop)
            self.up.append((self._began, self._ready, time.time_ns()))
        if self._locked is not None:
            self._locked.close()
            self._locked = None

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            if self._engine is not None and not self._in_work and self._idle() >= self.window_s:
                await self._sleep()

    def _idle(self) -> float:
        return time.monotonic() - self._idle_since


@contextlib.contextmanager
def serving(front: ScaleToZero) -> Iterator[str]:
    """Serve on loopback in a thread; yields the URL."""
    server = uvicorn.Server(uvicorn.Config(front.app(), host="127.0.0.1", port=0, log_level="warning"))
    run: Callable[[], None] = server.run
    thread = threading.Thread(target=run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
