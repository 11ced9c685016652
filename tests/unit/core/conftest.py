"""Shared by the core's unit tests: the recorded answers, and a world without sockets and without time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.core.world import World

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def recorded_body() -> Callable[[str], Any]:
    """`recorded_body("chat")`: a JSON body as vLLM sent it."""
    return lambda name: json.loads((DATA / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def recorded_stream() -> Callable[[str], bytes]:
    """`recorded_stream("stream")`: the bytes of a stream as vLLM sent them."""
    return lambda name: (DATA / f"{name}.sse").read_bytes()


@pytest.fixture
def world() -> World:
    """Clock at 1000 s, retry budget full, an endpoint at https://llm.example/v1."""
    return World()
