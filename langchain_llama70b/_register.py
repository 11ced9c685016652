"""`init_chat_model("llama70b:...")`, which LangChain keeps a closed list for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from langchain_llama70b._names import PROVIDER
from llama70b.errors import ConfigurationError, MissingExtra


def _create(cls: Callable[..., Any], **kwargs: Any) -> Any:
    return cls(**kwargs)


def register() -> None:
    """Make `langchain.chat_models.init_chat_model("llama70b:<served name>")` work in this process.

    LangChain's list of providers is private and closed to outside packages (langchain-ai/langchain#34287), so this
    adds to it. What needs no such step: give `create_agent` and everything else the model itself.

    Raises:
        MissingExtra: `langchain` is not installed (`langchain-core` alone has no `init_chat_model`).
        ConfigurationError: This version of `langchain` keeps its list elsewhere.
    """
    try:
        module = importlib.import_module("langchain.chat_models.base")
    except ImportError:
        raise MissingExtra("init_chat_model", "langchain") from None
    providers = getattr(module, "_BUILTIN_PROVIDERS", None)
    if not isinstance(providers, dict):
        raise ConfigurationError(
            "this version of langchain has no list of providers to add to", hint="use ChatLlama70B(...) directly"
        )
    providers.setdefault(PROVIDER, ("langchain_llama70b", "ChatLlama70B", _create))
