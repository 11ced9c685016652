"""`llama70b syllogism eval` in this process; a killed run is in test_run.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from llama70b.cli import app
from llama70b.evaluation import load_records, load_run
from tests.unit.scripted_server import KEY, ScriptedServer

Eval = Callable[..., Result]


@pytest.fixture
def evaluate(scripted: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Eval:
    for name in ("LLAMA70B_BASE_URL", "LLAMA70B_MODEL", "LLAMA8B_BASE_URL", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLAMA70B_API_KEY", KEY)
    monkeypatch.setenv("NO_COLOR", "1")
    scripted.say("valid")

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(app, ["syllogism", "eval", str(tmp_path / "run"), *args], prog_name="llama70b")

    return invoke


def test_arms_without_a_model(evaluate: Eval, tmp_path: Path, scripted: ScriptedServer) -> None:
    result = evaluate("-n", "20", "--arm", "parser_only", "--arm", "always_invalid", "--arm", "atmosphere:3")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0].endswith("report.md")
    assert "43 of 43 answers" in result.stderr
    assert len(load_records(tmp_path / "run")) == 43
    assert not scripted.chats
    text = (tmp_path / "run" / "report.md").read_text("utf-8")
    assert "| atmosphere | 3 of 20 |" in text


def test_in_steps_and_side_by_side(
    evaluate: Eval, tmp_path: Path, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EIGHT_API_KEY", KEY)
    two = ["--endpoint", f"eight={scripted.url},small-model", "--endpoint", f"70b={scripted.url}"]
    command = ["-n", "6", "--arm", "bare", "--price-per-hour", "70b=4.5", "--note", "two at once", *two]
    monkeypatch.setenv("70B_API_KEY", KEY)
    first = evaluate(*command, "--at-most", "7")
    assert first.exit_code == 0, first.stderr
    assert "5 questions are left" in first.stderr
    second = evaluate(*command)
    assert second.exit_code == 0, second.stderr
    assert "left" not in second.stderr
    assert len(scripted.chats) == 12
    held = load_run(tmp_path / "run")
    assert held.models == {"eight": "small-model", "70b": "meta-llama/Llama-3.3-70B-Instruct"}
    assert held.prices == {"70b": 4.5}
    assert {body["model"] for body in scripted.bodies} == set(held.models.values())
    text = (tmp_path / "run" / "report.md").read_text("utf-8")
    assert "| bare · eight – bare · 70b |" in text or "| bare · 70b – bare · eight |" in text
    assert "two at once" in text


def test_a_users_file(evaluate: Eval, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text(
        '{"id": 1, "text": "All dogs are pets. All pets are animals. So all dogs are animals.", "valid": true}\n',
        "utf-8",
    )
    assert evaluate("--items", str(mine), "--arm", "parser_only").exit_code == 0
    assert [record.outcome.answer for record in load_records(tmp_path / "run").values() if record.outcome] == ["valid"]
    mine.write_text('{"id": 1}\n', "utf-8")
    result = evaluate("--items", str(mine), "--arm", "parser_only")
    assert result.exit_code == 2
    assert "mine.jsonl, line 1: text, valid missing" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--arm", "nosuch"], "there is no arm 'nosuch'"),
        (["--arm", "bare:0"], "how many items"),
        (["--arm", "bare"], "no model to ask"),
        (["--arm", "bare", "--endpoint", "http://x"], "NAME=VALUE"),
        (["--arm", "bare", "--endpoint", "a=http://127.0.0.1:1", "--endpoint", "a=http://127.0.0.1:1"], "given twice"),
        (["--arm", "parser_only", "--price-per-hour", "a=cheap"], "no number of dollars"),
        (["--arm", "parser_only", "--items", "no/such/file"], "cannot be read"),
    ],
)
def test_what_cannot_work_is_one_line(evaluate: Eval, options: list[str], said: str) -> None:
    result = evaluate(*options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_help_has_examples(evaluate: Eval) -> None:
    result = evaluate("--help")
    assert result.exit_code == 0
    assert "llama70b syllogism eval" in result.stdout
