"""LangChain's own unit suite."""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_llama70b import ChatLlama70B

URL = "https://example--llama.modal.direct/v1"


class TestChatLlama70BStandard(ChatModelUnitTests):
    @pytest.fixture(autouse=True)
    def _no_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is configured: constructing must work all the same."""
        for name in ("BASE_URL", "API_KEY", "MODAL_KEY", "MODAL_SECRET", "MODEL"):
            monkeypatch.delenv(f"LLAMA70B_{name}", raising=False)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLlama70B

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {
            "LLAMA70B_BASE_URL": URL,
            "LLAMA70B_API_KEY": "the-key",
            "LLAMA70B_MODAL_KEY": "wk-1",
            "LLAMA70B_MODAL_SECRET": "ws-1",
            "LLAMA70B_MODEL": "served-name",
        }
        expected = {
            "base_url": URL,
            "api_key": "the-key",
            "modal_key": "wk-1",
            "modal_secret": "ws-1",
            "model": "served-name",
        }
        return environment, {}, expected

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True
