"""What only a process of its own shows: Ctrl-C, pipes, missing extras, what is imported."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from tests.unit.scripted_server import KEY, MODEL, Answer, ScriptedServer

COMMAND = [sys.executable, "-m", "llama70b"]


def environment(scripted: ScriptedServer | None = None) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA")}
    if scripted is not None:
        env |= {"LLAMA70B_BASE_URL": scripted.url, "LLAMA70B_API_KEY": KEY, "LLAMA70B_MODEL": MODEL}
    return env


@pytest.mark.skipif(os.name != "posix", reason="signals to one process are POSIX")
def test_ctrl_c_exits_130_and_hangs_up(scripted: ScriptedServer) -> None:
    scripted.answer(Answer("word " * 200, pause_s=0.1))
    with subprocess.Popen(
        [*COMMAND, "ask", "x"], env=environment(scripted), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.read(4) == "word"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert scripted.left.wait(5)


@pytest.mark.skipif(os.name != "posix", reason="as above")
def test_a_reader_that_goes_away_is_no_error(scripted: ScriptedServer) -> None:
    scripted.answer(Answer("line\n" * 300, pause_s=0.01))
    with subprocess.Popen(
        [*COMMAND, "ask", "x"], env=environment(scripted), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        assert process.wait(20) == 0
    assert errors == ""


def test_a_pipe_gets_no_colour_and_the_text_as_it_is(scripted: ScriptedServer) -> None:
    scripted.answer(Answer(pieces=["caf\u00e9 ", "\u4e2d\u6587"]))
    done = subprocess.run(
        [*COMMAND, "ask"], input="question", env=environment(scripted) | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "caf\u00e9 \u4e2d\u6587\n")
    assert scripted.bodies[0]["messages"][-1]["content"] == "question"


def test_an_argument_and_a_pipe_belong_together(scripted: ScriptedServer) -> None:
    done = subprocess.run(
        [*COMMAND, "ask", "Summarise:"], input="the text", env=environment(scripted),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert scripted.bodies[0]["messages"][-1]["content"] == "Summarise:\n\nthe text"


@pytest.mark.skipif(os.name != "posix", reason="as above")
def test_a_pipe_that_says_nothing_is_not_waited_for(scripted: ScriptedServer) -> None:
    reader, writer = os.pipe()
    try:
        start = time.monotonic()
        done = subprocess.run(
            [*COMMAND, "ask", "hello"],
            stdin=reader,
            env=environment(scripted),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0
        assert time.monotonic() - start < 50
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_a_missing_extra_names_the_line_that_installs_it(missing: str) -> None:
    program = textwrap.dedent(f"""
        import sys
        sys.modules[{missing!r}] = None
        sys.argv = ["llama70b", "--version"]
        from llama70b.__main__ import main
        main()
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "pip install 'llama70b[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_loads_no_framework() -> None:
    program = (
        "import sys, llama70b.cli; "
        "print([m for m in ('langchain_core', 'llama_index', 'pydantic', 'xllamacpp', 'openai') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
