"""Rows arrive once, whole and in order; a slow disk, a full queue, a fork or a kill loses what it must and no more."""

import json
import logging
import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llama70b import ChatRequest, Client, Message, observing, set_default_recorder
from llama70b._observe import Run, RunEnd, default_recorder
from llama70b.errors import ConfigurationError, Llama70BError
from llama70b.ledger import (
    Bill,
    Decision,
    Interval,
    Ledger,
    LedgerRecorder,
    Row,
    attributed,
    default_path,
    environment_recorder,
    ledger_path,
)
from llama70b.ledger import _schema as schema
from llama70b.ledger._schema import MIGRATIONS, VERSION
from llama70b.ledger._store import COLUMNS, Store
from llama70b.ledger._writer import Writer
from tests.unit.scripted_server import Answer, Raw, ScriptedServer

HELLO = ChatRequest((Message("user", "the secret plan"),), max_tokens=50)


def test_an_answer_is_one_row(client: Client, scripted: ScriptedServer, recorder: LedgerRecorder, path: Path) -> None:
    scripted.answer(Answer(content="Hi there", usage=(11, 7)))
    with attributed(session="s", user="ada", routing={"tier": "70b"}), observing(parent_run_id="p", tags=("t", "u")):
        answer = client.chat(HELLO)
    assert recorder.flush()
    (row,) = Ledger(path).runs()
    assert row.id == answer.request_id
    assert (row.prompt_tokens, row.completion_tokens, row.usage_source) == (11, 7, "server")
    assert (row.outcome, row.status, row.finish_reason, row.stream, row.attempts) == ("answered", 200, "stop", False, 1)
    assert (row.session, row.user, row.parent_run_id, row.tags) == ("s", "ada", "p", ("t", "u"))
    assert json.loads(row.routing or "") == {"tier": "70b"}
    assert (row.messages, row.max_tokens, row.concurrency) == (1, 50, 1)
    assert answer.timing is not None
    assert abs(row.total_ns - answer.timing.total_s * 1e9) < 50e6
    assert abs(row.started_ns + row.total_ns - time.time_ns()) < 5e9
    assert not row.cold
    assert row.prompt is None
    assert row.prompt_hash


def test_no_text_reaches_the_file(
    client: Client, scripted: ScriptedServer, recorder: LedgerRecorder, path: Path
) -> None:
    scripted.say("the secret answer")
    client.chat(HELLO)
    recorder.close()
    for file in path.parent.iterdir():
        assert b"secret" not in file.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_text_if_asked_for(path: Path, began: Callable[..., Run], ended: Callable[..., RunEnd]) -> None:
    recorder = LedgerRecorder(path, texts=True)
    recorder.started(began())
    recorder.finished(began(), ended())
    recorder.close()
    (hidden,), (shown,) = Ledger(path).runs(), Ledger(path).runs(texts=True)
    assert hidden.prompt is None
    assert json.loads(shown.prompt or "")[0]["content"] == "the secret plan"


def test_the_same_conversation_has_the_same_hash_in_one_ledger_only(
    tmp_path: Path, began: Callable[..., Run], ended: Callable[..., RunEnd]
) -> None:
    hashes = []
    for name in ("one", "two"):
        recorder = LedgerRecorder(tmp_path / name)
        for number in range(2):
            recorder.finished(began(f"r{number}"), ended())
        recorder.close()
        hashes.append([row.prompt_hash for row in Ledger(tmp_path / name).runs()])
    assert hashes[0][0] == hashes[0][1]
    assert hashes[0][0] != hashes[1][0]


def test_a_stream_left_early_counts_what_came(
    client: Client, scripted: ScriptedServer, recorder: LedgerRecorder, path: Path
) -> None:
    scripted.answer(Answer(pieces=["one ", "two ", "three "], pause_s=0.01))
    with client.stream(HELLO) as stream:
        assert next(delta.content for delta in stream if delta.content) == "one "
    recorder.flush()
    (row,) = Ledger(path).runs()
    assert (row.outcome, row.stream, row.usage_source) == ("closed", True, "estimated")
    assert row.completion_tokens == 1
    assert row.first_ns is not None
    assert row.reached


def test_a_refusal_is_a_row_without_money(
    client: Client, scripted: ScriptedServer, recorder: LedgerRecorder, path: Path
) -> None:
    scripted.answer(Raw(status=401, body=b'{"error": {"message": "no"}}'))
    with pytest.raises(Llama70BError):
        client.chat(HELLO)
    recorder.flush()
    (row,) = Ledger(path).runs()
    assert (row.outcome, row.error, row.status, row.reached) == ("failed", "AuthenticationError", 401, False)
    assert row.completion_tokens is None


