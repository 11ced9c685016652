"""Start one of this package's own modules as a process that ends with its owner."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import llama70b

_ROOT = Path(llama70b.__file__).parent.parent
_STOP_S = 2.0


def spawn(module: str, orders: Mapping[str, Any], *, stderr: int | None = None) -> subprocess.Popen[str]:
    """Start `python -m module` and send it its orders on standard input, which stays open.

    The process gets a session of its own, so that Ctrl-C in a terminal reaches the owner only.

    Args:
        module: Dotted name; it calls `_watch.end_with_owner`.
        orders: Settings, as JSON.
        stderr: `subprocess.PIPE` to read its log, None to share ours.
    """
    search = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
        # -P: the folder we happen to run in must not shadow modules.
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONPATH": search},
        start_new_session=os.name == "posix",
    )
    _write(process.stdin, json.dumps(orders) + "\n")
    return process


def stop(process: subprocess.Popen[str]) -> None:
    """End a spawned process: ask by closing its input, then insist. Safe to call twice."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):  # it may be gone, with our orders unread in the pipe
            process.stdin.close()
    for insist in (process.terminate, process.kill):
        try:
            process.wait(_STOP_S)
            break
        except subprocess.TimeoutExpired:
            insist()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _write(pipe: IO[str] | None, text: str) -> None:
    assert pipe is not None
    with contextlib.suppress(BrokenPipeError):  # a process that died at once is reported by the end of its output
        pipe.write(text)
        pipe.flush()
