"""The gateway's behaviour on real sockets: states, waking, streaming, disconnects, the request log."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from server.engine import Engine
from server.phases import Phase

MODEL = "meta-llama/Llama-3.3-70B-Instruct"


def chat(prompt: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **more}


@pytest.fixture
def live(serve: Any, make_engine: Callable[..., Engine]) -> Callable[..., Any]:
    """A gateway in front of a started stub engine."""

    def make(*, gateway: dict[str, Any] | None = None, **stub: Any) -> Any:
        engine = make_engine(**stub)
        engine.start()
        running = serve(engine.url, **(gateway or {}))
        running.engine = engine
        return running

    return make


# State and waking


def test_status_shows_every_state_and_wakes_nobody(serve: Any) -> None:
    running = serve()
    with running.client() as client:
        assert client.get("/status").json() == {"phase": "cold", "since_s": 0.0, "eta_s": 100.0, "boot_s": 100.0}
        running.set(Phase.LOADING, done=11, total=30)
        loading = client.get("/status").json()
        assert loading["phase"] == "loading"
        assert loading["shards"] == {"loaded": 11, "total": 30}
        assert loading["eta_s"] == pytest.approx(90, abs=10)
        for phase in (Phase.COMPILING, Phase.WARMING, Phase.READY, Phase.DRAINING):
            running.set(phase)
            assert client.get("/status").json()["phase"] == phase.value
        running.set(Phase.FAILED, error="vLLM ended with status 3")
        assert client.get("/status").json()["error"] == "vLLM ended with status 3"
        running.set(Phase.READY, age=31)  # a preempted container leaves "ready" behind
        assert client.get("/status").json()["phase"] == "cold"
    assert running.waker.wakes == 0


def test_wake_is_idempotent_also_when_many_ask_at_once(serve: Any) -> None:
    running = serve()

    async def ask() -> list[httpx.Response]:
        headers = {"Authorization": "Bearer test-key-0123456789"}
        async with httpx.AsyncClient(base_url=running.url, headers=headers, trust_env=False) as client:
            return await asyncio.gather(*(client.post("/wake") for _ in range(20)))

    answers = asyncio.run(ask())
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json()["phase"] for answer in answers} == {"scheduling"}
    assert running.waker.wakes == 1
    with running.client() as client:
        running.set(Phase.LOADING)
        assert client.post("/wake").status_code == 202
        running.set(Phase.READY)
        assert client.post("/wake").status_code == 200
    assert running.waker.wakes == 1


def test_lease_is_bounded_and_written_down(serve: Any) -> None:
    running = serve()
    with running.client() as client:
        assert client.post("/wake", json={"hold_s": 600}).status_code == 202
        for bad in ({"hold_s": 3601}, {"hold_s": -1}, {"hold_s": "600"}, {"other": 1}, [1]):
            assert client.post("/wake", json=bad).status_code == 400, bad
    assert running.waker.holds == [600]
    assert running.store.get("lease")["until"] == pytest.approx(time.time() + 600, abs=5)


def test_unreachable_engine_at_waking_is_said(serve: Any) -> None:
    running = serve()

    async def wake() -> None:
        raise httpx.ConnectError("no route")

    running.waker.wake = wake
    with running.client() as client:
        answer = client.post("/wake")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "wake_failed"


@pytest.mark.parametrize("path", ["/v1/models", "/health"])
def test_cold_get_wakes_and_says_when_to_come_back(serve: Any, path: str) -> None:
    running = serve()
    with running.client() as client:
        answer = client.get(path)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"  # 100 s are left; stock clients give up above a minute or two
    assert running.waker.wakes == 1


def test_cold_chat_is_openai_shaped_and_wakes_once(serve: Any) -> None:
    running = serve()
    with running.client() as client:
        answers = [client.post("/v1/chat/completions", json=chat(stream=stream)) for stream in (True, False)]
        running.set(Phase.LOADING, started=80, done=3, total=15)
        loading = client.post("/v1/chat/completions", json=chat())
        running.set(Phase.DRAINING)
        draining = client.post("/v1/chat/completions", json=chat())
    for answer in answers:
        assert answer.status_code == 503
        error = answer.json()["error"]
        assert error["type"] == "server_warming"
        assert error["code"] == "model_warming"
        assert "scheduling" in error["message"]
    assert 10 <= int(loading.headers["retry-after"]) <= 20
    assert "loading, 3/15 shards, about" in loading.json()["error"]["message"]
    assert draining.json()["error"]["code"] == "model_draining"
    assert running.waker.wakes == 1


# Requests


def test_answer_is_passed_through_and_logged_without_text(live: Callable[..., Any], journal: Any) -> None:
    running = live()
    with running.client() as client:
        answer = client.post("/v1/chat/completions", json=chat("secret prompt"), headers={"X-Request-Id": "abc-1"})
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [MODEL, "llama-3.3-70b"]
        assert client.get("/health").status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "Hello!"
    assert answer.headers["x-request-id"] == "abc-1"
    sent = journal.wait_for("started", 2)[-1]
    assert sent["request_id"] == "abc-1"
    assert sent["body"]["max_tokens"] == 4096  # set when the caller set none
    assert len(sent["body"]["cache_salt"]) == 32
    entry = running.wait_log(1)[0]
    assert entry.pop("t") > 0
    assert entry.pop("ttft_s") <= entry.pop("total_s")
    assert entry == {
        "event": "request",
        "request_id": "abc-1",
        "key": "alice",
        "model": MODEL,
        "stream": False,
        "status": 200,
        "outcome": "finished",
        "finish_reason": "stop",
        "prompt_tokens": 11,
        "completion_tokens": 8,
        "cached_tokens": 4,
        "estimated": False,
    }


def test_keys_have_prefix_caches_of_their_own(live: Callable[..., Any], parts: Any, journal: Any) -> None:
    running = live()
    for key in (parts.KEY, parts.OTHER, parts.KEY):
        with running.client(key) as client:
            client.post("/v1/chat/completions", json=chat())
    salts = [entry["body"]["cache_salt"] for entry in journal.wait_for("started", 4)[1:]]
    assert salts[0] == salts[2] != salts[1]


def test_stream_is_not_buffered(live: Callable[..., Any]) -> None:
    running = live(tokens=6, token_s=0.15)
    times = []
    with (
        running.client() as client,
        client.stream("POST", "/v1/chat/completions", json=chat(stream=True, max_tokens=6)) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = ""
        for chunk in answer.iter_text():
            times.append(time.monotonic())
            text += chunk
    assert text.endswith("data: [DONE]\n\n")
    assert text.count('"content"') == 6
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert sum(gap > 0.08 for gap in gaps) >= 3, gaps
    entry = running.wait_log(1)[0]
    assert entry["completion_tokens"] == 6
    assert entry["ttft_s"] < entry["total_s"] - 0.5


@pytest.mark.parametrize("stream", [True, False])
def test_disconnect_stops_the_generation(live: Callable[..., Any], journal: Any, stream: bool) -> None:
    running = live(tokens=500, token_s=0.02)
    began = time.monotonic()
    with running.client() as client:
        if stream:
            with client.stream("POST", "/v1/chat/completions", json=chat(stream=True, max_tokens=500)) as answer:
                next(answer.iter_bytes())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/chat/completions", json=chat(max_tokens=500), timeout=2.0)
    entry = running.wait_log(1)[0]
    assert time.monotonic() - began < 9  # ten seconds of tokens were left
    assert entry["outcome"] == "aborted"
    # The stub notices as vLLM does: its connection closed.
    journal.wait_for("aborted")
    if stream:
        assert entry["estimated"] is True
        assert 0 < entry["completion_tokens"] < 450


def test_g8_engine_dies_mid_stream_and_before(live: Callable[..., Any]) -> None:
    running = live(token_s=0.01)
    with running.client() as client:
        broken = client.post("/v1/chat/completions", json=chat("CRASH", stream=True))
        after = client.post("/v1/chat/completions", json=chat())
    assert broken.status_code == 200
    last = broken.text.strip().splitlines()[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_gone"
    assert "[DONE]" not in broken.text
    assert after.status_code == 503
    assert after.json()["error"]["code"] == "engine_gone"
    assert after.headers["retry-after"] == "2"
    assert [entry["outcome"] for entry in running.wait_log(2)] == ["failed", "failed"]


def test_proxy_page_in_place_of_the_engine_is_a_cold_answer(serve: Any, parts: Any) -> None:
    """Modal's proxy answers 503 without JSON when the container is gone."""

    def gone(_: httpx.Request) -> httpx.Response:
        return httpx.Response(503, text="upstream unavailable")

    running = serve()
    running.set(Phase.READY)

    async def ask() -> httpx.Response:
        from server.gateway import Config, Gateway
        from server.gateway_rules import digest_keys

        config = Config("http://engine", {}, digest_keys({"a": parts.KEY}), (MODEL,), 10.0, running.log.append)
        gateway = Gateway(config, running.store, running.waker, httpx.MockTransport(gone))
        transport = httpx.ASGITransport(gateway)
        headers = {"Authorization": f"Bearer {parts.KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://gw", headers=headers) as client:
            return await client.post("/v1/chat/completions", json=chat())

    answer = asyncio.run(ask())
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "engine_gone"


