"""Models on the engines, greedy and short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core import Settings

from llama70b import Endpoint
from llamaindex_llama70b import Llama70B

_SETTINGS = ("_llm", "_embed_model", "_prompt_helper", "_node_parser", "_callback_manager")


@pytest.fixture
def on() -> Iterator[Callable[..., Llama70B]]:
    """Make models on an endpoint; closed at the end, and core's settings restored."""
    made: list[Llama70B] = []
    before = {name: getattr(Settings, name) for name in _SETTINGS}

    def make(endpoint: Endpoint, **options: Any) -> Llama70B:
        given = {"api_key": endpoint.api_key, "temperature": 0, "max_tokens": 24, "progress_bar": False, **options}
        made.append(Llama70B(endpoint.model, base_url=endpoint.base_url, **given))
        return made[-1]

    yield make
    for llm in made:
        llm.close()
    for name, value in before.items():
        setattr(Settings, name, value)
