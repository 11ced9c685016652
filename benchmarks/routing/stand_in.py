"""A stand-in for the engine, where no engine may run: a process of its own that takes a while to load.

Its answers are made up and its speed is a sleep; starting, stopping and the wire are real. `python -m
benchmarks.routing.stand_in LOAD_S` prints its address when it serves.
"""

from __future__ import annotations

import subprocess
import sys
import time

from llama70b import Endpoint
from llama70b.testing.scripted import KEY, Answer, ScriptedServer

_WORDS = "The quick brown fox jumps over the lazy dog and runs away".split()


class StandIn:
    """Started and stopped like `LocalEngine`."""

    def __init__(self, load_s: float) -> None:
        self._load_s = load_s
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Endpoint:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self._load_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        return Endpoint(self._process.stdout.readline().strip(), api_key=KEY)

    def wait_until_ready(self) -> None:
        """It is: its address comes only then."""

    def stop(self) -> None:
        if self._process is not None:
            self._process.communicate(timeout=20)  # closes its input, which ends it


def main() -> None:
    time.sleep(float(sys.argv[1]))
    server = ScriptedServer()
    pieces = [word + " " for word in _WORDS]
    server.answer(Answer(content="".join(pieces), pieces=pieces, pause_s=0.06, usage=(40, len(pieces))))
    print(server.url, flush=True)
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    main()
