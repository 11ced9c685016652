"""A recorder is told of every run exactly once as it begins and once as it ends, whichever way it ends."""

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

import pytest

from llama70b import AsyncClient, Client, Run, RunEnd, Usage, observing, set_default_recorder
from llama70b.errors import ConfigurationError, Llama70BError, RateLimited
from tests.fault.asking import HELLO, Asker, endpoint, wait_for
from tests.fault.faultd import Case, FaultServer, delta, vllm_error

MANY = [delta(f"word{n} ") for n in range(50)]


class Seen:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.ends: list[tuple[Run, RunEnd]] = []

    def started(self, run: Run) -> None:
        self.runs.append(run)

    def finished(self, run: Run, end: RunEnd) -> None:
        self.ends.append((run, end))

    @property
    def end(self) -> RunEnd:
        """The only end there is; waits a second for it."""
        wait_for(lambda: self.ends)
        assert len(self.ends) == len(self.runs) == 1
        assert self.ends[0][0] is self.runs[0]
        return self.ends[0][1]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    recorder = Seen()
    monkeypatch.setattr("llama70b._observe._default", recorder)
    return recorder


def test_an_answer(ask: Asker, faultd: FaultServer, seen: Seen) -> None:
    case = faultd.case("ok")
    outcome = ask(endpoint(case, model="a-model"))
    run, end = seen.runs[0], seen.end
    assert (run.endpoint, run.model, run.stream) == (case.url, "a-model", ask.streaming)
    assert (run.messages, run.tools, run.prompt_chars, run.max_tokens) == (1, 0, len("Say hello"), None)
    assert run.request is HELLO
    assert "Say hello" not in f"{run!r}{end!r}"
    assert run.request_id == outcome.got.request_id == case.log[0].headers["x-request-id"]
    assert (end.outcome, end.status, end.error, end.attempts) == ("answered", 200, None, 1)
    assert (end.usage, end.finish_reason, end.answer_chars) == (Usage(7, 2), "stop", len("Hello there"))
    assert end.model == "meta-llama/Llama-3.3-70B-Instruct"  # as the server calls it
    assert (end.first_token is not None) == ask.streaming
    assert end.pieces == (2 if ask.streaming else 0)
    moments = [run.started, end.sent, end.first_token or end.ended, end.ended]
    assert moments == sorted(moments)
    assert abs(end.ended_at - run.started_at - (end.ended - run.started)) < 0.1


@pytest.mark.parametrize(
    ("fault", "params", "error", "status", "attempts"),
    [
        ("fixed", {"status": 400, "body": vllm_error("no", 400)}, "BadRequest", 400, 1),
        ("fixed", {"status": 429}, "RateLimited", 429, 3),
        ("reset", {}, "ConnectionFailed", None, 3),
        ("silent", {}, "RequestTimeout", None, 1),
        ("fixed", {"body": b"<html>", "kind": "text/html"}, "ProtocolError", None, 1),
    ],
)
def test_an_error(  # noqa: PLR0917 - one table
    ask: Asker,
    faultd: FaultServer,
    seen: Seen,
    fault: str,
    params: dict[str, Any],
    error: str,
    status: int | None,
    attempts: int,
) -> None:
    outcome = ask(endpoint(faultd.case(fault, **params), first_byte=0.3, total=1))
    assert outcome.kind == error
    end = seen.end
    assert (end.outcome, end.error, end.attempts) == ("failed", error, attempts)
    assert end.status in {status, outcome.error.status if outcome.error else None}
    assert end.usage is None


def test_a_break_keeps_what_had_arrived(ask_stream: Asker, faultd: FaultServer, seen: Seen) -> None:
    ask_stream(endpoint(faultd.case("events", blocks=[delta("Hel"), delta("lo")], then="reset")))
    end = seen.end
    assert (end.outcome, end.error, end.status, end.finish_reason) == ("failed", "IncompleteStream", 200, None)
    assert (end.pieces, end.answer_chars, end.usage) == (2, 5, None)
    assert end.first_token is not None


def test_a_cold_start_is_counted(ask: Asker, faultd: FaultServer, seen: Seen) -> None:
    outcome = ask(endpoint(faultd.case("cold_server", boot=30, scale=0.01)))
    assert seen.end.cold_start_s == pytest.approx(outcome.got.timing.cold_start_s if outcome.got.timing else 0)
    assert seen.end.cold_start_s > 0.2
    assert seen.end.attempts == 2


def _fail_at(piece: object) -> None:
    raise ZeroDivisionError(piece)


