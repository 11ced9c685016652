"""The same suites for `ChatOpenAI` with its best basic flags; collected only when named, in the peers' environment."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.unit_tests import ChatModelUnitTests

from tests.conformance.langchain.suite import OnLocalEngine, OnVLLM


class _ChatOpenAI:
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        # Usage in streams is off by default for any base_url but OpenAI's.
        return {**super().chat_model_params, "stream_usage": True}  # type: ignore[misc]


class TestChatOpenAIOnVLLM(_ChatOpenAI, OnVLLM): ...


class TestChatOpenAIOnLocalEngine(_ChatOpenAI, OnLocalEngine): ...


class TestChatOpenAIUnit(ChatModelUnitTests):
    """`serdes` compares with a snapshot of the package's own, so it is not counted."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "served", "base_url": "http://127.0.0.1:9/v1"}

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True