def test_unknown_model_names_those_served(live: Callable[..., Any]) -> None:
    running = live()
    with running.client() as client:
        answer = client.post("/v1/chat/completions", json={**chat(), "model": "gpt-5"})
    assert answer.status_code == 404
    assert "llama-3.3-70b" in answer.json()["error"]["message"]


def test_concurrency_of_a_key(live: Callable[..., Any], parts: Any, journal: Any) -> None:
    running = live(gateway={"concurrent": 1}, tokens=200, token_s=0.02)

    def hold() -> None:
        with running.client() as client:
            client.post("/v1/chat/completions", json=chat(stream=True))

    thread = threading.Thread(target=hold)
    thread.start()
    journal.wait_for("started", 2)  # the warm-up was the first
    with running.client() as client, running.client(parts.OTHER) as other:
        refused = client.post("/v1/chat/completions", json=chat())
        fine = other.post("/v1/chat/completions", json=chat(max_tokens=1))
    thread.join()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert fine.status_code == 200
    with running.client() as client:
        assert client.post("/v1/chat/completions", json=chat(max_tokens=1)).status_code == 200


def test_tokens_per_minute_of_a_key(live: Callable[..., Any]) -> None:
    running = live(gateway={"tokens_per_minute": 30})  # an answer of the stub costs 19
    with running.client() as client:
        codes = [client.post("/v1/chat/completions", json=chat()).status_code for _ in range(3)]
        refused = client.post("/v1/chat/completions", json=chat())
    assert codes[:2] == [200, 200]
    assert codes[2] == refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 20


def test_gateway_without_keys_does_not_start(serve: Any) -> None:
    with pytest.raises(ValueError, match="needs at least one key"):
        serve(keys={})


def test_secrets_are_in_no_repr(serve: Any, parts: Any) -> None:
    from server.gateway import Config

    config = Config("http://x", {"Modal-Secret": "ws-marker"}, {"a": b"digest"}, (MODEL,), 1.0, print)
    assert "marker" not in repr(config)
    assert "digest" not in repr(config)
