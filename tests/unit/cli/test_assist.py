"""`llama70b syllogism check --assist`: the model is asked only where the grammar refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from llama70b.cli import app
from tests.unit.scripted_server import KEY, MODEL, ScriptedServer

Run = Callable[..., Any]
HARD = "All cats are wombles. Never does a womble glorp. So never does a cat glorp."


@pytest.fixture
def run(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name, value in (
        ("LLAMA70B_BASE_URL", scripted.url), ("LLAMA70B_API_KEY", KEY), ("LLAMA70B_MODEL", MODEL),
        ("NO_COLOR", "1"), ("TERMINAL_WIDTH", "100"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    return lambda *args: CliRunner().invoke(app, list(args), prog_name="llama70b")


def reading(quantifier: str, subject: str) -> str:
    return json.dumps({"quantifier": quantifier, "subject": subject, "predicate": "glorp"})


def test_a_refused_sentence_is_read_by_the_model_and_that_is_shown(run: Run, scripted: ScriptedServer) -> None:
    scripted.say(reading("no", "womble"), reading("no", "cat"))
    result = run("syllogism", "check", "--assist", HARD)
    assert result.exit_code == 0
    assert result.stdout.startswith("entailed")
    assert "model read" in result.stdout
    scripted.say(reading("no", "womble"), reading("no", "cat"))
    told = json.loads(run("syllogism", "check", "--assist", "--json", HARD).stdout)
    assert told["verdict"] == "entailed"
    assert len(told["assisted"]["readings"]) == 2


def test_a_false_reading_is_not_accepted(run: Run, scripted: ScriptedServer) -> None:
    scripted.say(reading("all", "womble"), reading("no", "cat"))
    result = run("syllogism", "check", "--assist", HARD)
    assert result.exit_code == 1
    assert "not accepted" in result.stdout


def test_what_is_read_or_outside_costs_no_request(run: Run, scripted: ScriptedServer) -> None:
    assert run("syllogism", "check", "--assist", "All cats purr. Tom is a cat. So Tom purrs.").exit_code == 0
    assert run("syllogism", "check", "--assist", "Most cats purr. So some cats purr.").exit_code == 1
    assert scripted.requests == []
