"""`llama70b chat` and `llama70b doctor` against a scripted server; the keyboard is a real pseudo-terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from llama70b.cli import app
from tests.unit.scripted_server import KEY, MODEL, Answer, Raw, Request, ScriptedServer, error

Run = Callable[..., Result]
COMMAND = [sys.executable, "-m", "llama70b"]


@pytest.fixture
def run(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith(("LLAMA", "OPENAI", "FORCE_COLOR"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LLAMA70B_BASE_URL", scripted.url)
    monkeypatch.setenv("LLAMA70B_API_KEY", KEY)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")

    def invoke(*args: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(args), input=stdin, prog_name="llama70b")

    return invoke


def said(body: dict[str, object]) -> list[tuple[str, str]]:
    messages = body["messages"]
    assert isinstance(messages, list)
    return [(message["role"], message["content"]) for message in messages]


def test_a_pipe_asks_line_by_line_and_remembers(run: Run, scripted: ScriptedServer) -> None:
    scripted.say("Hello Ada.", "Ada.")
    result = run("chat", "-s", "Be brief.", "--max-tokens", "9", stdin="My name is Ada.\n\nWhat is my name?\n")
    assert (result.exit_code, result.stdout) == (0, "Hello Ada.\nAda.\n")
    assert said(scripted.bodies[1]) == [
        ("system", "Be brief."),
        ("user", "My name is Ada."),
        ("assistant", "Hello Ada."),
        ("user", "What is my name?"),
    ]
    assert scripted.bodies[1]["max_tokens"] == 9


def test_commands(run: Run, scripted: ScriptedServer, tmp_path: Path) -> None:
    scripted.say("one", "two")
    kept = tmp_path / "talk.json"
    lines = ["a", "/clear", "/system Be kind.", "b", f"/save {kept}", "/what", "/save", "/exit", "never sent"]
    result = run("chat", stdin="\n".join(lines))
    assert result.exit_code == 0
    assert said(scripted.bodies[1]) == [("system", "Be kind."), ("user", "b")]
    assert [turn["content"] for turn in json.loads(kept.read_text())] == ["Be kind.", "b", "two"]
    assert len(scripted.bodies) == 2
    assert result.stderr.count("/clear forgets") == 2


def test_a_conversation_that_outgrows_the_window_forgets_its_oldest_turn(run: Run, scripted: ScriptedServer) -> None:
    def answer(request: Request) -> Answer | Raw:
        if len(request.body["messages"]) > 3:
            length = "This model's maximum context length is 4096 tokens. "
            return error(400, length + "However, your prompt contains at least 4097 tokens.")
        return Answer(f"answer to {request.body['messages'][-1]['content']}")

    scripted.answer(answer)
    result = run("chat", stdin="q1\nq2\nq3\n")
    assert result.exit_code == 0, result.output
    assert result.stdout == "answer to q1\nanswer to q2\nanswer to q3\n"
    assert "oldest turn is forgotten" in result.stderr
    assert said(scripted.bodies[-1]) == [("user", "q2"), ("assistant", "answer to q2"), ("user", "q3")]


def test_an_error_in_a_pipe_ends_with_2_and_is_said(run: Run, scripted: ScriptedServer) -> None:
    scripted.answer(error(401, "no"))
    result = run("chat", stdin="hello\n")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "error:" in result.stderr


@contextmanager
def terminal(scripted: ScriptedServer) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`llama70b chat` on a pseudo-terminal."""
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA")}
    env |= {"LLAMA70B_BASE_URL": scripted.url, "LLAMA70B_API_KEY": KEY, "LLAMA70B_MODEL": MODEL, "TERM": "xterm"}
    process = subprocess.Popen([*COMMAND, "chat"], env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield process, ours
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)


def wait_for(screen: int, text: str, seconds: float = 30.0) -> str:
    """Read the terminal until it shows a text."""
    seen, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([screen], [], [], 0.1)[0]:
            try:
                seen += os.read(screen, 65536)
            except OSError:  # the other side is closed
                break
        if text in seen.decode(errors="replace"):
            return seen.decode(errors="replace")
    raise AssertionError(f"{text!r} not shown: {seen.decode(errors='replace')!r}")


def test_ctrl_c_stops_the_answer_and_the_talk_goes_on(scripted: ScriptedServer) -> None:
    def answer(request: Request) -> Answer:
        last = request.body["messages"][-1]["content"]
        return (
            Answer("word " * 300, pause_s=0.05) if last == "long" else Answer(f"{len(request.body['messages'])} turns")
        )

    scripted.answer(answer)
    with terminal(scripted) as (process, screen):
        wait_for(screen, "> ")
        os.write(screen, b"long\n")
        wait_for(screen, "word word")
        process.send_signal(signal.SIGINT)
        wait_for(screen, "stopped")
        assert scripted.left.wait(5)
        os.write(screen, b"short\n")
        shown = wait_for(screen, "1 turns")  # what was stopped is not part of the talk
        shown += wait_for(screen, "> ") if "> " not in shown.split("1 turns")[1] else ""
        assert "11 + 7 tokens" in shown
        os.write(screen, b"\x04")
        assert process.wait(20) == 0


def test_doctor_sends_nothing_unless_asked(run: Run, scripted: ScriptedServer) -> None:
    result = run("doctor", "--json")
    found = {finding["name"]: finding["verdict"] for finding in json.loads(result.stdout)["findings"]}
    assert result.exit_code == 0
    assert (found["endpoint"], found["credentials"], found["server"]) == ("ok", "ok", "skip")
    assert scripted.requests == []


def test_doctor_without_an_endpoint_says_what_to_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMA70B_BASE_URL")
    monkeypatch.setenv("LLAMA70B_API_KEY", " ")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-marker-secret")
    result = run("doctor")
    assert result.exit_code == 1
    assert "LLAMA70B_BASE_URL" in result.stdout
    assert "llama70b never reads them" in result.stdout
    assert "set, but empty" in result.stdout
    assert "marker" not in result.output


def test_doctor_looks_at_the_server(run: Run, scripted: ScriptedServer) -> None:
    def answer(request: Request) -> Answer:
        return Answer(tool_calls=[("set_alarm", '{"hour": 6}')]) if "tools" in request.body else Answer("Hello!")

    scripted.answer(answer)
    result = run("doctor", "--probe", "--json")
    found = {finding["name"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert result.exit_code == 0, result.stdout
    assert found["context window"]["detail"] == "4096 tokens"
    assert {found[name]["verdict"] for name in ("chat template", "forced tool call", "usage in streams")} == {"ok"}
    assert KEY not in result.output


@pytest.mark.parametrize(
    ("wrong", "name", "fix"),
    [
        (Answer("I would rather talk."), "forced tool call", "--enable-auto-tool-choice"),
        (Answer(tool_calls=[("set_alarm", "{broken")]), "forced tool call", "--enable-auto-tool-choice"),
        (
            Answer(tool_calls=[("set_alarm", '{"hour": 6}')], usage=None),
            "usage in streams",
            "--enable-force-include-usage",
        ),
    ],
)
def test_doctor_says_what_to_start_vllm_with(
    run: Run, scripted: ScriptedServer, wrong: Answer, name: str, fix: str
) -> None:
    scripted.answer(wrong)
    result = run("doctor", "--probe", "--json")
    found = {finding["name"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert result.exit_code == 1
    assert found[name]["verdict"] == "fail"
    assert fix in found[name]["fix"]
