"""LangChain's own integration suite with the widest flags that are true of a text model behind vLLM.

The model behind the engines is one of 135 million parameters. What it gets wrong is xfail; `test_proofs.py` sends the
same requests without this package and gets the same.
"""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests

from llama70b import Endpoint, Secret

NO_LOOPS = {"presence_penalty": 1.5, "frequency_penalty": 0.5}
"""Without, the small model repeats itself inside a JSON string until it is cut off."""


def guilty(what: str, proof: str) -> pytest.MarkDecorator:
    reason = f"the 135M model {what}: test_proofs.py::{proof} sends the same request raw and gets the same"
    return pytest.mark.xfail(reason=reason, strict=False)


class Suite(ChatModelIntegrationTests):
    connection: dict[str, Any]
    override: str
    sampling: dict[str, Any]

    def connect(self, endpoint: Endpoint, model: str, override: str, test: str) -> None:
        """Say what the suite's `model` fixture makes."""
        key = endpoint.api_key
        self.connection = {
            "base_url": endpoint.base_url,
            "model": model,
            "api_key": key.get_secret_value() if isinstance(key, Secret) else key,
            "max_retries": 0,
            "timeout": 280,
        }
        self.override = override
        self.sampling = NO_LOOPS if test.startswith("test_structured_output") else {}

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**self.connection, **self.sampling}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"temperature": 0, "max_tokens": 128, "stop": []}

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return self.override

    @guilty("answers in words instead of calling the tool", "test_it_does_not_call_a_tool_unless_forced")
    def test_agent_loop(self, model: BaseChatModel) -> None:
        super().test_agent_loop(model)

    @guilty("does not use the keys it is told", "test_it_does_not_use_the_keys_it_is_told")
    def test_json_mode(self, model: BaseChatModel) -> None:
        super().test_json_mode(model)


class OnVLLM(Suite):
    """On vLLM; the class under test says who the model is."""

    @pytest.fixture(autouse=True)
    def _engine(self, request: pytest.FixtureRequest, vllm_endpoint: Endpoint, vllm_model_alias: str) -> None:
        # vLLM reports its first name whatever name was asked for, so that one is the override.
        self.connect(vllm_endpoint, vllm_model_alias, vllm_endpoint.model, request.node.name)

    @guilty("does not close the empty arguments", "test_it_does_not_call_a_tool_without_arguments")
    def test_tool_calling_with_no_arguments(self, model: BaseChatModel) -> None:
        super().test_tool_calling_with_no_arguments(model)

    @property
    def supported_usage_metadata_details(self) -> Any:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> Any:
        """Ask twice with one long prompt: vLLM caches whole blocks of it."""
        llm = self.chat_model_class(**{**self.standard_chat_model_params, **self.chat_model_params, "max_tokens": 4})
        prompt = "Count: " + " ".join(str(number) for number in range(120))
        llm.invoke(prompt)
        if not stream:
            return llm.invoke(prompt)
        chunks = list(llm.stream(prompt))
        return chunks[0].__add__(chunks[1:])


class OnLocalEngine(Suite):
    """On the local engine."""

    @pytest.fixture(autouse=True)
    def _engine(self, request: pytest.FixtureRequest, local_endpoint: Endpoint) -> None:
        self.connect(local_endpoint, local_endpoint.model, "local-alias", request.node.name)

    @guilty("does not end a Japanese name", "test_it_does_not_end_a_japanese_name")
    def test_unicode_tool_call_integration(self, model: BaseChatModel) -> None:
        super().test_unicode_tool_call_integration(model)
