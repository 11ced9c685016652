"""Run code a model wrote, in a child process that can do little.

What holds the child back:

* no environment, an empty temporary folder as working directory, closed standard input, Python's isolated mode;
* kernel limits: 5 s of processor time, 512 MiB of memory, files of at most 1 MiB, 32 open files, no core dump;
* a wall clock: the whole process group is killed after 10 s;
* no network: a network namespace of its own where the kernel grants one to unprivileged processes (`namespace`), and
  in every case an audit hook that refuses sockets, new processes, signals, foreign code (ctypes) and files outside
  the standard library (`hook`).

The audit hook alone is no wall against a hostile program (CPython says so of all audit hooks): where no namespace is
granted, what remains is good enough for a model's honest mistakes, not for an attack. The result says which it was.
Code that sets out to forge its own test results could do so: they are computed in the same process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

WALL_S = 10.0
_MAX_OUTPUT = 256 * 1024
_CHILD = Path(__file__).with_name("_child.py")

Isolation = Literal["namespace", "hook", "none"]


@dataclass(frozen=True, slots=True)
class Run:
    """What the child reported.

    Attributes:
        records: Its lines, one JSON object each; data from untrusted code.
        isolation: How the network was kept out; `none`: nothing was run.
        failure: Why it did not come to its end, "" if it did.
    """

    records: tuple[dict[str, Any], ...]
    isolation: Isolation
    failure: str = ""


def run_functions(code: str, *, wall_s: float = WALL_S) -> Run:
    """Define a program's functions in a child process and call those that look like Fibonacci.

    Args:
        code: Python source, untrusted.
        wall_s: Seconds until the child is killed.

    Returns:
        The child's records (see `_child.py`).
    """
    if os.name != "posix":
        return Run((), "none", "not run: this system has no resource limits to run untrusted code under")
    with tempfile.TemporaryDirectory(prefix="llama70b-check-") as folder, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
            [sys.executable, "-I", "-S", "-B", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={},
            start_new_session=True,
        )
        killed = False
        try:
            process.communicate(code.encode("utf-8", "replace"), timeout=wall_s)
        except subprocess.TimeoutExpired:
            killed = True
        finally:
            # Also whatever it may have started; the group outlives its leader until then.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        records = _records(output.read(_MAX_OUTPUT))
    head, *rest = records or [{}]
    isolation: Isolation = "namespace" if head.get("isolation") == "namespace" else "hook"
    if killed:
        return Run(tuple(rest), isolation, f"did not end within {wall_s:g} s")
    if process.returncode != 0 or not rest or rest[-1] != {"end": True}:
        return Run(tuple(rest), isolation, _ending(process.returncode))
    return Run(tuple(rest[:-1]), isolation)


def _ending(code: int) -> str:
    if code in {-signal.SIGXCPU, -signal.SIGKILL}:
        return "used up its processor time"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended early (exit code {code})"


def _records(output: bytes) -> list[dict[str, Any]]:
    records = []
    for line in output.splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # cut off by the size limit
            continue
        if isinstance(record, dict):
            records.append(record)
    return records
