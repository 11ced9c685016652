"""Making, copying, pickling, closing; where credentials go and where they do not."""

import asyncio
import copy
import gc
import logging
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField
from pydantic import SecretStr
from syrupy.assertion import SnapshotAssertion

from langchain_llama70b import AuthenticationError, ChatLlama70B, ConfigurationError
from llama70b import Timeouts
from tests.unit.scripted_server import KEY, Answer, Raw, ScriptedServer

Make = Callable[..., ChatLlama70B]
Ask = Callable[..., Any]


def test_the_environment(monkeypatch: pytest.MonkeyPatch, scripted: ScriptedServer) -> None:
    monkeypatch.setenv("LLAMA70B_BASE_URL", scripted.url)
    monkeypatch.setenv("LLAMA70B_API_KEY", KEY)
    monkeypatch.setenv("LLAMA70B_MODEL", "served")
    with ChatLlama70B() as llm:
        assert llm.invoke("hi").content == "ok"
    assert scripted.bodies[0]["model"] == "served"


def test_the_environment_may_come_later(monkeypatch: pytest.MonkeyPatch, scripted: ScriptedServer) -> None:
    llm = ChatLlama70B()
    with pytest.raises(ConfigurationError, match="LLAMA70B_BASE_URL"):
        llm.invoke("hi")
    monkeypatch.setenv("LLAMA70B_BASE_URL", scripted.url)
    monkeypatch.setenv("LLAMA70B_API_KEY", KEY)
    assert llm.invoke("hi").content == "ok"
    llm.close()


def test_a_key_of_the_environment_stays_with_its_url(monkeypatch: pytest.MonkeyPatch, scripted: ScriptedServer) -> None:
    monkeypatch.setenv("LLAMA70B_BASE_URL", "https://elsewhere.example.com/v1")
    monkeypatch.setenv("LLAMA70B_API_KEY", "key-of-elsewhere")
    with ChatLlama70B(base_url=scripted.url, max_retries=0) as llm, pytest.raises(AuthenticationError):
        llm.invoke("hi")
    assert all("authorization" not in request.headers for request in scripted.requests)


def test_other_names(scripted: ScriptedServer) -> None:
    given: dict[str, Any] = {
        "model_name": "m",
        "max_completion_tokens": 5,
        "stop_sequences": ["X"],
        "request_timeout": 7,
        "min_tokens": 3,
    }
    llm = ChatLlama70B(base_url=scripted.url, api_key=SecretStr(KEY), **given)
    assert (llm.model, llm.max_tokens, llm.stop, llm.timeout) == ("m", 5, ["X"], 7)
    with llm:
        llm.invoke("hi")
    assert scripted.bodies[0]["min_tokens"] == 3


