"""The parent's side of `worker`: start, order, end."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.client.subjects import Target

ROOT = Path(__file__).resolve().parents[2]


class Failed(RuntimeError):
    """A worker answered with an error, or ended."""


def environment(site: Path | None = None) -> dict[str, str]:
    """Variables of a measured process: without credentials and proxies, which are no part of a measurement.

    Args:
        site: A folder of packages put before the interpreter's own. It has its own copy of ours: not the tree's.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LLAMA70B", "OPENAI", "LANG"))}
    paths = [str(path) for path in (site, ROOT) if path is not None]
    safe = {} if site is None else {"PYTHONSAFEPATH": "1"}
    return {**kept, **safe, "PYTHONPATH": os.pathsep.join(paths), "NO_PROXY": "*"}


class Child:
    """One worker process.

    Args:
        name: Its subject.
        target: What the subject asks.
        python: Interpreter.
        site: A folder of packages put before the interpreter's own, for a machine without network.
        module: What to run; it speaks `worker`'s protocol.
    """

    def __init__(
        self,
        name: str,
        target: Target,
        *,
        python: str = sys.executable,
        site: Path | None = None,
        module: str = "benchmarks.client.worker",
    ) -> None:
        self.name = name
        env = environment(site)
        self._process = subprocess.Popen(
            [python, "-m", module, name, json.dumps(asdict(target))],
            env=env,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def order(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Send one order, return its answer.

        Raises:
            Failed: The worker said so, or is gone.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise Failed(f"{self.name}: the process has ended") from error
        line = process.stdout.readline()
        if not line:
            raise Failed(f"{self.name}: the process ended with status {process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.name}: {answer['error']}")
        return answer

    def stop(self) -> None:
        """End it, kindly at first."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
