"""LangChain's own integration suite for `ChatLlama70B`, on vLLM (CPU) and on the local engine."""

from __future__ import annotations

import pytest
from langchain_core.language_models import BaseChatModel

from langchain_llama70b import ChatLlama70B
from tests.conformance.langchain.suite import OnLocalEngine, OnVLLM


class TestOnVLLM(OnVLLM):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLlama70B


@pytest.mark.full
class TestOnLocalEngine(OnLocalEngine):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLlama70B