def test_cost_of_a_row_when_the_price_is_known(
    recorder: LedgerRecorder, path: Path, began: Callable[..., Run], ended: Callable[..., RunEnd]
) -> None:
    recorder.finished(began(price_per_hour=3.6), ended())  # $0.001 a second, two seconds
    recorder.finished(began("r2"), ended())
    recorder.flush()
    priced, unpriced = Ledger(path).runs()
    assert (priced.price_nano_per_s, priced.cost_nano) == (1_000_000, 2_000_000)
    assert (unpriced.price_nano_per_s, unpriced.cost_nano) == (None, None)


def test_a_full_queue_drops_and_says_so(path: Path, row: Callable[..., Row], caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(path, capacity=3)
    hold, held = threading.Event(), threading.Event()

    def slow(_store: Store) -> Row:
        held.set()
        assert hold.wait(10)
        return row(0)

    writer.put(slow)
    assert held.wait(10)
    begun = time.perf_counter()
    taken = [writer.put(row(number)) for number in range(1, 8)]
    assert time.perf_counter() - begun < 1, "putting waited for the disk"
    assert taken == [True] * 3 + [False] * 4
    assert writer.dropped == 4
    hold.set()
    writer.close()
    ledger = Ledger(path)
    assert len(ledger.runs()) == 4
    assert sum(drop.count for drop in ledger.drops()) == 4
    assert "loses rows: queue full" in caplog.text


def test_a_disk_that_refuses_is_counted_and_used_again(
    path: Path, row: Callable[..., Row], caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"this is no database at all, whatever SQLite may think of it" * 20)
    writer = Writer(path)
    writer.put(row(1))
    writer.flush()
    assert writer.dropped == 1
    path.unlink()
    writer.put(row(2))
    writer.close()
    assert [found.id for found in Ledger(path).runs()] == ["run-2"]
    assert [drop.count for drop in Ledger(path).drops()] == [1]
    assert "loses rows" in caplog.text


def test_a_locked_ledger_delays_nobody(path: Path, row: Callable[..., Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_PATIENCE_S", 0.05)
    writer = Writer(path)
    writer.put(row(0))
    writer.flush()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.perf_counter()
        writer.put(row(1))
        assert time.perf_counter() - begun < 0.05
        time.sleep(0.15)
        other.execute("COMMIT")
    other.close()
    writer.close()
    assert len(Ledger(path).runs()) == 2
    assert writer.dropped == 0


_APP = """
import sys, time
from llama70b import ChatRequest, Client, Endpoint, Message
from tests.unit.scripted_server import KEY, Answer, ScriptedServer

server = ScriptedServer()
server.answer(Answer(content="a b", pieces=["a ", "b"]))
client = Client(Endpoint(server.url, api_key=KEY), progress_bar=False)
for number in range(int(sys.argv[1])):
    client.chat(ChatRequest((Message("user", "x"),)))
    print(number, flush=True)
    time.sleep(float(sys.argv[2]))
if len(sys.argv) > 3:  # end the process with a stream open
    stream = client.stream(ChatRequest((Message("user", "x"),)))
    next(iter(stream))
"""


def _app(path: Path, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _APP, *map(str, args)],
        env={**os.environ, "LLAMA70B_LEDGER": str(path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_kill_9_loses_at_most_the_run_in_flight(path: Path) -> None:
    with _app(path, 10_000, 0.02) as app:
        assert app.stdout is not None
        for line in app.stdout:
            if int(line) == 25:
                break
        app.send_signal(signal.SIGKILL)
        answered = 26 + len(app.stdout.read().split())
    rows = Ledger(path).runs()
    assert len(rows) >= answered - 1
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_everything_is_written_at_exit_an_open_stream_too(path: Path) -> None:
    app = _app(path, 30, 0, "stream")
    app.communicate(timeout=60)
    assert app.returncode == 0
    rows = Ledger(path).runs()
    assert [row.outcome for row in rows] == ["answered"] * 30 + ["abandoned"]


def test_two_processes_write_at_once_into_a_ledger_that_neither_has_made(path: Path) -> None:
    apps = [_app(path, 40, 0) for _ in range(2)]
    for app in apps:
        app.communicate(timeout=60)
    assert [app.returncode for app in apps] == [0, 0]
    assert len({row.id for row in Ledger(path).runs()}) == 80


def _child(recorder: LedgerRecorder, began: Run, ended: RunEnd) -> None:
    recorder.finished(began, ended)
    recorder.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_writes_rows_of_its_own(
    path: Path, recorder: LedgerRecorder, began: Callable[..., Run], ended: Callable[..., RunEnd]
) -> None:
    recorder.finished(began("parent-1"), ended())
    recorder.flush()
    child = multiprocessing.get_context("fork").Process(target=_child, args=(recorder, began("child"), ended()))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    recorder.finished(began("parent-2"), ended())
    recorder.flush()
    assert {row.id for row in Ledger(path).runs()} == {"parent-1", "child", "parent-2"}


def test_an_old_ledger_is_taken_along(path: Path) -> None:
    old = sqlite3.connect(path, isolation_level=None)
    for statement in MIGRATIONS[0].split(";"):
        old.execute(statement)
    old.execute("PRAGMA user_version=1")
    old.execute("INSERT INTO meta VALUES ('salt', '00ff')")
    old.execute(
        "INSERT INTO requests (id, started_ns, total_ns, endpoint, requested_model, outcome, usage_source, stream,"
        " attempts, concurrency) VALUES ('old', 1, 2, 'e', 'm', 'answered', 'server', 0, 1, 1)"
    )
    old.close()
    ledger = Ledger(path)
    assert ledger.runs()[0].id == "old"
    assert ledger.feedback("old", 1)
    assert not ledger.feedback("unknown", 1)
    assert ledger.runs()[0].feedback == 1
    assert ledger.drops() == []


def test_a_newer_ledger_is_refused(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={VERSION + 1}")
    connection.close()
    with pytest.raises(ConfigurationError, match="update llama70b"):
        Ledger(path)


def test_the_schema_has_every_column_of_a_row(path: Path) -> None:
    with Store(path) as store:
        there = {entry[1] for entry in store.connection.execute("PRAGMA table_xinfo(requests)")}
    assert set(COLUMNS) | {"ended_ns"} == there


def test_what_is_known_from_elsewhere(path: Path) -> None:
    Store(path).close()
    ledger = Ledger(path)
    given = [Interval("e", 1, 5, "modal"), Bill(0, 10, "app", "gpu", 7), Decision(3, {"tier": "8b"}, "r")]
    ledger.add(given)
    ledger.add(given[:2])  # again, as a second look at the bill would
    assert (ledger.intervals(), ledger.bills(), ledger.decisions()) == ([given[0]], [given[1]], [given[2]])


def test_old_rows_go(path: Path, row: Callable[..., Row]) -> None:
    day = 86_400 * 1_000_000_000
    writer = Writer(path)
    now = time.time_ns()
    for number, age in enumerate((40, 10, 0)):
        writer.put(row(number, started_ns=now - age * day))
    writer.close()
    assert Ledger(path).prune(30, now_ns=now) == 1
    keeping = Writer(path, keep_days=5)
    keeping.put(row(9, started_ns=now))
    keeping.close()
    assert {found.id for found in Ledger(path).runs()} == {"run-2", "run-9"}


@pytest.mark.parametrize(
    ("said", "unless_said", "expected"),
    [
        ("", False, None),
        ("", True, default_path({})),
        ("off", True, None),
        ("0", True, None),
        ("on", False, default_path({})),
        ("/some/where.db", False, Path("/some/where.db")),
    ],
)
def test_where_the_ledger_is(said: str, unless_said: bool, expected: Path | None) -> None:
    assert ledger_path({"LLAMA70B_LEDGER": said}, unless_said=unless_said) == expected


def test_the_environment_makes_one_recorder_a_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_recorder() is None
    monkeypatch.setenv("LLAMA70B_LEDGER", str(path))
    made = default_recorder()
    assert isinstance(made, LedgerRecorder)
    assert made is default_recorder() is environment_recorder()
    monkeypatch.setenv("LLAMA70B_BUDGET", "wakes_per_hour=3")
    assert default_recorder() is default_recorder() is not made
    monkeypatch.setattr("llama70b._observe._default", "not set")
    set_default_recorder(None)
    assert default_recorder() is None
    made.close()


def test_a_bad_number_of_days_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA70B_LEDGER", str(path))
    monkeypatch.setenv("LLAMA70B_LEDGER_DAYS", "soon")
    with pytest.raises(ConfigurationError, match="LLAMA70B_LEDGER_DAYS"):
        default_recorder()


def test_a_bad_price_costs_the_price_only(  # noqa: PLR0917 - fixtures
    recorder: LedgerRecorder,
    path: Path,
    began: Callable[..., Run],
    ended: Callable[..., RunEnd],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("LLAMA70B_PRICE_PER_HOUR", "cheap")
    with caplog.at_level(logging.WARNING):
        recorder.finished(began(), ended())
    recorder.flush()
    assert Ledger(path).runs()[0].price_nano_per_s is None
    assert "no cost is recorded" in caplog.text


def test_no_ledger_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no ledger at"):
        Ledger(tmp_path / "none")
    (tmp_path / "text").write_text("hello " * 100)
    with pytest.raises(ConfigurationError, match="cannot be read as a ledger"):
        Ledger(tmp_path / "text")