async def test_keys_appear_nowhere(
    ask: Ask, make: Make, scripted: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    scripted.require_key = False
    secrets = ("sk-hunter2", "wk-hunter3", "ws-hunter4")
    llm = make(api_key=secrets[0], modal_key=secrets[1], modal_secret=secrets[2])
    await ask(llm)
    headers = scripted.chats[0].headers
    assert (headers["authorization"], headers["modal-key"], headers["modal-secret"]) == (
        "Bearer sk-hunter2",
        "wk-hunter3",
        "ws-hunter4",
    )
    scripted.answer(Raw(401, {"error": "Unauthorized"}))
    with pytest.raises(AuthenticationError) as caught:
        await ask(llm)
    shown = [repr(llm), str(llm), str(dumpd(llm)), str(llm.asdict()), str(llm.model_dump()), caplog.text]
    shown += [repr(caught.value), str(caught.value.__dict__), str(pickle.dumps(llm)), str(llm._get_ls_params())]
    for text in shown:
        assert "hunter" not in text


def test_a_key_that_rotates(make: Make, scripted: ScriptedServer) -> None:
    scripted.require_key = False
    keys = iter(["one", "one", "two", "two"])
    llm = make(api_key=lambda: next(keys))
    for _ in range(3):
        llm.invoke("hi")
    assert [request.headers["authorization"] for request in scripted.chats] == [
        "Bearer one",
        "Bearer one",
        "Bearer two",
    ]


async def test_pickle_leaves_the_key_behind(
    monkeypatch: pytest.MonkeyPatch, ask: Ask, make: Make, scripted: ScriptedServer
) -> None:
    llm = make(temperature=0.5, timeout=Timeouts(total=9), extra_body={"min_p": 0.1})
    await ask(llm)
    twin = pickle.loads(pickle.dumps(llm))
    assert twin._identifying_params == llm._identifying_params
    assert twin.timeout == llm.timeout
    with pytest.raises(ConfigurationError, match="LLAMA70B_API_KEY"):
        await ask(twin)
    again = pickle.loads(pickle.dumps(twin))
    with pytest.raises(ConfigurationError, match="pickle"):
        await ask(again)
    monkeypatch.setenv("LLAMA70B_BASE_URL", scripted.url)
    monkeypatch.setenv("LLAMA70B_API_KEY", KEY)
    assert (await ask(again)).content == "ok"
    await again.aclose()
    await llm.aclose()


async def test_a_model_without_a_key_pickles_too(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    scripted.require_key = False
    twin = pickle.loads(pickle.dumps(make(api_key=None)))
    assert (await ask(twin)).content == "ok"
    await twin.aclose()


async def test_copies_work_on_their_own(ask: Ask, make: Make) -> None:
    limiter = InMemoryRateLimiter(requests_per_second=1000)
    cache = InMemoryCache()
    llm = make(rate_limiter=limiter, cache=cache, extra_body={"a": {"b": 1}}, temperature=0.5)
    await ask(llm)
    for twin in (copy.deepcopy(llm), copy.copy(llm), llm.model_copy(update={"temperature": 0.9})):
        assert (await ask(twin)).content == "ok"
        assert twin.rate_limiter is limiter
        assert twin.cache is cache
        assert twin._clients is not llm._clients
        await twin.aclose()
    deep = copy.deepcopy({"models": [llm, llm]})["models"]
    assert deep[0] is deep[1]
    assert deep[0].extra_body is not llm.extra_body
    assert deep[0].extra_body == llm.extra_body
    await llm.aclose()


def test_a_changed_field_is_heard(make: Make, scripted: ScriptedServer) -> None:
    llm = make()
    llm.invoke("hi")
    other = ScriptedServer()
    try:
        llm.base_url = other.url
        llm.api_key = KEY
        llm.invoke("hi")
        assert (len(scripted.chats), len(other.chats)) == (1, 1)
        llm.close()
    finally:
        other.close()


def test_a_key_does_not_follow_the_url(make: Make, scripted: ScriptedServer) -> None:
    other = ScriptedServer()
    try:
        llm = make()
        movable = llm.configurable_fields(base_url=ConfigurableField(id="url"))
        moved = [
            lambda: movable.with_config(configurable={"url": other.url}).invoke("hi"),
            lambda: llm.model_copy(update={"base_url": other.url}).invoke("hi"),
            lambda: copy.deepcopy(llm).model_copy(update={"base_url": other.url}).invoke("hi"),
        ]
        for call in moved:
            with pytest.raises(ConfigurationError, match="another origin"):
                call()
        assert other.requests == []
        llm.base_url = other.url
        with pytest.raises(ConfigurationError, match="another origin"):
            llm.invoke("hi")
        assert movable.with_config(configurable={"url": scripted.url}).invoke("hi").content == "ok"
    finally:
        other.close()


def test_one_model_in_many_event_loops_and_threads(make: Make, scripted: ScriptedServer) -> None:
    llm = make()

    async def twice() -> list[str]:
        answers = await asyncio.gather(llm.ainvoke("a"), llm.ainvoke("b"))
        return [str(answer.content) for answer in answers]

    for _ in range(3):
        assert asyncio.run(twice()) == ["ok", "ok"]
    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(twice()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [["ok", "ok"]] * 3
    assert len(llm.batch(["a"] * 8, {"max_concurrency": 4})) == 8


def test_a_model_dropped_without_closing_leaks_nothing(scripted: ScriptedServer) -> None:
    """ResourceWarning is an error in these tests."""
    for _ in range(3):
        ChatLlama70B(base_url=scripted.url, api_key=KEY).invoke("hi")
        asyncio.run(ChatLlama70B(base_url=scripted.url, api_key=KEY).ainvoke("hi"))
    gc.collect()


async def test_closing_is_not_the_end(ask: Ask, make: Make) -> None:
    async with make() as llm:
        await ask(llm)
        llm.close()
        await llm.aclose()
        assert (await ask(llm)).content == "ok"


def test_configurable_fields(scripted: ScriptedServer, make: Make) -> None:
    llm = make(temperature=0.1).configurable_fields(temperature=ConfigurableField(id="heat"))
    llm.invoke("hi")
    llm.with_config(configurable={"heat": 0.7}).invoke("hi")
    assert [body["temperature"] for body in scripted.bodies] == [0.1, 0.7]


def test_what_a_trace_shows(snapshot: SnapshotAssertion) -> None:
    llm = ChatLlama70B(
        base_url="https://example--llama.modal.direct",
        api_key=SecretStr("hunter2"),
        temperature=0,
        max_tokens=100,
        stop=["END"],
        seed=7,
        top_k=5,
        structured_outputs={"regex": "a+"},
        timeout=60,
        max_retries=2,
    )
    llm.metadata = None  # versions change
    assert {
        "asdict": llm.asdict(),
        "ls_params": dict(llm._get_ls_params(stop=None, model="other", temperature=0.5)),
        "lc_secrets": llm.lc_secrets,
        "serialized": dumpd(llm),
        "profile": dict(llm.profile or {}),
    } == snapshot


def test_the_profile_says_4096_and_no_native_structure() -> None:
    profile = ChatLlama70B().profile
    assert profile is not None
    assert profile["max_input_tokens"] == 4096
    assert not profile.get("structured_output")
    assert (ChatLlama70B(context_window=8192).profile or {})["max_input_tokens"] == 8192
    assert ChatLlama70B(profile={"max_input_tokens": 5}).profile == {"max_input_tokens": 5}


def test_making_one_is_quick() -> None:
    begun = time.process_time()
    for _ in range(20):
        ChatLlama70B(base_url="https://example.com/v1", api_key=SecretStr(KEY))
    assert (time.process_time() - begun) / 20 < 0.02


async def test_concurrent_calls_do_not_mix(make: Make, scripted: ScriptedServer) -> None:
    scripted.answer(lambda request: Answer("you said " + request.body["messages"][0]["content"]))
    llm = make()
    answers = await llm.abatch([f"number {n}" for n in range(32)])
    assert [answer.content for answer in answers] == [f"you said number {n}" for n in range(32)]
    await llm.aclose()
