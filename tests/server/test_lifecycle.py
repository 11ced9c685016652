"""The supervisor over a stub engine: slow boot, crash while loading, crash while serving, SIGTERM with streams in
flight."""

import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import engine as engine_module
from server.engine import Engine
from server.errors import EngineFailed
from server.phases import BOOTING, Phase, Progress, advance
from server.status import FileStore, Record, Status, load_record, observe, save_record

MODEL = "meta-llama/Llama-3.3-70B-Instruct"
Make = Callable[..., Engine]


def stream(engine: Engine, seen: list[str], prompt: str = "Hi", tokens: int = 200) -> None:
    body = {"model": MODEL, "stream": True, "max_tokens": tokens, "messages": [{"role": "user", "content": prompt}]}
    with (
        httpx.Client(trust_env=False, timeout=30) as client,
        client.stream("POST", f"{engine.url}/v1/chat/completions", json=body, headers=engine.headers) as answer,
    ):
        seen.extend(chunk.decode() for chunk in answer.iter_bytes())


def test_slow_boot_shows_its_phases_and_is_ready_only_after_a_token(
    make_engine: Make, store: FileStore, journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Phase, int, int]] = []
    put = store.put

    def watched(key: str, value: dict[str, Any]) -> None:
        seen.append((Phase(value["phase"]), value["done"], value["total"]))
        put(key, value)

    monkeypatch.setattr(store, "put", watched)
    engine = make_engine(boot_s=1.5)
    engine.start()
    phases = list(dict.fromkeys(phase for phase, _, _ in seen))
    assert phases == [Phase.LOADING, Phase.COMPILING, Phase.WARMING, Phase.READY]
    assert (Phase.LOADING, 2, 4) in seen
    assert len(journal.entries("finished")) == 1  # the warm-up request
    record = load_record(store)
    assert record is not None
    assert len(record.boots) == 1
    assert record.boots[0] > 1.2


def test_boots_are_remembered_over_containers(make_engine: Make, store: FileStore) -> None:
    for _ in range(2):
        engine = make_engine()
        engine.start()
        assert engine.stop() in {0, -signal.SIGTERM}  # uvicorn, as in vLLM, re-raises the signal after draining
    record = load_record(store)
    assert record is not None
    assert len(record.boots) == 2
    assert observe(record, None, time.time(), 100.0).phase is Phase.COLD  # stopped means gone at once


def test_a_booting_or_draining_replica_does_not_hide_a_ready_one(store: FileStore) -> None:
    now = time.time()
    ready = Record("one", Phase.READY, now, now, now)
    save_record(store, ready)
    for phase in (Phase.LOADING, Phase.DRAINING, Phase.FAILED):
        save_record(store, Record("two", phase, now, now, now))
        assert load_record(store) == ready
    save_record(store, Record("two", Phase.READY, now, now, 0.0))  # stopped
    assert load_record(store) == ready
    gone = replace(ready, heartbeat=now - 60)
    save_record(store, gone)
    save_record(store, Record("two", Phase.LOADING, now, now, now))
    found = load_record(store)
    assert found is not None
    assert found.boot_id == "two"


def test_crash_while_loading_fails_with_the_end_of_the_log(make_engine: Make, store: FileStore) -> None:
    engine = make_engine(boot_s=0.2, crash="loading")
    with pytest.raises(EngineFailed, match="ended with status 3 while it was starting") as caught:
        engine.start()
    assert "CUDA out of memory" in str(caught.value)
    record = load_record(store)
    assert record is not None
    assert record.phase is Phase.FAILED
    assert record.error == "vLLM ended with status 3 while it was starting"


def test_boot_longer_than_its_timeout_is_killed(make_engine: Make) -> None:
    engine = make_engine(boot_s=60, timeout=1.0)
    began = time.monotonic()
    with pytest.raises(EngineFailed, match=r"not ready after 1 s \(startup timeout\)"):
        engine.start()
    assert time.monotonic() - began < 30
    assert engine.wait() == -signal.SIGKILL


def test_missing_program_is_named(make_engine: Make) -> None:
    engine = make_engine()
    engine._command = type(engine._command)(("no-such-vllm", "serve"))
    with pytest.raises(FileNotFoundError, match="no-such-vllm"):
        engine.start()


