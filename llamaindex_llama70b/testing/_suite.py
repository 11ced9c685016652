"""What all parts of the suites share: the model under test, the server, one caller for both worlds."""

from __future__ import annotations

import asyncio
import gc
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import ChatMemoryBuffer

from llama70b.testing import KEY, CountingServer

USER = (ChatMessage(role="user", content="hi"),)
Make = Callable[..., Any]

_SETTINGS = ("_llm", "_embed_model", "_prompt_helper", "_node_parser", "_callback_manager")


@dataclass(frozen=True)
class Caller:
    """The same call, blocking or awaited; streams come back as lists.

    Attributes:
        awaits: Use the method's async twin.
    """

    awaits: bool

    def whole(self, llm: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return what method `name`, or `a` + name, returns."""
        if not self.awaits:
            return getattr(llm, name)(*args, **kwargs)
        return run(llm, lambda: getattr(llm, f"a{name}")(*args, **kwargs))

    def elements(self, llm: Any, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Return the elements of the stream that method `name`, or `a` + name, returns."""
        if not self.awaits:
            return list(getattr(llm, name)(*args, **kwargs))

        async def collect() -> list[Any]:
            return [element async for element in await getattr(llm, f"a{name}")(*args, **kwargs)]

        result: list[Any] = run(llm, collect)
        return result

    def chat(self, llm: Any, messages: Sequence[ChatMessage] = USER, **kwargs: Any) -> Any:
        """Return the answer to a conversation."""
        return self.whole(llm, "chat", list(messages), **kwargs)

    def stream_chat(self, llm: Any, messages: Sequence[ChatMessage] = USER, **kwargs: Any) -> list[Any]:
        """Return the elements of a streamed answer."""
        return self.elements(llm, "stream_chat", list(messages), **kwargs)

    def complete(self, llm: Any, prompt: str = "hi", **kwargs: Any) -> Any:
        """Return the answer to a text."""
        return self.whole(llm, "complete", prompt, **kwargs)

    def stream_complete(self, llm: Any, prompt: str = "hi", **kwargs: Any) -> list[Any]:
        """Return the elements of a streamed answer to a text."""
        return self.elements(llm, "stream_complete", prompt, **kwargs)


def run(llm: Any, make: Callable[[], Awaitable[Any]]) -> Any:
    """Await something in an event loop of its own; the model's connections there are closed if it can do that."""

    async def main() -> Any:
        try:
            return await make()
        finally:
            if (aclose := getattr(llm, "aclose", None)) is not None:
                await aclose()

    return asyncio.run(main())


def failure(do: Callable[[], Any]) -> Exception:
    """Return what a call that must fail raises.

    Raises:
        AssertionError: It did not fail.
    """
    try:
        result = do()
    except Exception as error:  # noqa: BLE001 - the class of a third party's error is its own business
        return error
    raise AssertionError(f"no error; the result is {result!r:.500}")


def refused(do: Callable[[], Any]) -> str | None:
    """Return the text of what a call raises, None if it works."""
    try:
        do()
    except Exception as error:  # noqa: BLE001 - as above
        return str(error)
    return None


@contextmanager
def no_collection() -> Iterator[None]:
    """Switch the garbage collector's cycles off: what is closed inside was closed by somebody."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def usage_of(response: Any) -> tuple[int, int]:
    """Return (prompt, completion) tokens as `TokenCountingHandler` reads them: from `raw["usage"]`."""
    usage = dict(response.raw)["usage"]
    values = usage if isinstance(usage, dict) else usage.model_dump()
    return values["prompt_tokens"], values["completion_tokens"]


class Suite(ABC):
    """Say here how the model under test is made and what it calls things."""

    supports_images: ClassVar[bool] = False
    """The model reads pictures. Otherwise a picture must end in an error, not be dropped."""

    trimming: ClassVar[dict[str, Any]] = {}
    """Constructor arguments with which the model keeps over-long conversations inside the window by itself."""

    @abstractmethod
    def make_llm(self, base_url: str, api_key: str, **options: Any) -> LLM:
        """Return the model under test.

        Args:
            base_url: Of an OpenAI-compatible server, with `/v1`.
            api_key: What the server asks for.
            **options: `model`, `temperature`, `max_tokens`, `timeout` (seconds of a call), `max_retries`,
                `additional_kwargs`, and core's own (`system_prompt`, `callback_manager`, `pydantic_program_mode`,
                `rate_limiter`); what is not given has to be the model's default. Rename what it calls otherwise.
        """

    def environment(self, base_url: str, api_key: str) -> dict[str, str]:  # noqa: ARG002 - for overriding
        """Return environment variables that give a copy its key, where a pickle or a dict leaves it out."""
        return {}

    def constrained(self, kind: str, value: Any) -> dict[str, Any]:
        """Return call arguments that ask vLLM for guided decoding: `choice`, `regex`, `json` or `grammar`."""
        return {"extra_body": {"structured_outputs": {kind: value}}}

    def memory(self, llm: LLM) -> Any:
        """Return the conversation memory that is recommended for the model."""
        return ChatMemoryBuffer.from_defaults(llm=llm)

    def settings(self, llm: LLM) -> None:
        """Set `Settings` as recommended for the model."""
        Settings.llm = llm

    def close_llm(self, llm: LLM) -> None:
        """Close a model's connections: calls its `close` if it has one. The suite uses it no more afterwards."""
        if (close := getattr(llm, "close", None)) is not None:
            close()

    @pytest.fixture(params=["sync", "async"])
    def call(self, request: pytest.FixtureRequest) -> Caller:
        """Make every test that asks for it run twice."""
        return Caller(awaits=request.param == "async")

    @pytest.fixture(autouse=True)
    def restored_settings(self) -> Iterator[None]:
        """Restore core's global settings after every test, and begin with no prompt helper."""
        before = {name: getattr(Settings, name) for name in _SETTINGS}
        Settings._prompt_helper = None  # noqa: SLF001 - core offers no way to unset it
        yield
        for name, value in before.items():
            setattr(Settings, name, value)


class Scripted(Suite):
    """The deterministic suite's server and models."""

    @pytest.fixture
    def server(self) -> Iterator[CountingServer]:
        """A scripted server that counts Llama 3.3 tokens."""
        server = CountingServer()
        try:
            yield server
        finally:
            server.close()

    @pytest.fixture
    def make(self, server: CountingServer) -> Iterator[Make]:
        """Make models on the scripted server; closed at the end if they can be."""
        made: list[Any] = []

        def make_one(**options: Any) -> Any:
            made.append(self.make_llm(server.url, KEY, **options))
            return made[-1]

        yield make_one
        for llm in made:
            self.close_llm(llm)

    @pytest.fixture
    def llm(self, make: Make) -> Any:
        """A model with its defaults."""
        return make()
