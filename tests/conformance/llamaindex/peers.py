"""The two other ways to a vLLM, through the same suites on the same servers; run by `tests.conformance.table` only.

Both are given their best basic flags, and no more than a reader of their documentation would give.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.llms import LLM
from llama_index.llms.openai_like import OpenAILike
from llama_index.llms.vllm import VllmServer

from llama70b.testing import MODEL
from llamaindex_llama70b.testing import LLMConformance, LLMLiveConformance
from llamaindex_llama70b.testing._suite import Suite


class _OpenAILike(Suite):
    def make_llm(self, base_url: str, api_key: str, **options: Any) -> LLM:
        given = {"model": MODEL, "context_window": 4096, **options}
        if api_key:
            given["api_key"] = api_key
        return OpenAILike(api_base=base_url, is_chat_model=True, is_function_calling_model=True, **given)


class _VllmServer(Suite):
    def make_llm(self, base_url: str, api_key: str, **options: Any) -> LLM:
        given = {"model": MODEL, **options}
        if "max_tokens" in given:
            given["max_new_tokens"] = given.pop("max_tokens")
        return VllmServer(
            api_url=f"{base_url}/chat/completions",
            openai_like=True,
            api_headers={"Authorization": f"Bearer {api_key}"},
            **given,
        )

    def close_llm(self, llm: LLM) -> None:
        """Its `close` imports torch, which its remote form does not install; it holds no connection."""


class TestOpenAILike(_OpenAILike, LLMConformance):
    pass


class TestVllmServer(_VllmServer, LLMConformance):
    pass


class TestOpenAILikeLive(_OpenAILike, LLMLiveConformance):
    pass


class TestVllmServerLive(_VllmServer, LLMLiveConformance):
    pass
