"""Shared by the unit tests: the scripted server, fresh for every test."""

from collections.abc import Iterator

import pytest

from tests.unit.scripted_server import ScriptedServer


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    """A scripted vLLM on loopback; see its module."""
    server = ScriptedServer()
    try:
        yield server
    finally:
        server.close()
