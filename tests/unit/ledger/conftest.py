"""Shared by the ledger's tests: rows, runs, and a way to read what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llama70b import Client, Endpoint
from llama70b._observe import Run as Began
from llama70b._observe import RunContext, RunEnd
from llama70b.ledger import LedgerRecorder, Row
from llama70b.types import ChatRequest, Message, Usage
from tests.unit.scripted_server import KEY, ScriptedServer


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEDGER", "LEDGER_DAYS", "LEDGER_TEXT", "BUDGET", "PROFILE", "PRICE_PER_HOUR", "WINDOW"):
        monkeypatch.delenv(f"LLAMA70B_{name}", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.sqlite3"


@pytest.fixture
def recorder(path: Path) -> Iterator[LedgerRecorder]:
    made = LedgerRecorder(path)
    yield made
    made.close()


@pytest.fixture
def client(scripted: ScriptedServer, recorder: LedgerRecorder) -> Iterator[Client]:
    with Client(Endpoint(scripted.url, api_key=KEY), recorder=recorder, progress_bar=False) as made:
        yield made


@pytest.fixture
def began() -> Callable[..., Began]:
    def make(request_id: str = "r1", **changes: Any) -> Began:
        values: dict[str, Any] = {
            "request_id": request_id,
            "endpoint": "https://host",
            "model": "meta-llama/Llama-3.3-70B-Instruct",
            "stream": False,
            "messages": 1,
            "tools": 0,
            "prompt_chars": 40,
            "max_tokens": None,
            "started": 100.0,
            "started_at": 1_800_000_000.0,
            "context": RunContext(),
            "price_per_hour": None,
            "request": ChatRequest((Message("user", "the secret plan"),)),
        }
        return Began(**values | changes)

    return make


@pytest.fixture
def ended() -> Callable[..., RunEnd]:
    def make(**changes: Any) -> RunEnd:
        values: dict[str, Any] = {
            "outcome": "answered",
            "ended": 102.0,
            "ended_at": 1_800_000_002.0,
            "model": "llama",
            "usage": Usage(10, 5),
            "finish_reason": "stop",
            "status": 200,
            "attempts": 1,
        }
        return RunEnd(**values | changes)

    return make


@pytest.fixture
def row() -> Callable[..., Row]:
    def make(number: int = 0, **changes: Any) -> Row:
        values: dict[str, Any] = {
            "id": f"run-{number}",
            "started_ns": 1_800_000_000_000_000_000 + number * 1_000_000_000,
            "total_ns": 2_000_000_000,
            "endpoint": "https://host",
            "requested_model": "meta-llama/Llama-3.3-70B-Instruct",
            "prompt_tokens": 10,
            "completion_tokens": 5,
        }
        return Row(**values | changes)

    return make
