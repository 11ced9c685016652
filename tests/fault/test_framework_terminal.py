"""What a person at a terminal or in a notebook meets: the bar while waking, and Ctrl-C during the wait.

Real processes, a real pseudo-terminal, a real Jupyter kernel. They start all at once, because each takes seconds.
"""

import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fault.asking import wait_for
from tests.fault.faultd import Case, FaultServer
from tests.fault.frameworks import OURS, Stack, note

ROOT = Path(__file__).parents[2]
BOOT = 2.8
"""Seconds, real ones: the bar comes after two."""

_HEADS = {
    "langchain": "from langchain_llama70b import ChatLlama70B",
    "llamaindex": "from llamaindex_llama70b import Llama70B\nfrom llama_index.core.llms import ChatMessage",
}
_MAKE = "llm = {cls}(base_url={url!r}, timeout=Timeouts(poll=0.05, cold_start=60))"
_ASK = {
    "langchain": ("llm.invoke('hi').text", "asyncio.run(llm.ainvoke('hi')).text"),
    "llamaindex": (
        "llm.chat([ChatMessage(role='user', content='hi')]).message.content",
        "asyncio.run(llm.achat([ChatMessage(role='user', content='hi')])).message.content",
    ),
}


def _head(stack: Stack) -> str:
    return "import asyncio\nfrom llama70b import Timeouts\n" + _HEADS[stack.framework]


def _ask(stack: Stack, case: Case) -> str:
    return f"{_MAKE.format(cls=stack.name, url=case.url)}\nprint({_ASK[stack.framework][0]})"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"}


@dataclass
class Shown:
    """What a program showed: each piece with the seconds since its case's first request."""

    pieces: list[tuple[float, str]] = field(default_factory=list)
    out: str = ""
    code: int | None = None

    @property
    def text(self) -> str:
        return "".join(piece for _, piece in self.pieces)

    def first(self, word: str) -> float:
        return next(at for at, piece in self.pieces if word in piece)

    def screen(self) -> str:
        """Return what is left on the line: every carriage return goes back to its beginning."""
        line = ""
        for part in self.text.replace("\r\n", "\n").split("\n")[-1].split("\r"):
            line = part + line[len(part) :]
        return line.strip()


def _since(case: Case) -> float:
    return time.monotonic() - case.log[0].at if case.log else 0.0


def _on_terminal(stack: Stack, case: Case) -> Shown:
    """Run with standard error on a pseudo-terminal of its own."""
    shown = Shown()
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", f"{_head(stack)}\n{_ask(stack, case)}"],
        stdout=subprocess.PIPE,
        stderr=secondary,
        env=_environment(),
        text=True,
    )
    os.close(secondary)
    with contextlib.suppress(OSError):  # the other side is closed
        while data := os.read(primary, 65536):
            shown.pieces.append((_since(case), data.decode()))
    os.close(primary)
    shown.out = process.communicate(timeout=30)[0]
    shown.code = process.returncode
    return shown


def _into_pipe(cells: list[str]) -> Shown:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(cells)],
        capture_output=True,
        env=_environment(),
        text=True,
        timeout=90,
        check=False,
    )
    return Shown([(0.0, done.stderr)], done.stdout, done.returncode)


_NOTEBOOK = """
import json, sys, nbclient, nbformat
cells = [nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
print(json.dumps([cell.outputs for cell in notebook.cells]))
"""


def _in_notebook(cells: list[str]) -> list[list[dict[str, Any]]]:
    """Run cells in a Jupyter kernel; return the outputs of each."""
    done = subprocess.run(  # of its own: nbclient leaves an event loop open
        [sys.executable, "-c", _NOTEBOOK],
        input=json.dumps(cells),
        capture_output=True,
        env=_environment(),
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outputs: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return outputs


@pytest.fixture(scope="module")
def runs(faultd: FaultServer) -> Iterator[dict[str, Future[Any]]]:
    """All the programs, begun at once."""

    def cells() -> list[str]:
        heads = "\n".join(_head(stack) for stack in OURS)
        return [heads, *(_ask(stack, faultd.case("cold_server", boot=BOOT)) for stack in OURS)]

    with ThreadPoolExecutor(4) as pool:
        begun: dict[str, Future[Any]] = {
            stack.name: pool.submit(_on_terminal, stack, faultd.case("cold_server", boot=BOOT)) for stack in OURS
        }
        begun["pipe"] = pool.submit(_into_pipe, cells())
        begun["notebook"] = pool.submit(_in_notebook, cells())
        yield begun


@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f43_the_bar_on_a_terminal(request: pytest.FixtureRequest, runs: dict[str, Future[Any]], stack: Stack) -> None:
    shown = runs[stack.name].result()
    note(request, stack)
    assert (shown.code, shown.out) == (0, "Hello there\n")
    assert "waking meta-llama/Llama-3.3-70B-Instruct" in shown.text
    assert 1.9 < shown.first("waking") < BOOT + 0.2
    assert shown.screen() == ""  # gone


def test_f43_no_bar_where_nobody_looks(runs: dict[str, Future[Any]]) -> None:
    shown = runs["pipe"].result()
    assert (shown.code, shown.out, shown.text) == (0, "Hello there\n" * 2, "")


@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f43_the_bar_in_a_notebook(request: pytest.FixtureRequest, runs: dict[str, Future[Any]], stack: Stack) -> None:
    outputs = runs["notebook"].result()[1 + OURS.index(stack)]
    note(request, stack)
    said = "".join(o["text"] for o in outputs if o.get("name") == "stderr")
    assert "waking" in said
    assert "Warning" not in said
    assert Shown([(0.0, said)]).screen() == ""
    assert [o["text"] for o in outputs if o.get("name") == "stdout"] == ["Hello there\n"]


_INTERRUPTED = """
for call in CALLS:
    try:
        call()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    input()  # the next call begins when the test has looked
"""


def _has_posts(case: Case, number: int) -> bool:
    return case.posts == number


def _has_hangups(case: Case, number: int) -> bool:
    return len(case.hangups) >= number


def _is_left(case: Case) -> bool:
    return case.open_connections == 0


@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f43_ctrl_c_during_the_wait_returns_at_once(
    request: pytest.FixtureRequest, faultd: FaultServer, stack: Stack
) -> None:
    note(request, stack)
    cases = [faultd.case("cold_server", boot=1000), faultd.case("cold_function", boot=1000)]
    source = [_head(stack), "CALLS = []"]
    for case in cases:
        calls = ", ".join(f"lambda llm=llm: {call}" for call in _ASK[stack.framework])
        source += [_MAKE.format(cls=stack.name, url=case.url), f"CALLS += [{calls}]"]
    process = subprocess.Popen(
        [sys.executable, "-c", "\n".join([*source, _INTERRUPTED])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(),
        text=True,
        bufsize=1,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for case, number in [(case, number) for case in cases for number in (1, 2)]:  # blocking, then awaiting
            wait_for(partial(_has_posts, case, number), 60)
            time.sleep(0.15)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n"
            assert time.monotonic() - began < 0.8
            looks = case.gets
            if case.fault == "cold_function":  # held at the server: it sees the end
                wait_for(partial(_has_hangups, case, number), 1.0)
            time.sleep(0.15)
            assert case.gets == looks  # nobody goes on waiting
            process.stdin.write("\n")
            process.stdin.flush()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    for case in cases:
        wait_for(partial(_is_left, case))
        assert case.generations == 0
