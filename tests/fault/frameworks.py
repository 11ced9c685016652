"""One call through a framework, in any of four ways, told in one shape: `Seen`. The model may be anybody's."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from langchain_core import exceptions as lc
from langchain_core.load import dumpd, dumps
from langchain_core.messages import AIMessage, AIMessageChunk
from llama_index.core.llms import ChatMessage, ChatResponse

import langchain_llama70b
import llamaindex_llama70b
from langchain_llama70b import ChatLlama70B
from llama70b import Timeouts
from llama70b.errors import Llama70BError
from llamaindex_llama70b import Llama70B
from tests.fault.asking import QUICK, WAYS, wait_for
from tests.fault.faultd import Case, FaultServer, delta
from tests.fault.scenarios import Scenario, Seen

QUESTION = "Say hello"
MARKER = "marker5ecret"
KEYS = {"api_key": f"sk-{MARKER}-a", "modal_key": f"wk-{MARKER}-b", "modal_secret": f"ws-{MARKER}-c"}


def limits(**changes: float) -> Timeouts:
    return Timeouts(**{**{name: getattr(QUICK, name) for name in Timeouts.__slots__}, **changes})


class Stack:
    """One framework with one model class. Subclassed by `peers.py` for other clients."""

    name: ClassVar[str]
    framework: ClassVar[str]

    def make(self, case: Case, **options: Any) -> Any:
        """Return a model that calls the case; `limits` and what the class takes."""
        raise NotImplementedError

    def typed(self, error: BaseException, kind: str) -> bool:
        """Return whether an error is of the class there is for such a fault."""
        raise NotImplementedError

    def blocking(self, llm: Any, seen: Seen, *, stream: bool, question: str = QUESTION) -> None:
        raise NotImplementedError

    async def awaiting(self, llm: Any, seen: Seen, *, stream: bool, question: str = QUESTION) -> None:
        raise NotImplementedError

    def pieces(self, llm: Any) -> Any:
        """Return the generator of a stream, as the framework gives it out."""
        raise NotImplementedError

    async def apieces(self, llm: Any) -> Any:
        """Return the asynchronous generator of a stream."""
        raise NotImplementedError

    def dumps(self, llm: Any) -> str:
        """Return all that the framework can print or write of a model."""
        raise NotImplementedError

    def close(self, llm: Any) -> None:
        """Close what the model has open for blocking calls, if it can."""
        if hasattr(llm, "close"):
            llm.close()

    def call(self, llm: Any, way: str, *, question: str = QUESTION) -> Seen:
        """Call once; return what the caller sees, errors included."""
        seen = Seen()
        stream = way.startswith("stream")
        started = time.monotonic()
        try:
            if way.endswith("async"):
                asyncio.run(self._await_and_close(llm, seen, stream=stream, question=question))
            else:
                self.blocking(llm, seen, stream=stream, question=question)
        except Exception as error:  # noqa: BLE001 - whatever a client raises is what is looked at
            seen.error, seen.text = error, None
        finally:
            seen.seconds = time.monotonic() - started
        return seen

    async def _await_and_close(self, llm: Any, seen: Seen, *, stream: bool, question: str) -> None:
        try:
            await self.awaiting(llm, seen, stream=stream, question=question)
        finally:
            if hasattr(llm, "aclose"):
                await llm.aclose()

    def __repr__(self) -> str:
        return self.name


class LangChain(Stack):
    """`BaseChatModel`s."""

    framework = "langchain"
    family: ClassVar[dict[str, type[Exception]]] = {
        "AuthenticationError": lc.ModelAuthenticationError,
        "PermissionDenied": lc.ModelPermissionDeniedError,
        "NotFound": lc.ModelNotFoundError,
        "BadRequest": lc.ModelInvalidRequestError,
        "ContextOverflow": lc.ContextOverflowError,
        "RateLimited": lc.ModelRateLimitError,
        "RequestTimeout": lc.ModelTimeoutError,
        "StreamStalled": lc.ModelTimeoutError,
        "ConnectionFailed": lc.ModelConnectionError,
    }

    def typed(self, error: BaseException, kind: str) -> bool:
        return isinstance(error, self.family.get(kind, lc.ModelError))

    def pieces(self, llm: Any) -> Any:
        return llm.stream(QUESTION)

    async def apieces(self, llm: Any) -> Any:
        return llm.astream(QUESTION)

    def dumps(self, llm: Any) -> str:
        return f"{llm!r} {llm!s} {dumpd(llm)} {dumps(llm)} {llm.model_dump()} {llm._identifying_params}"

    def blocking(self, llm: Any, seen: Seen, *, stream: bool, question: str = QUESTION) -> None:
        if not stream:
            _see_message(seen, llm.invoke(question))
            return
        whole: AIMessageChunk | None = None
        for chunk in llm.stream(question):
            seen.pieces += chunk.text
            whole = chunk if whole is None else whole + chunk
        _see_message(seen, whole)

    async def awaiting(self, llm: Any, seen: Seen, *, stream: bool, question: str = QUESTION) -> None:
        if not stream:
            _see_message(seen, await llm.ainvoke(question))
            return
        whole: AIMessageChunk | None = None
        async for chunk in llm.astream(question):
            seen.pieces += chunk.text
            whole = chunk if whole is None else whole + chunk
        _see_message(seen, whole)


def _see_message(seen: Seen, message: AIMessage | None) -> None:
    assert message is not None, "a stream of nothing"
    seen.text = str(message.text)
    given = message.usage_metadata
    seen.usage = None if given is None else (given["input_tokens"], given["output_tokens"])
    good = [(call["name"], json.dumps(call["args"])) for call in message.tool_calls]
    bad = [(str(call["name"]), str(call["args"])) for call in message.invalid_tool_calls]
    seen.calls = (*good, *bad)


class LlamaIndex(Stack):
    """`LLM`s."""

    framework = "llamaindex"

    def pieces(self, llm: Any) -> Any:
        return llm.stream_chat([ChatMessage(role="user", content=QUESTION)])

    async def apieces(self, llm: Any) -> Any:
        return await llm.astream_chat([ChatMessage(role="user", content=QUESTION)])

    def dumps(self, llm: Any) -> str:
        return f"{llm!r} {llm!s} {llm.to_dict()} {llm.to_json()} {llm.model_dump()} {llm.metadata}"

    def blocking(self, llm: Any, seen: Seen, *, stream: bool, question: str = QUESTION) -> None:
        messages = [ChatMessage(role="user", content=question)]
        if not stream:
            self._see(llm, seen, llm.chat(messages))
            return
        last = None
        for last in llm.stream_chat(messages):
            seen.pieces += last.delta or ""
        self._see(llm, seen, last)

    async def awaiting(self, llm: Any, seen: Seen, *, stream: bool, question: str = QUESTION) -> None:
        messages = [ChatMessage(role="user", content=question)]
        if not stream:
            self._see(llm, seen, await llm.achat(messages))
            return
        last = None
        async for last in await llm.astream_chat(messages):
            seen.pieces += last.delta or ""
        self._see(llm, seen, last)

    def _see(self, llm: Any, seen: Seen, response: ChatResponse | None) -> None:
        assert response is not None, "a stream of nothing"
        seen.text = response.message.content or ""
        raw = response.raw
        usage = raw.get("usage") if isinstance(raw, dict) else getattr(raw, "usage", None)
        if usage is not None:
            told = usage if isinstance(usage, dict) else usage.model_dump()
            seen.usage = (told["prompt_tokens"], told["completion_tokens"])
        seen.calls = self.calls(llm, response)

    def calls(self, llm: Any, response: ChatResponse) -> tuple[tuple[str, str], ...]:
        """Return the tool calls as an agent gets them; broken arguments as the text the error quotes."""
        selections = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        return tuple(
            (s.tool_name, s.tool_kwargs.get("malformed_arguments") or json.dumps(s.tool_kwargs)) for s in selections
        )


class OurLangChain(LangChain):
    name = "ChatLlama70B"

    def make(self, case: Case, **options: Any) -> ChatLlama70B:
        timeout = limits(**options.pop("limits", {}))
        return ChatLlama70B(**{"base_url": case.url, **KEYS, "timeout": timeout, "progress_bar": False, **options})

    def typed(self, error: BaseException, kind: str) -> bool:
        return type(error) is getattr(langchain_llama70b, kind) and super().typed(error, kind)


class OurLlamaIndex(LlamaIndex):
    name = "Llama70B"

    def make(self, case: Case, **options: Any) -> Llama70B:
        timeout = limits(**options.pop("limits", {}))
        return Llama70B(**{"base_url": case.url, **KEYS, "timeout": timeout, "progress_bar": False, **options})

    def typed(self, error: BaseException, kind: str) -> bool:
        return type(error) is getattr(llamaindex_llama70b, kind) and isinstance(error, Llama70BError)


OURS: tuple[Stack, ...] = (OurLangChain(), OurLlamaIndex())


def counted(seen: Seen, case: Case, elsewhere: Any) -> Seen:
    """Add what arrived at the servers."""
    seen.posts, seen.generations = case.posts, case.generations
    seen.elsewhere = sum(case.key.encode() in stray for stray in elsewhere.strays)
    return seen


def note(request: pytest.FixtureRequest, stack: Stack, seen: Seen | None = None) -> None:
    """Tell the table which client a test went through, and what it saw."""
    request.node.user_properties.append(("through", stack.name))
    if seen is not None:
        request.node.user_properties.append(("seen", "answer" if seen.error is None else type(seen.error).__name__))


def ways_of(scenario: Scenario) -> list[str]:
    return [way for way in WAYS if scenario.fault_for(way) is not None]


def three_loops(stack: Stack, server: FaultServer) -> list[str]:
    """Use one model object in three event loops, one after the other; return what went wrong."""
    llm, wrong = stack.make(server.case("ok")), []

    async def once() -> None:
        seen = Seen()
        await stack.awaiting(llm, seen, stream=False)
        assert seen.text == "Hello there"

    for number in (1, 2, 3):
        try:
            asyncio.run(once())
        except Exception as error:  # noqa: BLE001 - whatever a client raises is what is looked at
            wrong.append(f"run {number}: {type(error).__name__}")
    return wrong


def leaving(stack: Stack, server: FaultServer) -> list[str]:
    """Leave a stream after its first piece by break, and by aclose; return what the server did not see in a second."""
    wrong = []
    for way in ("break", "aclose"):
        case = server.case("events", blocks=[delta("Hel"), delta("lo")], then="stall")
        llm = stack.make(case, limits={"stream_idle": 30, "first_byte": 30, "total": 30})

        def leave(llm: Any = llm) -> None:
            for _ in stack.pieces(llm):
                break

        async def aleave(llm: Any = llm) -> None:
            stream = await stack.apieces(llm)
            await anext(aiter(stream))
            await stream.aclose()
            await asyncio.sleep(1.0)  # the loop goes on, as a server's does

        leaver = threading.Thread(target=leave if way == "break" else lambda: asyncio.run(aleave()))
        leaver.start()
        try:
            wait_for(lambda: case.hangups, 5.0)  # noqa: B023 - waited for here
        except AssertionError:
            wrong.append(f"{way}: the server goes on")
        else:
            late = case.hangups[0] - case.log[0].at
            wrong += [f"{way}: seen after {late:.1f} s"] if late > 1.0 else []
        leaver.join(10)
        stack.close(llm)
    return wrong


def secrets(stack: Stack, server: FaultServer) -> list[str]:
    """Print, dump and pickle a model that has keys; return where they are found."""
    llm = stack.make(server.case("ok"))
    wrong = ["keys in repr, str or a dump"] if MARKER in stack.dumps(llm) else []
    try:
        pickled = pickle.dumps(llm)
    except Exception as error:  # noqa: BLE001 - as above
        return [*wrong, f"no pickle: {type(error).__name__}"]
    return [*wrong, "keys in the pickle"] if MARKER.encode() in pickled else wrong


OTHERS = {
    "OPENAI_API_KEY": f"sk-{MARKER}-other",
    "OPENAI_ORG_ID": f"{MARKER}-other",
    "OPENAI_PROJECT_ID": f"{MARKER}-other",
    "OPENAI_CUSTOM_HEADERS": f"X-Marker: {MARKER}-other",
}
"""Variables meant for another service, which are not to be sent to ours."""


def environment(stack: Stack, server: FaultServer) -> list[str]:
    """Call with other services' variables set; return which of them were sent. Not for threads."""
    wrong = []
    before = dict(os.environ)
    try:
        for name, value in OTHERS.items():
            os.environ.update({name: value})
            case = server.case("ok")
            llm = stack.make(case)
            seen = stack.call(llm, "chat-sync")
            stack.close(llm)
            if seen.error is not None:
                wrong.append(f"{name}: {type(seen.error).__name__}")
            wrong += [f"{name} is sent"] if "-other" in str([arrival.headers for arrival in case.log]) else []
            del os.environ[name]
    finally:
        for name in OTHERS:
            os.environ.pop(name, None)
        os.environ.update(before)
    return wrong


BEHAVIOURS: dict[str, tuple[str, Callable[[Stack, FaultServer], list[str]]]] = {
    "F55": ("asyncio.run x 3", three_loops),
    "F57": ("left early", leaving),
    "F59": ("keys in what can be printed", secrets),
    "F60": ("`OPENAI_*` variables", environment),
}
"""What is no fault of one call, by case: what it is called, and how it is looked at. An empty list is all right."""
