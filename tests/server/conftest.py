"""Shared parts: the stub engine, free ports, a store in a temporary folder."""

import contextlib
import importlib.util
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server.command import Command
from server.engine import Engine
from server.status import FileStore

STUB = Path(__file__).parent / "stub_vllm.py"
MODEL = "meta-llama/Llama-3.3-70B-Instruct"


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Journal:
    """What the stub engine saw, from its file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, event: str | None = None) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        lines = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if event in {None, line["event"]}]

    def wait_for(self, event: str, count: int = 1, seconds: float = 20.0) -> list[dict[str, Any]]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if len(found := self.entries(event)) >= count:
                return found
            time.sleep(0.02)
        pytest.fail(f"no {count} x {event} within {seconds} s: {self.entries()}")


@pytest.fixture
def free_port() -> Callable[[], int]:
    return _port


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "status")


@pytest.fixture
def make_engine(store: FileStore, journal: Journal) -> Iterator[Callable[..., Engine]]:
    """Build a supervisor over the stub; all are stopped at the end."""
    made: list[Engine] = []

    def make(*, timeout: float = 20.0, on_death: Callable[[str], None] = lambda _: None, **stub: Any) -> Engine:
        port = _port()
        argv = (
            sys.executable,
            str(STUB),
            "serve",
            "stub",
            "--port",
            str(port),
            "--served-model-name",
            MODEL,
            "llama-3.3-70b",
        )
        env = {f"STUB_{name.upper()}": str(value) for name, value in stub.items()}
        engine = Engine(
            Command(argv, {**env, "STUB_JOURNAL": str(journal.path)}),
            port=port,
            model=MODEL,
            store=store,
            startup_timeout_s=timeout,
            on_death=on_death,
        )
        made.append(engine)
        return engine

    yield make
    for engine in made:
        with contextlib.suppress(ProcessLookupError):
            engine.stop()
    assert not [t for t in threading.enumerate() if t.name == "engine-watch" and not _settles(t)]


def _settles(thread: threading.Thread) -> bool:
    thread.join(7)
    return not thread.is_alive()


def _load(name: str) -> Any:
    """A helper beside this file; tests are no package (import mode importlib)."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.get(name) or importlib.util.module_from_spec(spec)
    if name not in sys.modules:
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def load() -> Callable[[str], Any]:
    return _load


@pytest.fixture
def parts() -> Any:
    return _load("gateway_parts")


@pytest.fixture
def serve(store: FileStore, parts: Any) -> Iterator[Any]:
    """Serve a gateway on a real socket."""
    served = parts.Served(store)
    yield served
    served.stop()
