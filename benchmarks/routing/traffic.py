"""A ledger filled by real traffic: both adapters, a real engine that really stops and starts, seeded pauses.

    python -m benchmarks.routing.traffic --minutes 60 --ledger usage.sqlite3

At the end it compares the ledger with what happened: a row for every request, and the reconstructed up-times with
those that the front kept. The engine is the small local one: its answers and its speed say nothing of the 70B's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.routing.scale_to_zero import KEY, ScaleToZero, serving
from benchmarks.routing.stand_in import StandIn
from langchain_llama70b import ChatLlama70B
from llama70b import Llama70BError, set_default_recorder
from llama70b.cost import Deployment, Price, cycles
from llama70b.endpoint import DEFAULT_MODEL
from llama70b.ledger import NS, Ledger, LedgerRecorder, attributed
from llama70b.local import LocalEngine
from llama70b.report.figures import usage
from llamaindex_llama70b import Llama70B

QUESTIONS = ("Say hello.", "Name a colour.", "Count to five.", "What is rain?", "Is ice cold?", "Spell cat.")
PRICE = Price.per_hour(5.0, "as if it were two A100s")
Way = Callable[[ChatLlama70B, Llama70B, str], Any]


def _left_early(chain: ChatLlama70B, _index: Llama70B, question: str) -> None:
    stream = chain.stream(question)
    next(stream)
    stream.close()  # type: ignore[attr-defined]


WAYS: tuple[tuple[int, str, int, Way], ...] = (  # weight, name, runs, how
    (4, "langchain invoke", 1, lambda chain, _, question: chain.invoke(question)),
    (4, "langchain stream", 1, lambda chain, _, question: list(chain.stream(question))),
    (2, "langchain ainvoke", 1, lambda chain, _, question: asyncio.run(_awaited(chain.ainvoke(question)))),
    (1, "langchain batch", 2, lambda chain, _, question: chain.batch([question, "And now?"])),
    (1, "langchain left early", 1, _left_early),
    (3, "llamaindex complete", 1, lambda _, index, question: index.complete(question)),
    (3, "llamaindex stream", 1, lambda _, index, question: list(index.stream_complete(question))),
    (1, "llamaindex acomplete", 1, lambda _, index, question: asyncio.run(_awaited(index.acomplete(question)))),
)


async def _awaited(coroutine: Any) -> Any:
    return await coroutine


def drive(url: str, minutes: float, seed: int, window_s: float) -> tuple[Counter[str], int]:
    """Ask for so long; return how often each way was taken, and how many runs that should have been."""
    rng, taken, runs = random.Random(seed), Counter[str](), 0
    options: dict[str, Any] = {
        "base_url": url,
        "api_key": KEY,
        "max_tokens": 16,
        "progress_bar": False,
        "price_per_hour": PRICE.dollars_per_hour,
    }
    chain, index = ChatLlama70B(**options), Llama70B(**options, context_window=4096)
    until = time.monotonic() + minutes * 60
    while time.monotonic() < until:
        with attributed(session=f"s{taken.total()}"):
            for turn in range(rng.randint(1, 5)):
                if turn:
                    time.sleep(min(rng.lognormvariate(1.0, 0.7), window_s / 2))
                _weight, name, count, way = rng.choices(WAYS, [way[0] for way in WAYS])[0]
                taken[name] += 1
                runs += count
                try:
                    way(chain, index, rng.choice(QUESTIONS))
                except Llama70BError as error:
                    taken[f"{name}: {type(error).__name__}"] += 1
                if time.monotonic() > until:
                    break
        time.sleep(rng.choice((0.3, 0.6, 1.2, 2.0)) * window_s)
    return taken, runs


def main() -> None:
    parser = argparse.ArgumentParser(description="A ledger filled by real traffic with cold starts.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--window", type=float, default=25.0, help="seconds without work until the engine is stopped")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--lock", type=Path, help="a lock file to hold while the engine runs")
    parser.add_argument("--stand-in", type=float, metavar="LOAD_S", help="no engine: made-up answers, real processes")
    options = parser.parse_args()
    load_s = options.stand_in
    options.make = (
        (lambda: LocalEngine(threads=1, progress=False, served_names=[DEFAULT_MODEL]))
        if load_s is None
        else (lambda: StandIn(load_s))
    )
    recorder = LedgerRecorder(options.ledger)
    set_default_recorder(recorder)
    front = ScaleToZero(options.window, options.make, lock=options.lock)
    begun = time.time_ns()
    with serving(front) as url:
        taken, runs = drive(url, options.minutes, options.seed, options.window)
    recorder.close()
    rows = Ledger(options.ledger).runs(since_ns=begun)
    found = cycles(rows, options.window)
    true_up = sum(until - since for since, _, until in front.up)
    figures = usage(
        rows, deployment_of=lambda _: Deployment(PRICE, options.window, 10.0, "70b", "the benchmark")
    ).containers[0]
    report = {
        "engine": "the small local one" if load_s is None else f"a stand-in that loads for {load_s:g} s",
        "minutes": round((time.time_ns() - begun) / NS / 60, 1),
        "asked": dict(taken.most_common()),
        "runs_expected": runs,
        "rows": len(rows),
        "outcomes": dict(Counter(row.outcome for row in rows)),
        "dropped": recorder.dropped,
        "cold_rows": sum(row.cold for row in rows),
        "boots_true": len(front.up),
        "boots_reconstructed": sum(bool(cycle.boot_ns) for cycle in found),
        "up_s_true": round(true_up / NS, 1),
        "up_s_reconstructed": round(figures.up_s, 1),
        "reconstructed_over_true": round(figures.up_s * NS / true_up, 4) if true_up else None,
        "boot_s_true": round(sum(ready - since for since, ready, _ in front.up) / NS, 1),
        "boot_s_reconstructed": round(figures.boot_s, 1),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
