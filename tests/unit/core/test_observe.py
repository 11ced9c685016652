"""What a recorder is told, without sockets; how runs end over them is in tests/fault/test_recorder.py."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import logging
import threading
import time
from typing import Any

import pytest

from llama70b import Run, RunContext, RunEnd, observing, set_default_recorder
from llama70b._assemble import Assembler
from llama70b._call import Call
from llama70b._observe import default_recorder, run_context
from llama70b._recording import Recording, _reporter
from llama70b._wire import completion
from llama70b.errors import ConfigurationError, IncompleteStream, Llama70BError, RateLimited
from llama70b.types import ChatRequest, Message, Usage
from tests.unit.core.world import CHAT, World, reply

REQUEST = ChatRequest(messages=(Message("system", "Be terse."), Message("user", "hi")))
ANSWER = completion(
    {
        "model": "served",
        "choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }
)


class Seen:
    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.ends: list[RunEnd] = []

    def started(self, run: Run) -> None:
        self.runs.append(run)

    def finished(self, run: Run, end: RunEnd) -> None:
        self.ends.append(end)


class Owner:
    """Something whose end is the end of a stream."""


@pytest.fixture
def seen() -> Seen:
    return Seen()


def begin(world: World, recorder: Any, *, stream: bool = False) -> Recording:
    flow = world.call_flow(stream=stream)
    body = {**CHAT, "stream": stream}
    recording = Recording.begin(recorder, REQUEST, body, flow, world.context)
    world.play((reply(200, b"{}"), 2.0))
    world.run(flow.run())
    return recording


def chunk(**choice: Any) -> str:
    return json.dumps({"model": "served", "choices": [{"index": 0, "delta": {}, **choice}]})


def test_the_beginning(world: World, seen: Seen) -> None:
    begin(world, seen)
    (run,) = seen.runs
    assert (run.request_id, run.endpoint, run.model, run.stream) == ("req-1", "https://llm.example", "m", False)
    assert (run.messages, run.tools, run.prompt_chars, run.max_tokens) == (2, 0, 11, 7)
    assert (run.started, run.started_at) == (1000.0, 1_800_001_000.0)
    assert run.context == RunContext()
    assert "terse" not in repr(run)


def test_an_answer(world: World, seen: Seen) -> None:
    Call(world.context, world.call_flow(), 0.0, begin(world, seen), "raise").answered(ANSWER)
    assert seen.ends == [
        RunEnd(
            "answered",
            ended=1002.0,
            ended_at=1_800_001_002.0,
            sent=1000.0,
            model="served",
            usage=Usage(7, 2),
            finish_reason="stop",
            answer_chars=5,
            status=200,
            attempts=1,
        )
    ]


@pytest.mark.parametrize(
    ("error", "outcome", "name", "status"),
    [
        (RateLimited("no", status=429), "failed", "RateLimited", 429),
        (ValueError("ours"), "failed", "ValueError", None),
        (GeneratorExit(), "closed", None, None),
        (asyncio.CancelledError(), "cancelled", "CancelledError", None),
        (KeyboardInterrupt(), "cancelled", "KeyboardInterrupt", None),
    ],
)
def test_an_error(  # noqa: PLR0917 - one table
    world: World, seen: Seen, error: BaseException, outcome: str, name: str | None, status: int | None
) -> None:
    Call(world.context, world.call_flow(), 0.0, begin(world, seen), "raise").failed(error)
    assert [(end.outcome, end.error, end.status) for end in seen.ends] == [(outcome, name, status)]


def test_with_no_recorder_nothing_happens(world: World) -> None:
    call = Call(world.context, world.call_flow(), 0.0, None, "raise")
    call.answered(ANSWER)
    call.failed(ValueError())


def test_only_the_first_end_counts(world: World, seen: Seen) -> None:
    recording = begin(world, seen)
    threads = [threading.Thread(target=recording.stopped, args=("closed",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recording.answered(ANSWER)
    assert [end.outcome for end in seen.ends] == ["closed"]


def test_what_had_arrived_of_a_stream(world: World, seen: Seen) -> None:
    recording, owner, assembler = begin(world, seen, stream=True), Owner(), Assembler()
    recording.watch(owner, assembler)
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    for event in (chunk(delta={"content": "Hel"}), chunk(delta={"content": "lo", "tool_calls": [call]})):
        assembler.push("", event)
    recording.failed(IncompleteStream("cut"))
    (end,) = seen.ends
    assert (end.outcome, end.error, end.status, end.model) == ("failed", "IncompleteStream", 200, "served")
    assert (end.pieces, end.answer_chars, end.finish_reason, end.usage) == (3, 7, None, None)


def test_an_interrupted_answer(world: World, seen: Seen) -> None:
    recording, owner, assembler = begin(world, seen, stream=True), Owner(), Assembler()
    recording.watch(owner, assembler)
    assembler.push("", chunk(delta={"content": "Hel"}))
    assert assembler.begun
    error = IncompleteStream("cut")
    delta = assembler.cut_by(error)
    assert (delta.finish_reason, delta.raw["error"]) == ("interrupted", {"type": "IncompleteStream", "message": "cut"})
    recording.answered(assembler.completion(), interrupted_by=error)
    (end,) = seen.ends
    assert (end.outcome, end.error, end.finish_reason, end.pieces) == (
        "interrupted",
        "IncompleteStream",
        "interrupted",
        1,
    )


def test_one_that_is_dropped_is_reported_from_another_thread(world: World) -> None:
    told: list[tuple[str, str]] = []

    class Where(Seen):
        def finished(self, run: Run, end: RunEnd) -> None:
            told.append((end.outcome, threading.current_thread().name))

    owner = Owner()
    begin(world, Where(), stream=True).watch(owner, Assembler())
    del owner
    gc.collect()
    waited = time.monotonic()
    while not told and time.monotonic() - waited < 2:
        time.sleep(0.005)
    assert told == [("abandoned", "llama70b-recorder")]


def test_what_is_open_at_the_end_of_the_process(world: World, seen: Seen) -> None:
    recording, owner = begin(world, seen, stream=True), Owner()
    recording.watch(owner, Assembler())
    _reporter._finish()
    assert [end.outcome for end in seen.ends] == ["abandoned"]
    del owner
    gc.collect()
    assert len(seen.ends) == 1


def test_a_run_of_the_parent_is_not_reported_by_its_child(
    world: World, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = begin(world, seen)
    monkeypatch.setattr("llama70b._recording.os.getpid", lambda: -1)
    recording.answered(ANSWER)
    assert not seen.ends


def test_a_failing_recorder_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def started(self, run: Run) -> None:
            raise OSError("disk full")

        def finished(self, run: Run, end: RunEnd) -> None:
            raise OSError("disk full")

    broken = Broken()
    with caplog.at_level(logging.WARNING):
        begin(world, broken).answered(ANSWER)
        begin(world, broken).answered(ANSWER)
    assert len(caplog.records) == 1
    assert "OSError: disk full" in caplog.text


def test_a_refusal_is_raised(world: World) -> None:
    class Budget(Seen):
        def started(self, run: Run) -> None:
            raise ConfigurationError("spent")

    with pytest.raises(Llama70BError, match="spent"):
        begin(world, Budget())
    assert not world.sends


def test_the_default_of_the_process(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llama70b._observe._default", None)  # put back what was there
    monkeypatch.delenv("LLAMA70B_LEDGER", raising=False)
    monkeypatch.delenv("LLAMA70B_BUDGET", raising=False)
    set_default_recorder(None)
    assert default_recorder() is None
    set_default_recorder(seen)
    assert default_recorder() is seen


def test_context_is_inherited_and_goes_with_the_task() -> None:
    with observing(parent_run_id="a", tags=["x"]) as outer:
        with observing(framework="langchain", tags=["y", "x"]):
            assert run_context() == RunContext("a", "langchain", ("x", "y"))
            inside = contextvars.copy_context()
        assert run_context() is outer
    assert run_context() == RunContext()
    assert inside.run(run_context).framework == "langchain"
