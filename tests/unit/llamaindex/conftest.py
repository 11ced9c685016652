"""What the LlamaIndex tests share: a model on the scripted server, and one caller for both worlds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.llms import ChatMessage

from llamaindex_llama70b import Llama70B
from tests.unit.scripted_server import KEY, ScriptedServer

USER = [ChatMessage(role="user", content="hi")]


@dataclass(frozen=True)
class Caller:
    """The same call, blocking or awaited; streams come back as lists."""

    awaits: bool

    def run(self, llm: Any, make: Callable[[], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            try:
                return await make()
            finally:
                if hasattr(llm, "aclose"):
                    await llm.aclose()

        return asyncio.run(main())

    def chat(self, llm: Any, messages: Sequence[ChatMessage] = USER, **kwargs: Any) -> Any:
        return self._whole(llm, "chat", messages, **kwargs)

    def complete(self, llm: Any, prompt: str = "hi", **kwargs: Any) -> Any:
        return self._whole(llm, "complete", prompt, **kwargs)

    def stream_chat(self, llm: Any, messages: Sequence[ChatMessage] = USER, **kwargs: Any) -> list[Any]:
        return self._list(llm, "stream_chat", messages, **kwargs)

    def stream_complete(self, llm: Any, prompt: str = "hi", **kwargs: Any) -> list[Any]:
        return self._list(llm, "stream_complete", prompt, **kwargs)

    def chat_with_tools(self, llm: Any, tools: Any, **kwargs: Any) -> Any:
        return self._whole(llm, "chat_with_tools", tools, **kwargs)

    def stream_chat_with_tools(self, llm: Any, tools: Any, **kwargs: Any) -> list[Any]:
        return self._list(llm, "stream_chat_with_tools", tools, **kwargs)

    def structured_predict(self, llm: Any, *args: Any, **kwargs: Any) -> Any:
        return self._whole(llm, "structured_predict", *args, **kwargs)

    def stream_structured_predict(self, llm: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return self._list(llm, "stream_structured_predict", *args, **kwargs)

    def predict(self, llm: Any, *args: Any, **kwargs: Any) -> Any:
        return self._whole(llm, "predict", *args, **kwargs)

    def _whole(self, llm: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if not self.awaits:
            return getattr(llm, name)(*args, **kwargs)
        return self.run(llm, lambda: getattr(llm, f"a{name}")(*args, **kwargs))

    def _list(self, llm: Any, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        if not self.awaits:
            return list(getattr(llm, name)(*args, **kwargs))

        async def collect() -> list[Any]:
            return [element async for element in await getattr(llm, f"a{name}")(*args, **kwargs)]

        result: list[Any] = self.run(llm, collect)
        return result


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Caller:
    return Caller(awaits=request.param == "async")


@pytest.fixture
def make(scripted: ScriptedServer) -> Iterator[Callable[..., Llama70B]]:
    """Make models on the scripted server; their connections are closed at the end."""
    made: list[Llama70B] = []

    def make_one(**kwargs: Any) -> Llama70B:
        made.append(Llama70B(**{"base_url": scripted.url, "api_key": KEY, "progress_bar": False} | kwargs))
        return made[-1]

    yield make_one
    for llm in made:
        llm.close()


@pytest.fixture
def llm(make: Callable[..., Llama70B]) -> Llama70B:
    return make()


@pytest.fixture
def settings(llm: Llama70B) -> Iterator[Any]:
    """Core's global settings with our model, restored afterwards."""
    names = ("_llm", "_embed_model", "_prompt_helper", "_node_parser", "_callback_manager")
    before = {name: getattr(Settings, name) for name in names}
    Settings.llm = llm
    yield Settings
    for name, value in before.items():
        setattr(Settings, name, value)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BASE_URL", "API_KEY", "MODEL", "MODAL_KEY", "MODAL_SECRET"):
        monkeypatch.delenv(f"LLAMA70B_{name}", raising=False)
