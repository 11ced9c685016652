"""What a user's editor and type checker say of a user's code: nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CODE = HERE / "user_code.py"


@pytest.mark.timeout(300)  # a minute without mypy's cache
def test_mypy_strict() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", str(CODE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)  # fetches pyright itself on a fresh machine
def test_pyright_strict() -> None:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(HERE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    report = json.loads(done.stdout)
    found = [f"{entry['range']['start']['line'] + 1}: {entry['message']}" for entry in report["generalDiagnostics"]]
    assert found == []
    assert report["summary"]["filesAnalyzed"] == 1


@pytest.mark.parametrize(
    ("mistake", "word"),
    [
        ("ChatLlama70B(temperatur=0)", "temperatur"),
        ('ChatLlama70B(max_tokens="many")', "max_tokens"),
        ('ChatRequest(messages="hi")', "messages"),
        ('Client().chat("hi")', "chat"),
        ("_: int = Client().chat(ChatRequest(messages=())).text", "int"),
    ],
)
def test_mypy_sees_a_users_mistake(tmp_path: Path, mistake: str, word: str) -> None:
    """The checks above could not fail if everything were `Any`."""
    lines = ["from langchain_llama70b import ChatLlama70B", "from llama70b import ChatRequest, Client", mistake]
    (tmp_path / "wrong.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", str(tmp_path / "wrong.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert word in done.stdout
