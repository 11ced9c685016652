"""Models on the real engines."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from langchain_llama70b import ChatLlama70B
from llama70b import Endpoint, Secret


@pytest.fixture(params=["local_endpoint", pytest.param("vllm_endpoint", marks=pytest.mark.full)])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """An engine, started when the first test asks for it; test_vllm_langchain.py is what always runs on vLLM."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Endpoint)
    return found


@pytest.fixture
def make(endpoint: Endpoint) -> Iterator[Callable[..., ChatLlama70B]]:
    """Make a greedy model on the engine; closed at the end."""
    made: list[ChatLlama70B] = []

    def make_one(**given: Any) -> ChatLlama70B:
        key = endpoint.api_key.get_secret_value() if isinstance(endpoint.api_key, Secret) else endpoint.api_key
        defaults = {"base_url": endpoint.base_url, "model": endpoint.model, "api_key": key}
        model = ChatLlama70B(**{**defaults, "temperature": 0, "max_tokens": 24, "timeout": 280, **given})
        made.append(model)
        return model

    yield make_one
    for model in made:
        model.close()


@pytest.fixture
def llm(make: Callable[..., ChatLlama70B]) -> ChatLlama70B:
    return make()