LEAVINGS = ["break", "close", "error", "unread", "dropped", "never read and dropped"]


@pytest.mark.parametrize("how", LEAVINGS)
def test_a_stream_that_is_left_early(faultd: FaultServer, seen: Seen, how: str) -> None:
    case = faultd.case("events", blocks=MANY, delay=0.02)
    with Client(endpoint(case), progress_bar=False) as client:
        stream = client.stream(HELLO)
        if how == "break":
            with stream:
                for _ in stream:
                    break
        elif how == "error":
            with pytest.raises(ZeroDivisionError), stream:
                _fail_at(next(iter(stream)))
        else:
            if how in {"close", "dropped"}:
                next(iter(stream))
            if how in {"close", "unread"}:
                stream.close()
        del stream
        gc.collect()
        end = seen.end
    assert end.outcome == ("abandoned" if "dropped" in how else "closed")
    assert (end.pieces, end.status) == (0 if how in {"unread", "never read and dropped"} else 1, 200)
    wait_for(lambda: case.hangups)


@pytest.mark.parametrize("how", [*LEAVINGS, "cancel"])
async def test_a_stream_that_is_left_early_async(faultd: FaultServer, seen: Seen, how: str) -> None:
    case = faultd.case("events", blocks=MANY, delay=0.02)
    async with AsyncClient(endpoint(case), progress_bar=False) as client:

        async def leave() -> None:
            stream = await client.stream(HELLO)
            match how:
                case "break":
                    async with stream:
                        async for _ in stream:
                            break
                case "error":
                    with pytest.raises(ZeroDivisionError):
                        async with stream:
                            _fail_at(await anext(aiter(stream)))
                case "close":
                    await anext(aiter(stream))
                    await stream.aclose()
                case "unread":
                    await stream.aclose()
                case "dropped":
                    await anext(aiter(stream))
                case "cancel":
                    async with stream:
                        async for _ in stream:
                            pass

        task = asyncio.ensure_future(leave())
        if how == "cancel":
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
        gc.collect()
        await asyncio.sleep(0.1)
        end = seen.end
    assert end.outcome == ("abandoned" if "dropped" in how else "cancelled" if how == "cancel" else "closed")
    wait_for(lambda: case.hangups)


async def test_a_cancelled_chat(faultd: FaultServer, seen: Seen) -> None:
    async with AsyncClient(endpoint(faultd.case("silent")), progress_bar=False) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.chat(HELLO), 0.1)
    assert (seen.end.outcome, seen.end.error, seen.end.attempts) == ("cancelled", "CancelledError", 1)


def test_two_threads_end_one_stream(faultd: FaultServer, seen: Seen) -> None:
    with Client(endpoint(faultd.case("events", blocks=MANY, delay=0.02)), progress_bar=False) as client:
        stream = client.stream(HELLO)
        threading.Timer(0.1, stream.close).start()
        with pytest.raises(Llama70BError):
            for _ in stream:
                pass
    assert seen.end.outcome == "closed"


class Broken:
    def started(self, run: Run) -> None:
        raise RuntimeError("the disk is full")

    def finished(self, run: Run, end: RunEnd) -> None:
        raise RuntimeError("the disk is full")


