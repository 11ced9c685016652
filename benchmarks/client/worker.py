"""A child process that holds one client and measures what it is told to: a JSON line in, a JSON line out.

CPU seconds are the operating system's (`getrusage`, user and system, all threads). The event loop, and with it the
client's connections, lives as long as the process.
"""

import asyncio
import gc
import json
import random
import resource
import string
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.client import subjects
from benchmarks.client.framed import FRAMED
from benchmarks.client.subjects import SUBJECTS, Count, Seen, Subject, Target, aclose


def cpu_s() -> float:
    """CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def rss_kib() -> int:
    """Resident memory now."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize() // 1024


def threads() -> int:
    """Threads of this process, native ones included."""
    return len(list(Path("/proc/self/task").iterdir()))


def prompt(length: int) -> str:
    """Random letters, so that no two requests share a cached prefix beyond the template's own."""
    return "".join(random.choices(string.ascii_lowercase + " ", k=length))


class StampedCount(Count):
    """Counts, and reads from every piece how long ago the server wrote it."""

    __slots__ = ()

    def text(self, piece: str) -> None:
        super().text(piece)
        if piece:
            _late.append((time.monotonic_ns() - int(piece)) / 1e9)


_late: list[float] = []


class Worker:
    """One client in one process; a subject for every target it is pointed at."""

    def __init__(self, name: str, target: Target) -> None:
        self._make, self._target = {**SUBJECTS, **FRAMED}[name], target
        self._subjects: dict[str, Subject] = {}
        self._runner = asyncio.Runner()
        self.aim()

    def aim(self, model: str | None = None, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask for another model, or with other fields, from now on."""
        target = replace(self._target, model=model or self._target.model, fields=fields or self._target.fields)
        key = repr(target)
        if key not in self._subjects:
            self._subjects[key] = self._make(target)
        self.subject = self._subjects[key]
        return {}

    def load(self, *, streams: int, mode: str, prompt_chars: int = 40, stamped: bool = False) -> dict[str, Any]:
        """Read `streams` answers: all at once on the event loop, or blocking, one after the other."""
        prompts = [prompt(prompt_chars) for _ in range(streams)]
        if hasattr(self.subject, "prepare"):
            self.subject.prepare()
        subjects.new_count = StampedCount if stamped else Count
        _late.clear()
        gc.collect()  # else a full collection, due for what was read before, falls into one turn or the other
        before, wall = cpu_s(), time.perf_counter()
        if mode == "async":
            seen = self._runner.run(self._together(prompts))
        else:
            seen = [self.subject.ask(text) for text in prompts]
        wall, cpu = time.perf_counter() - wall, cpu_s() - before
        late = {"late_s": [round(value, 5) for value in _late]} if stamped else {}
        return {"wall_s": wall, "cpu_s": cpu, "threads": threads(), **_summary(seen), **late}

    async def _together(self, prompts: list[str]) -> list[Seen]:
        return list(await asyncio.gather(*(self.subject.aask(text) for text in prompts)))

    def memory(self, *, streams: int, after_s: float) -> dict[str, Any]:
        """Resident memory that `streams` open streams add, looked at `after_s` seconds after they began."""

        async def held() -> int:
            reading = asyncio.ensure_future(self._together(["x"] * streams))
            await asyncio.sleep(after_s)
            now = rss_kib()
            await reading
            return now

        self._runner.run(self._together(["x"] * 2))
        gc.collect()
        before = rss_kib()
        return {"kib_per_stream": (self._runner.run(held()) - before) / streams}

    def whole(self, *, calls: int, mode: str, prompt_chars: int = 40) -> dict[str, Any]:
        """Ask for whole answers, one after the other."""
        prompts = [prompt(prompt_chars) for _ in range(calls)]

        async def all_of_them() -> int:
            return sum([await self.subject.awhole(text) for text in prompts])

        before, wall = cpu_s(), time.perf_counter()
        chars = self._runner.run(all_of_them()) if mode == "async" else sum(map(self.subject.whole, prompts))
        return {"wall_s": time.perf_counter() - wall, "cpu_s": cpu_s() - before, "calls": calls, "chars": chars}

    def construct(self, *, times: int) -> dict[str, Any]:
        """CPU seconds of making the subject once more, so many times."""
        spent = []
        for _ in range(times):
            begun = time.process_time()
            self._make(self._target)
            spent.append(time.process_time() - begun)
        return {"cpu_s": spent}

    def close(self) -> dict[str, Any]:
        """Close the subjects and the loop."""
        for subject in self._subjects.values():
            self._runner.run(aclose(subject))
        self._runner.close()
        return {}


def _summary(seen: list[Seen]) -> dict[str, Any]:
    return {
        "pieces": sum(answer.pieces for answer in seen),
        "chars": sum(answer.chars for answer in seen),
        "first_s": [round(answer.first_s, 5) for answer in seen],
        "end_s": [round(answer.end_s, 5) for answer in seen],
    }


def serve(ops: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """Answer the lines of standard input until it ends; an operation that fails is answered with its error."""
    out = sys.stdout
    sys.stdout = sys.stderr  # what a library prints must not be taken for an answer
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = ops[order.pop("op")](**order)
        except Exception as error:  # noqa: BLE001 - the parent decides what one failed measurement means
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        out.write(json.dumps(answer) + "\n")
        out.flush()


def main() -> None:
    """Command line: the subject's name and its target as JSON."""
    name, target = sys.argv[1], Target(**json.loads(sys.argv[2]))
    worker = Worker(name, target)
    serve(
        {
            "aim": worker.aim,
            "load": worker.load,
            "memory": worker.memory,
            "whole": worker.whole,
            "construct": worker.construct,
            "close": worker.close,
        }
    )


if __name__ == "__main__":
    main()
