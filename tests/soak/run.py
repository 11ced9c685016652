"""Soak: many requests at once against a server of which one answer in twenty goes wrong.

    python -m tests.soak.run [--requests 20000] [--concurrency 64] [--way sync|async]

Every request must end in a result or a typed error, its own answer at that; what the clients counted must be what the
server logged; memory must not grow by 20 MB after the warm-up; no file descriptor may be left. The server runs in a
process of its own, so that this one's memory and descriptors are the client's. Prints one JSON object; exit code 0 if
all held.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from llama70b import AsyncClient, ChatRequest, Client, Endpoint, Message, Run, RunEnd, Timeouts
from llama70b.errors import Llama70BError
from tests.fault.faultd import DONE, FaultServer, data, delta, vllm_error

ONE_IN = 20
WARM_UP = 0.2
"""Share of the requests after which memory is first measured."""
MOST_GROWTH_MB = 20.0
LIMITS = Timeouts(connect=10, pool=60, write=10, first_byte=20, stream_idle=2, total=30, cold_start=20, poll=0.05)

FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("reset", {}),
    ("fixed", {"status": 500}),
    ("fixed", {"status": 502, "body": b"<html>bad gateway</html>", "kind": "text/html"}),
    ("fixed", {"status": 429, "headers": {"Retry_After": "0"}}),
    ("fixed", {"status": 400, "body": vllm_error("no", 400)}),
    ("fixed", {"status": 503}),
    ("fixed", {"body": b"<html>login</html>", "kind": "text/html"}),
    ("fixed", {"body": b'{"choices": [{"message": {"content": "a'}),
    ("half", {"then": "close"}),
    ("events", {"blocks": [delta("par")], "then": "reset"}),
    ("events", {"blocks": [delta("par")], "then": "end"}),
    ("events", {"blocks": [delta("par"), data(vllm_error("engine died", 500)), DONE]}),
    ("events", {"blocks": [delta("par"), b"data: {\n\n"]}),
    ("bytes", {"raw": b"this is no http\r\n\r\n"}),
]


def pick(number: int) -> tuple[str, dict[str, Any]]:
    """Return what becomes of the request of this number: one in twenty is a fault, in turn."""
    return FAULTS[(number // ONE_IN) % len(FAULTS)] if number % ONE_IN == 0 else ("echo", {})


def serve(pipe: Connection) -> None:
    """Run the server until told to stop; then say what it saw."""
    with FaultServer() as server:
        case = server.case("mixed", pick=pick)
        pipe.send(case.url)
        pipe.recv()
        time.sleep(0.5)
        ids = Counter(a.headers["x-request-id"] for a in case.log if a.path.endswith("/chat/completions"))
        pipe.send({"posts": case.posts, "ids": dict(ids), "open": case.open_connections})


def memory_mb() -> float:
    """Return this process's resident memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def descriptors() -> int:
    """Return how many file descriptors are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Tally:
    """What came of the requests; the clients' recorder too, which counts every attempt, also of those that failed."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.begun: list[str] = []
        self.finished_runs: list[str] = []
        self.attempts: Counter[str] = Counter()  # by request id
        self.memory: list[float] = []
        self.done = 0
        self._warm = int(total * WARM_UP)

    def started(self, run: Run) -> None:
        """Count a run that begins."""
        self.begun.append(run.request_id)

    def finished(self, run: Run, end: RunEnd) -> None:
        """Count the attempts of a run that ended."""
        self.finished_runs.append(run.request_id)
        self.attempts[run.request_id] = end.attempts

    def ended(self, want: str, got: str | BaseException) -> None:
        """Count one request."""
        match got:
            case str():
                self.outcomes["answer" if got == want else "WRONG ANSWER"] += 1
            case Llama70BError():
                self.outcomes[type(got).__name__] += 1
            case _:
                self.outcomes[f"UNTYPED {type(got).__name__}"] += 1
                self.wrong.append(repr(got)[:200])
        self.done += 1
        if self.done >= self._warm and (self.done == self._warm or self.done % max(1, self.total // 10) == 0):
            self.memory.append(memory_mb())


def asked(number: int) -> tuple[str, ChatRequest, bool]:
    """Return the words of a request, the request, and whether it is streamed."""
    words = f"request {number} " + "x" * random.Random(number).randrange(200)
    return words, ChatRequest(messages=(Message("user", words),)), number % 2 == 0


def run_sync(url: str, tally: Tally, concurrency: int) -> None:
    """Ask from threads that share one client."""
    with Client(Endpoint(url, timeouts=LIMITS), progress_bar=False, recorder=tally) as client:

        def one(number: int) -> None:
            words, request, streamed = asked(number)
            try:
                if streamed:
                    with client.stream(request) as stream:
                        text = "".join(piece.content for piece in stream)
                else:
                    text = client.chat(request).text
            except BaseException as error:  # noqa: BLE001 - counted: it must be typed
                tally.ended(words, error)
            else:
                tally.ended(words, text)

        with ThreadPoolExecutor(concurrency) as pool:
            for _ in pool.map(one, range(tally.total)):
                pass


async def run_async(url: str, tally: Tally, concurrency: int) -> None:
    """Ask from tasks that share one client."""
    async with AsyncClient(Endpoint(url, timeouts=LIMITS), progress_bar=False, recorder=tally) as client:

        async def one(number: int) -> None:
            words, request, streamed = asked(number)
            try:
                if streamed:
                    async with await client.stream(request) as stream:
                        text = "".join([piece.content async for piece in stream])
                else:
                    text = (await client.chat(request)).text
            except BaseException as error:  # noqa: BLE001 - as above
                tally.ended(words, error)
            else:
                tally.ended(words, text)

        numbers = iter(range(tally.total))

        async def worker() -> None:
            for number in numbers:
                await one(number)

        await asyncio.gather(*(worker() for _ in range(concurrency)))


def soak(way: str, total: int, concurrency: int) -> dict[str, Any]:
    """Run one way; return what was measured and what of it is wrong."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,))
    server.start()
    url = pipe.recv()
    tally = Tally(total)
    before, started = descriptors(), time.monotonic()
    if way == "sync":
        run_sync(url, tally, concurrency)
    else:
        asyncio.run(run_async(url, tally, concurrency))
    seconds = time.monotonic() - started
    gc.collect()
    left = descriptors() - before
    pipe.send("stop")
    seen = pipe.recv()
    server.join()
    growth = max(tally.memory) - tally.memory[0]
    arrived: Counter[str] = Counter(seen["ids"])
    # An attempt over a connection that the server was closing, or that was refused, does not reach its log.
    lost = tally.attempts - arrived
    checks = {
        "every request ended": sum(tally.outcomes.values()) == total,
        "in an answer of its own or a typed error": not [k for k in tally.outcomes if k[:5] in {"WRONG", "UNTYP"}],
        "the recorder was told of each once": sorted(tally.begun) == sorted(tally.finished_runs)
        and len(set(tally.begun)) == len(tally.begun) == total,
        "the server saw every request": set(arrived) == set(tally.begun),
        "and nothing that was not counted": not arrived - tally.attempts,
        "attempts counted and logged agree": tally.attempts.total() - lost.total() == seen["posts"],
        f"memory grew by less than {MOST_GROWTH_MB:g} MB": growth < MOST_GROWTH_MB,
        "no file descriptor is left": left == 0,
        "no connection is left at the server": seen["open"] == 0,
    }
    return {
        "way": way,
        "requests": total,
        "concurrency": concurrency,
        "seconds": round(seconds, 1),
        "requests_per_s": round(total / seconds, 1),
        "outcomes": dict(tally.outcomes.most_common()),
        "attempts": tally.attempts.total(),
        "posts_in_the_servers_log": seen["posts"],
        "attempts_that_never_arrived": lost.total(),
        "most_attempts": max(tally.attempts.values()),
        "memory_mb": [round(value, 1) for value in tally.memory],
        "memory_growth_mb": round(growth, 1),
        "descriptors_left": left,
        "wrong": tally.wrong[:5] + [what for what, held in checks.items() if not held],
    }


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--way", choices=("sync", "async", "both"), default="both")
    given = parser.parse_args()
    bad = False
    for way in ("sync", "async") if given.way == "both" else (given.way,):
        measured = soak(way, given.requests, given.concurrency)
        bad = bad or bool(measured["wrong"])
        print(json.dumps(measured, indent=1), flush=True)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
