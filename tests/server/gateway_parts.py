"""A gateway on a real socket, in front of a stub engine or of nothing; loaded by conftest as a fixture."""

import asyncio
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from server.gateway import Config, Gateway
from server.gateway_rules import digest_keys
from server.phases import Phase
from server.status import FileStore, Record, save_record

KEY = "test-key-0123456789"
OTHER = "other-key-0123456789"
NAMES = ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b")


class CountingWaker:
    """Counts instead of waking."""

    def __init__(self) -> None:
        self.wakes, self.holds = 0, []

    async def wake(self) -> None:
        self.wakes += 1

    async def hold(self, seconds: int) -> None:
        self.holds.append(seconds)


@dataclass
class Running:
    """A served gateway and what it did."""

    port: int
    store: FileStore
    waker: CountingWaker = field(default_factory=CountingWaker)
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, key: str = KEY) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=20)

    def set(self, phase: Phase, *, age: float = 0.0, started: float = 10.0, error: str = "", **more: Any) -> None:
        now = time.time()
        save_record(self.store, Record("b", phase, now - 1, now - started, now - age, error=error, **more))

    def raw(self, request: bytes, *, seconds: float = 20.0) -> bytes:
        """Send bytes as they are, return the whole answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return answer

    def wait_log(self, count: int, seconds: float = 20.0) -> list[dict[str, Any]]:
        deadline = time.monotonic() + seconds
        while len(self.log) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.log) >= count, self.log
        return self.log


class Background:
    """An ASGI application on a loopback port, in a thread."""

    def __init__(self, application: Any, *, lifespan: Any = "on") -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._server = uvicorn.Server(uvicorn.Config(application, log_level="critical", lifespan=lifespan))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    async def _run(self) -> None:
        await self._server.serve(sockets=[self._listener])
        await asyncio.sleep(0.05)  # let transports that were just closed finish, or they warn when collected

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()


class Served:
    """Starts gateways and stops them."""

    def __init__(self, store: FileStore) -> None:
        self._store, self._running = store, []

    def __call__(self, upstream: str = "http://127.0.0.1:9", **options: Any) -> Running:
        log: list[dict[str, Any]] = []
        waker = CountingWaker()
        settings: dict[str, Any] = {
            "upstream": upstream,
            "upstream_headers": {},
            "keys": digest_keys({"alice": KEY, "bob": OTHER}),
            "served_names": NAMES,
            "boot_s": 100.0,
            "log": log.append,
            "body_s": 0.5,
        }
        background = Background(Gateway(Config(**{**settings, **options}), self._store, waker))
        self._running.append(background)
        return Running(background.port, self._store, waker, log)

    def stop(self) -> None:
        for background in self._running:
            background.stop()
