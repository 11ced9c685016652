"""Runs a command and kills all of it when whoever started this goes away, however it goes.

`guard.py COMMAND...` holds the command in a process group of its own. When standard input closes (the starter closed
the pipe, or died, even by SIGKILL) or a stop signal comes, the group gets SIGTERM and, `GRACE_S` later, SIGKILL. The
exit status is the command's own. Standard library only: it is run by path.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import Final

GRACE_S: Final = float(os.environ.get("GUARD_GRACE_S", "10"))


def _signal_group(group: int, number: int) -> bool:
    """Sends a signal to a process group; false when nobody is left in it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends the command and whatever it started."""
    if _signal_group(child.pid, signal.SIGTERM):
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
        # The leader may be gone while a worker of its lingers: the group is what has to be empty.
        _signal_group(child.pid, signal.SIGKILL)


def main(command: list[str]) -> int:
    """Runs the command until it ends, standard input closes or a stop signal comes.

    Args:
        command: Program and arguments.

    Returns:
        The command's exit status, negative for a signal.
    """
    stop = threading.Event()

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, request_stop)

    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def watch_starter() -> None:
        while os.read(0, 4096):
            pass
        stop.set()

    def watch_child() -> None:
        child.wait()
        stop.set()

    for watch in (watch_starter, watch_child):
        threading.Thread(target=watch, daemon=True).start()
    stop.wait()
    _end(child)
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
