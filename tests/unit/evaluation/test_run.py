"""Runs that are cut off, go on, fail, and are not mixed with others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from llama70b.errors import ConfigurationError
from llama70b.evaluation import (
    EvaluationStopped,
    Journal,
    Outcome,
    Record,
    Run,
    Settings,
    generate,
    load_records,
    load_run,
    open_run,
)
from tests.unit.scripted_server import KEY, MODEL, Answer, Raw, Request, ScriptedServer, error

Evaluate = Callable[..., dict[tuple[str, str], Record]]
ITEMS = generate(12, seed=1)


def asked(scripted: ScriptedServer) -> Counter[str]:
    """Count the questions by item."""
    texts = {item.text: item.id for item in ITEMS}
    bodies = [body["messages"][-1]["content"] for body in scripted.bodies]
    return Counter(identity for body in bodies for text, identity in texts.items() if text in body)


def test_what_is_answered_is_not_asked_again(evaluate: Evaluate, scripted: ScriptedServer) -> None:
    scripted.say("valid")
    evaluate(ITEMS, "bare", limits={"bare": 5})
    assert set(asked(scripted)) == {item.id for item in ITEMS[:5]}
    records = evaluate(ITEMS, "bare")
    assert len(records) == 12
    assert set(asked(scripted).values()) == {1}


def test_an_error_is_asked_again(evaluate: Evaluate, scripted: ScriptedServer) -> None:
    def once_broken(request: Request) -> Answer | Raw:
        first = ITEMS[3].text in request.body["messages"][-1]["content"] and asked(scripted)[ITEMS[3].id] <= 1
        return error(400, "hiccup") if first else Answer("valid")

    scripted.answer(once_broken)
    records = evaluate(ITEMS, "bare")
    assert records[ITEMS[3].id, "bare"].error
    assert "hiccup" in str(records[ITEMS[3].id, "bare"].error)
    records = evaluate(ITEMS, "bare")
    assert not any(record.error for record in records.values())
    assert asked(scripted)[ITEMS[3].id] == 2


def test_five_errors_in_a_row_stop_the_run(evaluate: Evaluate, scripted: ScriptedServer, tmp_path: Path) -> None:
    scripted.answer(error(400, "broken for good"))
    with pytest.raises(EvaluationStopped, match="broken for good") as caught:
        evaluate(ITEMS, "bare")
    assert "go on" in caught.value.hint
    assert 5 <= len(load_records(tmp_path / "run")) <= 7


def test_a_half_written_line_is_dropped_and_asked_again(
    evaluate: Evaluate, scripted: ScriptedServer, tmp_path: Path
) -> None:
    scripted.say("valid")
    evaluate(ITEMS, "bare")
    path = tmp_path / "run" / "answers.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert len(load_records(tmp_path / "run")) == 11
    assert path.read_bytes() == whole[:-40]  # looking changes nothing
    evaluate(ITEMS, "bare")
    lines = path.read_text("utf-8").splitlines()
    assert len({json.loads(line)["item"] for line in lines}) == len(lines) == 12
    assert Counter(asked(scripted).values()) == {1: 11, 2: 1}


def test_a_damaged_line_in_the_middle_is_told(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text("{}\n", "utf-8")
    with pytest.raises(ConfigurationError, match="line 1: not a record"):
        load_records(tmp_path)


def test_records_survive_the_file(tmp_path: Path) -> None:
    outcome = Outcome(
        "valid", raw="réponse\n答案", prompt_tokens=None, reading=("All a are b.",), exact=True, details={"x": 1}
    )
    answered = Record("i", "cot", "70b", outcome, None, 1.5, 2.25)
    failed = Record("j", "cot", "70b", None, "ServerError: 500", 1.0, 0.5)
    with Journal(tmp_path) as journal:
        journal.add(answered)
        journal.add(failed)
        assert journal.answered(answered.key)
        assert not journal.answered(failed.key)
    assert load_records(tmp_path) == {answered.key: answered, failed.key: failed}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"items": generate(12, seed=2)}, "the items"),
        ({"settings": Settings(max_tokens=7)}, r"max_tokens \(512 there\)"),
        ({"settings": Settings(import_="none")}, r"import \(all_terms there\)"),
        ({"models": {"70b": "another"}}, "served"),
    ],
)
def test_a_folder_holds_one_run(tmp_path: Path, change: dict[str, object], said: str) -> None:
    options: dict[str, object] = {"items": ITEMS, "settings": Settings(), "models": {"70b": MODEL}}
    open_run(tmp_path, Run(**options))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=said):
        open_run(tmp_path, Run(**(options | change)))  # type: ignore[arg-type]


def test_endpoints_prices_and_notes_may_be_added(tmp_path: Path) -> None:
    first = open_run(tmp_path, Run(ITEMS, Settings(), models={"70b": "x"}, notes=["one"]))
    second = open_run(tmp_path, Run(ITEMS, Settings(), models={"8b": "y"}, notes=["two"], prices={"8b": 1.5}))
    assert second.models == {"70b": "x", "8b": "y"}
    assert second.notes == ["one", "two"]
    assert second.started == first.started
    held = load_run(tmp_path)
    assert (held.items, held.models, held.prices) == (ITEMS, second.models, {"8b": 1.5})
    text = (tmp_path / "run.json").read_text("utf-8")
    assert "http" not in text
    assert str(tmp_path) not in text


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[]", "utf-8")
    with pytest.raises(ConfigurationError, match="holds no run"):
        open_run(tmp_path, Run(ITEMS, Settings()))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_killed_run_goes_on_where_it_stopped(scripted: ScriptedServer, tmp_path: Path) -> None:
    def slow(request: Request) -> Answer:
        time.sleep(0.15)
        return Answer("invalid")

    scripted.answer(slow)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA")}
    command = [sys.executable, "-m", "llama70b", "syllogism", "eval", str(tmp_path / "run"), "--number", "24"]
    command += ["--arm", "bare", "--endpoint", f"big={scripted.url},{MODEL}", "--concurrency", "1"]
    with subprocess.Popen(command, env=environment | {"BIG_API_KEY": KEY}, stderr=subprocess.DEVNULL) as process:
        while len(scripted.bodies) < 6:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    answered = len(load_records(tmp_path / "run"))
    assert 0 < answered < 24
    before = len(scripted.bodies)
    done = subprocess.run(
        command, env=environment | {"BIG_API_KEY": KEY}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    records = load_records(tmp_path / "run")
    assert len(records) == 24
    # What was answered before was not asked again, but for the one that was under way when the process died.
    assert len(scripted.bodies) - before == 24 - answered
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in scripted.chats)
    for name in ("report.md", "report.html", "report.json"):
        text = (tmp_path / "run" / name).read_text("utf-8")
        assert KEY not in text
        assert not re.search(rf"{re.escape(str(tmp_path))}|127\.0\.0\.1", text)
