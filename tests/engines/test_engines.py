"""What keeps the test engines honest: nothing is left running, nothing half-built is used. No engine is needed here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import environment
from tests.engines.environment import BuildError, Engine
from tests.engines.server import GUARD, StartError, serve

# A server with a worker that takes no hint: both write their process id, neither ends on SIGTERM.
STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
(pathlib.Path(sys.argv[1]) / str(os.getpid())).touch()
time.sleep(600)
"""
# Someone waiting for a server to come up.
WAITING = """
import sys, pathlib
from tests.engines.environment import Engine
from tests.engines.server import serve
with serve(Engine(pathlib.Path(sys.argv[1]), pathlib.Path("nowhere")), pathlib.Path(sys.argv[2])):
    pass
"""
# Whoever starts the guard and is then killed, without a chance to clean up.
STARTER = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE); time.sleep(600)"


def _alive(pid: int) -> bool:
    try:
        # A zombie is dead, but not yet gone.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc: Linux only")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_starter(tmp_path: Path, end: signal.Signals) -> None:
    command = [sys.executable, str(GUARD), sys.executable, "-c", STUBBORN, str(tmp_path)]
    starter = subprocess.Popen([sys.executable, "-c", STARTER, *command], env=os.environ | {"GUARD_GRACE_S": "0.5"})
    assert _until(lambda: len(list(tmp_path.iterdir())) == 2)
    workers = [int(file.name) for file in tmp_path.iterdir()]
    assert all(map(_alive, workers))
    starter.send_signal(end)
    starter.wait()
    assert _until(lambda: not any(map(_alive, workers)))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc: Linux only")
def test_ctrl_c_while_starting_leaves_no_server(tmp_path: Path) -> None:
    never_healthy, log, pid_file = tmp_path / "python", tmp_path / "log", tmp_path / "pid"
    never_healthy.write_text(f"#!/bin/sh\necho $$ > {pid_file}\nexec sleep 600\n")
    never_healthy.chmod(0o755)
    waiting = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(never_healthy), str(log)], cwd=environment.ROOT, stderr=subprocess.PIPE
    )
    assert _until(lambda: pid_file.exists() and pid_file.read_text().strip().isdigit())
    waiting.send_signal(signal.SIGINT)
    _, errors = waiting.communicate(timeout=30)
    assert b"KeyboardInterrupt" in errors
    assert not _alive(int(pid_file.read_text()))


def test_the_guard_passes_the_exit_status_on() -> None:
    with subprocess.Popen([sys.executable, str(GUARD), "sh", "-c", "exit 7"], stdin=subprocess.PIPE) as guard:
        assert guard.wait(timeout=60) == 7


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    without_vllm = Engine(Path(sys.executable), tmp_path)
    with pytest.raises(StartError, match="No module named 'vllm'") as caught, serve(without_vllm, tmp_path / "log"):
        pass
    assert "status 1" in str(caught.value)


def test_an_interrupted_build_starts_over_and_a_finished_one_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "env-0"
    made: list[Path] = []
    said: list[str] = []
    half = folder / "half"

    def make(into: Path) -> None:
        assert not half.exists()
        half.touch()
        made.append(into)
        if len(made) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        environment._once(folder, make, said.append)
    assert half.exists()
    environment._once(folder, make, said.append)
    environment._once(folder, make, said.append)
    assert len(made) == 2
    assert sum(line.startswith("built") for line in said) == 1


def test_two_builders_build_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        time.sleep(0.2)
        made.append(folder)

    threads = [
        threading.Thread(target=environment._once, args=(tmp_path / "env-0", make, lambda _line: None))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_step_that_fails_says_which_and_why(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"could not do it \(exit 3\):\nno luck"):
        environment._run(["sh", "-c", "echo no luck; exit 3"], "do it")


def test_the_pins_name_no_index_and_no_torch() -> None:
    text = environment.PINS.read_text(encoding="utf-8")
    assert "://" not in text
    assert "\ntorch" not in text
    pins = [line for line in text.splitlines() if "==" in line]
    assert len(pins) > 100
    assert text.count("--hash=sha256:") >= len(pins)
