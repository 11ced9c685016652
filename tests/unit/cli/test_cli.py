"""The command line against a scripted server, in this process; what needs a process of its own is in test_process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from llama70b import __version__
from llama70b.acceptance import CHECKS, ROSES
from llama70b.cli import app
from llama70b.endpoint import DEFAULT_MODEL
from tests.unit.scripted_server import KEY, Answer, Raw, Request, ScriptedServer, error

Run = Callable[..., Result]
NO = "No, we cannot conclude that some roses fade quickly."
FIB = "```python\ndef fib(n):\n    if n < 0: return None\n    return n if n < 2 else fib(n-1) + fib(n-2)\n```"
CHINESE = "机器学习是让计算机从数据中自动学习规律并做出预测的技术。"
RIGHT = {"hello": "Hello!", "code": FIB, "chinese": CHINESE, "logic": NO}


@pytest.fixture
def run(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("LLAMA70B_MODEL", "LLAMA8B_BASE_URL", "LLAMA8B_API_KEY", "LLAMA8B_MODEL", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLAMA70B_BASE_URL", scripted.url)
    monkeypatch.setenv("LLAMA70B_API_KEY", KEY)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")

    def invoke(*args: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(args), input=stdin, prog_name="llama70b")

    return invoke


def by_prompt(answers: dict[str, str]) -> Callable[[Request], Answer]:
    prompts = {check.prompt: answers[check.name] for check in CHECKS}
    return lambda request: Answer(prompts[request.body["messages"][-1]["content"]], usage=(40, 30))


def test_version(run: Run) -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.strip() == f"llama70b {__version__}"


@pytest.mark.parametrize("command", [[], ["wake"], ["status"], ["ask"], ["check"], ["local"], ["syllogism", "check"]])
def test_help_has_examples(run: Run, command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Exit codes" in result.stdout if not command else f"llama70b {' '.join(command)}" in result.stdout


def test_usage_errors_exit_2(run: Run) -> None:
    assert run("nosuch").exit_code == 2
    assert run("ask", "--max-tokens", "0", "x").exit_code == 2
    assert run("check", "--only", "nosuch").exit_code == 2


def test_ask_prints_the_answer_and_nothing_else(run: Run, scripted: ScriptedServer) -> None:
    scripted.say("Hello there\nfriend")
    result = run("ask", "Say", "hello", "-s", "Be brief.", "--max-tokens", "7", "--temperature", "0", "--seed", "3")
    assert result.exit_code == 0
    assert result.stdout == "Hello there\nfriend\n"
    assert result.stderr == ""
    body = scripted.bodies[0]
    assert [message["content"] for message in body["messages"]] == ["Be brief.", "Say hello"]
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (7, 0, 3)
    assert body["stream"] is True


def test_ask_reads_standard_input(run: Run, scripted: ScriptedServer) -> None:
    assert run("ask", stdin="from a pipe\n").exit_code == 0
    assert run("ask", "-", stdin="dash\n").exit_code == 0
    assert [body["messages"][-1]["content"] for body in scripted.bodies] == ["from a pipe", "dash"]


def test_ask_without_a_question_is_a_usage_error(run: Run, scripted: ScriptedServer) -> None:
    assert run("ask", stdin="").exit_code == 2
    assert not scripted.chats


def test_ask_json(run: Run, scripted: ScriptedServer) -> None:
    scripted.say("Hello")
    shown = json.loads(run("ask", "x", "--json").stdout)
    assert shown["text"] == "Hello"
    assert shown["usage"] == {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    assert shown["finish_reason"] == "stop"


def test_ask_says_that_an_answer_was_cut_off(run: Run, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("Hel", finish_reason="length"))
    result = run("ask", "x")
    assert result.stdout == "Hel\n"
    assert "cut off" in result.stderr


def test_a_stream_that_breaks_exits_2_with_what_had_come(run: Run, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("Half an ", cut=True))
    result = run("ask", "x")
    assert result.exit_code == 2
    assert result.stdout == "Half an \n"
    assert "error:" in result.stderr


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (error(400, "temperature must be non-negative"), "temperature must be"),
        (Raw(404, {"error": {"message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}}), "x"),
        (error(400, "This model's maximum context length is 4096 tokens. However, you requested 9 output tokens and "
               "your prompt contains at least 5000 input tokens", param="input_tokens"), "4096"),
    ],
)  # fmt: skip
def test_errors_are_one_line_without_a_traceback(run: Run, scripted: ScriptedServer, script: Raw, words: str) -> None:
    scripted.answer(script)
    result = run("ask", "x")
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_wrong_key_is_said_and_not_shown(run: Run) -> None:
    result = run("ask", "x", "--api-key", "sk-very-secret")
    assert result.exit_code == 2
    assert "401" in result.stderr or "key" in result.stderr
    assert "sk-very-secret" not in result.output


def test_debug_adds_a_traceback_without_the_secret(run: Run) -> None:
    result = run("--debug", "ask", "x", "--api-key", "sk-very-secret")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "sk-very-secret" not in result.output


def test_no_endpoint_names_the_variable_and_the_way_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMA70B_BASE_URL")
    for command in (["ask", "x"], ["status"], ["wake"], ["check"]):
        result = run(*command)
        assert result.exit_code == 2
        assert "LLAMA70B_BASE_URL" in result.stderr
        assert "llama70b local" in result.stderr


def test_status_sends_nothing(run: Run, scripted: ScriptedServer) -> None:
    result = run("status")
    assert result.exit_code == 0
    assert "not asked" in result.stdout
    assert scripted.url in result.stdout
    assert KEY not in result.output
    shown = json.loads(run("status", "--json").stdout)
    assert shown["state"] == "not asked"
    assert shown["credentials"] == ["api_key"]
    assert scripted.requests == []


def test_status_probe_asks_once(run: Run, scripted: ScriptedServer) -> None:
    shown = json.loads(run("status", "--probe", "--json").stdout)
    assert shown["state"] == "serving"
    assert shown["models"] == [{"id": DEFAULT_MODEL, "max_model_len": 4096}]
    assert [request.path for request in scripted.requests] == ["/health", "/v1/models"]


def test_status_probe_of_a_sleeping_endpoint_does_not_wait(run: Run, scripted: ScriptedServer) -> None:
    scripted.routes["/health"] = Raw(503, "")
    result = run("status", "--probe")
    assert result.exit_code == 1
    assert "not serving" in result.stdout
    assert len(scripted.requests) == 1


def test_status_probe_of_another_model(run: Run, scripted: ScriptedServer) -> None:
    result = run("status", "--probe", "--model", "other")
    assert result.exit_code == 1
    assert "another model" in result.stdout
    del scripted


def test_wake_says_how_long(run: Run, scripted: ScriptedServer) -> None:
    assert "awake" in run("wake").stdout
    looks = iter([Raw(503, ""), Raw(200, "")])
    scripted.routes["/health"] = lambda _: next(looks, Raw(200, ""))
    result = run("wake", "--json", "--probe")
    shown = json.loads(result.stdout)
    assert shown["waited_s"] > 0
    assert "HTTP 503" in result.stderr
    assert len(scripted.chats) == 1


def test_wake_gives_up_in_time(run: Run, scripted: ScriptedServer) -> None:
    scripted.routes["/health"] = Raw(503, "")
    result = run("wake", "--timeout", "0.3")
    assert result.exit_code == 2
    assert "still slept" in result.stderr


def test_check_passes_and_reports(run: Run, scripted: ScriptedServer) -> None:
    scripted.answer(by_prompt(RIGHT))
    result = run("check")
    assert result.exit_code == 0, result.output
    assert "**PASS**: 4 of 4" in result.stdout
    assert "Code generation ..." in result.stderr
    assert all(body["stream"] for body in scripted.bodies)
    assert scripted.bodies[0]["max_tokens"] == 5


@pytest.mark.parametrize("wrong", [{"logic": "Yes, we can."}, {"hello": "Goodbye"}, {"code": "no"}, {"chinese": "hi"}])
def test_check_fails_with_exit_code_1(run: Run, scripted: ScriptedServer, wrong: dict[str, str]) -> None:
    scripted.answer(by_prompt(RIGHT | wrong))
    result = run("check", "--json")
    assert result.exit_code == 1
    shown = json.loads(result.stdout)
    assert shown["passed"] is False
    assert [check["name"] for check in shown["checks"] if not check["passed"]] == list(wrong)


def test_check_goes_on_after_an_answer_that_broke(run: Run, scripted: ScriptedServer) -> None:
    right = by_prompt(RIGHT)
    scripted.answer(lambda r: Answer("Hel", cut=True) if r.body["max_tokens"] == 5 else right(r))
    shown = json.loads((result := run("check", "--json")).stdout)
    assert result.exit_code == 1
    assert [check["passed"] for check in shown["checks"]] == [False, True, True, True]
    assert "no answer" in shown["checks"][0]["reason"]


def test_check_of_a_refusing_endpoint_exits_2(run: Run) -> None:
    assert run("check", "--api-key", "wrong").exit_code == 2
    assert run("check", "--model", "other").exit_code == 2


def test_check_writes_a_file(run: Run, scripted: ScriptedServer, tmp_path: Path) -> None:
    scripted.answer(by_prompt(RIGHT))
    result = run("check", "--only", "logic", "-o", str(tmp_path / "report.md"))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "1 of 1" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert run("check", "--only", "logic", "-o", str(tmp_path / "no" / "report.md")).exit_code == 2


def test_check_puts_the_sibling_beside(run: Run, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA8B_BASE_URL", scripted.url)
    monkeypatch.setenv("LLAMA8B_API_KEY", KEY)
    monkeypatch.setenv("LLAMA8B_MODEL", DEFAULT_MODEL)
    scripted.answer(by_prompt(RIGHT))
    assert "8B tok/s" in run("check", "--only", "hello").stdout
    assert len(scripted.chats) == 2
    monkeypatch.setenv("LLAMA8B_MODEL", "unknown")
    result = run("check", "--only", "hello")
    assert result.exit_code == 0
    assert "sibling" in result.stderr
    assert "8B tok/s" not in result.stdout


def test_syllogism_check(run: Run, scripted: ScriptedServer) -> None:
    result = run("syllogism", "check", ROSES)
    assert result.exit_code == 0
    assert result.stdout.startswith("undetermined: it does not follow")
    assert "countermodel" in result.stdout
    assert scripted.requests == []


def test_syllogism_check_json_and_import(run: Run) -> None:
    text = "All unicorns are white. All unicorns are horses. Therefore, some horses are white."
    assert json.loads(run("syllogism", "check", text, "--json").stdout)["verdict"] == "entailed"
    shown = json.loads(run("syllogism", "check", "--json", "--import", "none", stdin=text).stdout)
    assert shown["verdict"] == "undetermined"
    assert {"reading", "countermodel", "form", "needed_premises", "assumptions", "refused"} <= set(shown)
    assert run("syllogism", "check", "--import", "some", text).exit_code == 2


def test_syllogism_check_refuses_with_exit_code_1(run: Run) -> None:
    result = run("syllogism", "check", "Most roses are red. So some roses are red.")
    assert result.exit_code == 1
    assert result.stdout.startswith("refused")
    assert "Most" in result.stdout
