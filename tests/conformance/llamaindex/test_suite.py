"""Our own class through the suite that we offer to all: every deterministic behaviour, none left out."""

from __future__ import annotations

from typing import Any, ClassVar

from llama_index.core.llms import LLM

from llamaindex_llama70b import Llama70B, recommended_memory, recommended_settings
from llamaindex_llama70b.testing import LLMConformance


class TestLlama70B(LLMConformance):
    trimming: ClassVar[dict[str, Any]] = {"context_guard": "trim"}

    def make_llm(self, base_url: str, api_key: str, **options: Any) -> LLM:
        return Llama70B(base_url=base_url, api_key=api_key or None, progress_bar=False, **options)

    def environment(self, base_url: str, api_key: str) -> dict[str, str]:
        return {"LLAMA70B_BASE_URL": base_url, "LLAMA70B_API_KEY": api_key}

    def memory(self, llm: LLM) -> Any:
        return recommended_memory(llm)

    def settings(self, llm: LLM) -> None:
        recommended_settings(llm).apply(llm)
