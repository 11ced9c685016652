"""`init_chat_model` and the package's own surface."""

import importlib
import subprocess
import sys

import pytest

import langchain_llama70b
from langchain_llama70b import ChatLlama70B, register
from llama70b.errors import ConfigurationError, MissingExtra


def test_init_chat_model(monkeypatch: pytest.MonkeyPatch) -> None:
    base = importlib.import_module("langchain.chat_models.base")
    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", dict(base._BUILTIN_PROVIDERS))
    register()
    register()
    for model in (
        base.init_chat_model("llama70b:some-name", temperature=0),
        base.init_chat_model("some-name", model_provider="llama70b", temperature=0),
    ):
        assert isinstance(model, ChatLlama70B)
        assert model.model == "some-name"
        assert model.temperature == 0


def test_a_langchain_that_keeps_its_list_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    base = importlib.import_module("langchain.chat_models.base")
    monkeypatch.delattr(base, "_BUILTIN_PROVIDERS")
    with pytest.raises(ConfigurationError, match="directly"):
        register()


def test_without_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models.base", None)
    with pytest.raises(MissingExtra, match=r"llama70b\[langchain\]"):
        register()


def test_everything_exported_is_there() -> None:
    for name in langchain_llama70b.__all__:
        assert hasattr(langchain_llama70b, name)


def test_neither_the_openai_sdk_nor_langchain_itself_is_imported() -> None:
    unwanted = ("openai", "langchain", "langchain_openai", "tiktoken", "transformers", "llama_index")
    code = f"import sys, langchain_llama70b; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
