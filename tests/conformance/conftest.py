"""Real engines for the conformance suites, each started at most once a session and only when a test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from llama70b import Endpoint
from llama70b.endpoint import DEFAULT_MODEL
from tests.engines.environment import build
from tests.engines.server import MODEL_ALIAS, serve

_MINUTES = 60
LOCAL_ALIAS = "local-alias"


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark of what only `make conformance` runs."""
    config.addinivalue_line("markers", "full: a suite's run on a second engine; needs LLAMA70B_TEST_FULL=1")


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs an engine; leave out second runs unless they are asked for.

    The first test that needs vLLM builds and starts it, which no test's own time limit may count.
    """
    for item in items:
        needs = {*getattr(item, "fixturenames", ()), *_engine_parameters(item)}
        if "local_endpoint" in needs:
            item.add_marker("engine")
        if "vllm_endpoint" in needs:
            item.add_marker("vllm")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(5 * _MINUTES, func_only=True))
    if not os.environ.get("LLAMA70B_TEST_FULL"):
        second = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=second)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def _engine_parameters(item: pytest.Item) -> list[str]:
    """Return the names of engines that a test is given as parameters."""
    call = getattr(item, "callspec", None)
    return [value for value in call.params.values() if isinstance(value, str)] if call else []


@pytest.fixture(scope="session")
def vllm_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """vLLM on a CPU; `LLAMA70B_TEST_VLLM_URL`, `_KEY` and `_MODEL` name a running one instead."""
    if url := os.environ.get("LLAMA70B_TEST_VLLM_URL"):
        model = os.environ.get("LLAMA70B_TEST_VLLM_MODEL", DEFAULT_MODEL)
        yield Endpoint(url, model, os.environ.get("LLAMA70B_TEST_VLLM_KEY"))
        return
    with serve(build(), tmp_path_factory.mktemp("vllm") / "server.log") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def vllm_model_alias() -> str:
    """The second name that `vllm_endpoint` serves the model under."""
    return os.environ.get("LLAMA70B_TEST_VLLM_ALIAS", MODEL_ALIAS)


@pytest.fixture(scope="session")
def local_endpoint() -> Iterator[Endpoint]:
    """The local engine with the default model, under a second name too."""
    from llama70b.local import LocalEngine

    with LocalEngine(served_names=(LOCAL_ALIAS,), progress=False) as endpoint:
        yield endpoint