def test_a_recorder_that_fails_is_logged_once_and_harms_nobody(
    ask: Asker, faultd: FaultServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("llama70b._observe._default", Broken())
    outcomes = ask.all(endpoint(faultd.case("ok")), [HELLO] * 3)
    assert [o.got.text for o in outcomes] == ["Hello there"] * 3
    said = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "Broken failed" in said[0].getMessage()
    assert "disk is full" in caplog.text


def test_a_recorder_may_refuse(ask: Asker, faultd: FaultServer, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: Run) -> None:
        raise RateLimited("the budget of today is spent")

    monkeypatch.setattr(seen, "started", refuse)
    case = faultd.case("ok")
    assert "budget" in str(ask(endpoint(case)).error)
    assert not case.log
    assert not seen.ends


def test_own_recorder_wins_and_context_is_inherited(faultd: FaultServer, seen: Seen) -> None:
    own = Seen()
    with Client(endpoint(faultd.case("ok")), progress_bar=False, recorder=own) as client:
        with observing(parent_run_id="agent-7", framework="langchain", tags=["a"]), observing(tags=["b", "a"]):
            client.chat(HELLO)
        client.chat(HELLO)
    inner, outer = (run.context for run in own.runs)
    assert (inner.parent_run_id, inner.framework, inner.tags) == ("agent-7", "langchain", ("a", "b"))
    assert (outer.parent_run_id, outer.framework, outer.tags) == (None, "", ())
    assert not seen.runs


def test_default_recorder_is_for_clients_made_before_it_too(
    faultd: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama70b._observe._default", None)  # put back what was there
    recorder = Seen()
    with Client(endpoint(faultd.case("ok")), progress_bar=False) as client:
        set_default_recorder(recorder)
        try:
            client.chat(HELLO)
        finally:
            set_default_recorder(None)
        client.chat(HELLO)
    assert len(recorder.ends) == 1


def test_fifty_at_once_each_once(ask: Asker, faultd: FaultServer, seen: Seen) -> None:
    ask.all(endpoint(faultd.case("ok")), [HELLO] * 50, together=True)
    assert Counter(run.request_id for run, _ in seen.ends) == Counter(run.request_id for run in seen.runs)
    assert len({run.request_id for run in seen.runs}) == 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_reports_its_own_runs_only(faultd: FaultServer, seen: Seen) -> None:
    case = faultd.case("events", blocks=MANY, delay=0.02)
    with Client(endpoint(case), progress_bar=False) as client:
        stream = client.stream(HELLO)
        next(iter(stream))
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            seen.ends.clear()
            seen.runs.clear()
            del stream
            gc.collect()
            second = client.stream(HELLO)
            del second
            gc.collect()
            wait_for(lambda: seen.ends)
            os.write(write, f"{len(seen.runs)} {len(seen.ends)} {seen.ends[0][1].outcome}".encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 100) == b"1 1 abandoned"
        os.close(read)
        os.close(write)
        stream.close()
    assert seen.end.outcome == "closed"


_AT_EXIT = """
import atexit, sys
from llama70b import Client, Endpoint, ChatRequest, Message
class Printer:
    def started(self, run): pass
    def finished(self, run, end): print(end.outcome, end.pieces, flush=True)
client = Client(Endpoint(sys.argv[1]), recorder=Printer(), progress_bar=False)
stream = iter(client.stream(ChatRequest(messages=(Message("user", "x"),))))
next(stream)
"""


def test_a_stream_open_at_the_end_of_the_process(faultd: FaultServer) -> None:
    case = faultd.case("events", blocks=MANY, delay=0.02)
    done = subprocess.run(
        [sys.executable, "-c", _AT_EXIT, case.url], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("abandoned 1\n", "", 0)


# -- headers of one call


def test_headers_go_with_every_exchange_of_the_call(ask: Asker, faultd: FaultServer) -> None:
    headers = {"Modal-Session-ID": "thread-1"}
    cases: list[Case] = [
        faultd.case("fixed", status=502, times=1),
        faultd.case("held", hops=2),
        faultd.case("cold_server", boot=10, scale=0.01),
    ]
    for case in cases:
        assert ask(endpoint(case), headers=headers).got.text == "Hello there"
        assert len(case.log) > 1
        assert {a.headers["modal-session-id"] for a in case.log} == {"thread-1"}
        assert ask(endpoint(case)).got.text == "Hello there"
        assert "modal-session-id" not in case.log[-1].headers


@pytest.mark.parametrize("status", [303, 307])
def test_headers_stay_at_their_origin(ask: Asker, faultd: FaultServer, elsewhere: FaultServer, status: int) -> None:
    case = faultd.case("redirect", status=status, location=f"{elsewhere.origin}/x")
    assert ask(endpoint(case), headers={"X-Tenant": "t"}).kind == "RedirectRefused"
    assert not elsewhere.strays


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer s3cret"},
        {"AUTHORIZATION": "s3cret"},
        {"Modal-Key": "s3cret"},
        {"modal-secret": "s3cret"},
        {"Cookie": "s3cret"},
        {"X-API-Key": "s3cret"},
        {"Host": "s3cret"},
        {"X-Request-Id": "s3cret"},
        {"X": "s3cret\nEvil: 1"},
        {"X": "s3cret\r"},
        {"X": "s3cret\x00é"},
        {"X:": "s3cret"},
        {"": "s3cret"},
        {"X Y": "s3cret"},
        {"X": 5},
    ],
)
def test_headers_that_may_not_be_sent(ask: Asker, faultd: FaultServer, headers: dict[str, str]) -> None:
    case = faultd.case("ok")
    outcome = ask(endpoint(case), headers=headers)
    assert isinstance(outcome.error, ConfigurationError)
    assert "s3cret" not in str(outcome.error)
    assert not case.log
