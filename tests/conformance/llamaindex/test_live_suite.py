"""Our own class through the live suite, on vLLM and on the local engine, with the same 135M model."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from llama_index.core.llms import LLM

from llama70b import Endpoint, Secret
from llamaindex_llama70b import Llama70B, recommended_memory
from llamaindex_llama70b.testing import LLMLiveConformance


def _address(endpoint: Endpoint) -> tuple[str, str, str]:
    key = endpoint.api_key
    return endpoint.base_url, key.get_secret_value() if isinstance(key, Secret) else key or "", endpoint.model


class _Ours(LLMLiveConformance):
    greedy: ClassVar[dict[str, Any]] = {"temperature": 0, "max_tokens": 24, "timeout": 250}

    def make_llm(self, base_url: str, api_key: str, **options: Any) -> LLM:
        return Llama70B(base_url=base_url, api_key=api_key, progress_bar=False, **options)

    def memory(self, llm: LLM) -> Any:
        return recommended_memory(llm)


class TestOnVllm(_Ours):
    @pytest.fixture
    def server_address(self, vllm_endpoint: Endpoint) -> tuple[str, str, str]:
        return _address(vllm_endpoint)


@pytest.mark.full
class TestOnLocalEngine(_Ours):
    @pytest.fixture
    def server_address(self, local_endpoint: Endpoint) -> tuple[str, str, str]:
        return _address(local_endpoint)