def test_crash_while_serving_is_reported(
    make_engine: Make, store: FileStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine_module, "HEARTBEAT_S", 0.1)
    died = threading.Event()
    reasons: list[str] = []
    engine = make_engine(on_death=lambda reason: (reasons.append(reason), died.set()))
    engine.start()
    with pytest.raises(httpx.RemoteProtocolError):
        stream(engine, [], "CRASH")
    assert died.wait(20)
    assert reasons[0].startswith("vLLM ended with status 7 while it was serving")
    record = load_record(store)
    assert record is not None
    assert record.phase is Phase.FAILED
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith('{"event"')]
    assert [event["event"] for event in events] == ["boot", "ready", "died"]
    assert events[1]["kv_tokens"] == 182_000


def test_sigterm_lets_streams_finish(make_engine: Make, store: FileStore, journal: Any) -> None:
    engine = make_engine(tokens=60, token_s=0.02)
    engine.start()
    seen: list[str] = []
    client = threading.Thread(target=stream, args=(engine, seen))
    client.start()
    journal.wait_for("started", 2)
    stopper = threading.Thread(target=engine.stop)
    stopper.start()
    phases = set()
    while stopper.is_alive():
        record = load_record(store)
        assert record is not None
        phases.add(record.phase)
        time.sleep(0.02)
    assert Phase.DRAINING in phases
    client.join(20)
    stopper.join(20)
    text = "".join(seen)
    assert text.endswith("data: [DONE]\n\n")
    assert text.count('"content"') == 60
    assert engine.wait() in {0, -signal.SIGTERM}


def test_key_goes_through_the_environment_only(make_engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-marker")
    engine = make_engine()
    engine.start()  # the warm-up would fail with 401 without the key
    assert "sk-marker" not in " ".join(engine._command.argv)
    assert httpx.post(f"{engine.url}/v1/chat/completions", json={}, trust_env=False).status_code == 401


NOW = 1_000_000.0


def record(phase: Phase, *, age: float = 0.0, started: float = 60.0, boots: tuple[float, ...] = ()) -> Record:
    return Record(
        "b", phase, NOW - 10, NOW - started, NOW - age, boots=boots, error="why" if phase is Phase.FAILED else ""
    )


@pytest.mark.parametrize(
    ("given_record", "wake_at", "expected", "eta"),
    [
        (None, None, Phase.COLD, 100.0),
        (None, NOW - 20, Phase.SCHEDULING, 80.0),
        (None, NOW - 1000, Phase.COLD, 100.0),
        (record(Phase.LOADING), None, Phase.LOADING, 40.0),
        (record(Phase.COMPILING, boots=(70.0, 90.0, 80.0)), NOW - 70, Phase.COMPILING, 20.0),
        (record(Phase.WARMING, started=500), None, Phase.WARMING, 5.0),
        (record(Phase.READY), NOW - 60, Phase.READY, None),
        (record(Phase.READY, age=31), None, Phase.COLD, 100.0),
        (record(Phase.READY, age=31), NOW - 5, Phase.SCHEDULING, 95.0),
        (record(Phase.DRAINING), None, Phase.DRAINING, None),
        (record(Phase.FAILED, age=50), None, Phase.FAILED, None),
        (record(Phase.FAILED, age=50), NOW - 5, Phase.SCHEDULING, 95.0),
    ],
)
def test_observed_state(given_record: Record | None, wake_at: float | None, expected: Phase, eta: float | None) -> None:
    status = observe(given_record, wake_at, NOW, 100.0)
    assert (status.phase, status.eta_s) == (expected, eta)
    shown = status.to_json()
    assert shown["phase"] == expected.value
    assert ("error" in shown) == (expected is Phase.FAILED)


def test_shards_are_shown_while_loading_only() -> None:
    loading = Status(Phase.LOADING, 1.0, 2.0, 3.0, done=11, total=30)
    assert loading.to_json()["shards"] == {"loaded": 11, "total": 30}
    assert "shards" not in Status(Phase.READY, 1.0, None, 3.0, done=30, total=30).to_json()


@given(st.lists(st.text(max_size=60), max_size=30))
def test_phases_never_go_back_whatever_is_logged(lines: list[str]) -> None:
    order = list(Phase)
    progress = Progress()
    for line in [*lines, "INFO Model loading took 1 GiB", *lines, "Capturing CUDA graphs", "Model loading took 2 GiB"]:
        after = advance(progress, line)
        assert order.index(after.phase) >= order.index(progress.phase)
        progress = after
    assert progress.phase is Phase.WARMING
    assert progress.phase in BOOTING
