"""The clients against a running server: 1, 64 and 128 concurrent streams from one process each, one client at a time.

    python -m benchmarks.client.live --url http://127.0.0.1:8000/v1 --model NAME --out results --budget 300

Every client lives in a process of its own; in each round every client takes its turn at each load, in changing order,
so that drift of the server meets all of them. Saved after every round. `--site` names a folder of packages (`pack.sh`)
for a machine without network.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.client.children import Child, Failed
from benchmarks.client.subjects import Target

CLIENTS = ("httpx + json", "ChatLlama70B", "ChatOpenAI", "Llama70B", "OpenAILike")
RAW = CLIENTS[0]


def measure(child: Child, streams: int, tokens: int) -> dict[str, Any]:
    """One turn of one client.

    Args:
        child: The client's process.
        streams: How many at once.
        tokens: Tokens of each answer; the end of text is ignored, so that all have as many.

    Returns:
        Aggregate tokens a second, first-token times, CPU.
    """
    turn = child.order("load", streams=streams, mode="async", prompt_chars=400)
    first = sorted(turn["first_s"])
    return {
        "client": child.name,
        "streams": streams,
        "wall_s": round(turn["wall_s"], 3),
        "cpu_s": round(turn["cpu_s"], 3),
        "tok_s": round(streams * tokens / turn["wall_s"], 1),
        "first_ms_p50": round(1e3 * statistics.median(first), 1),
        "first_ms_p99": round(1e3 * first[min(len(first) - 1, round(0.99 * (len(first) - 1)))], 1),
        "pieces": turn["pieces"],
        "chars": turn["chars"],
        "threads": turn["threads"],
    }


def summarise(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the rounds, per client and load, and each against the raw reader of the same rounds."""
    lines = []
    for streams in sorted({turn["streams"] for turn in turns}):
        of_load = [turn for turn in turns if turn["streams"] == streams]
        by_round = {(turn["client"], turn["round"]): turn for turn in of_load}
        for client in dict.fromkeys(turn["client"] for turn in of_load):
            mine = [turn for turn in of_load if turn["client"] == client]
            shares = [
                turn["tok_s"] / by_round[RAW, turn["round"]]["tok_s"]
                for turn in mine
                if (RAW, turn["round"]) in by_round
            ]
            lines.append(
                {
                    "client": client,
                    "streams": streams,
                    "rounds": len(mine),
                    "tok_s": statistics.median(turn["tok_s"] for turn in mine),
                    "tok_s_rounds": [turn["tok_s"] for turn in mine],
                    "of_raw": round(statistics.median(shares), 4) if shares else None,
                    "first_ms_p50": statistics.median(turn["first_ms_p50"] for turn in mine),
                    "first_ms_p99": statistics.median(turn["first_ms_p99"] for turn in mine),
                    "cpu_share": round(statistics.median(turn["cpu_s"] / turn["wall_s"] for turn in mine), 3),
                    "cpu_us_per_piece": round(
                        1e6 * statistics.median(turn["cpu_s"] / max(1, turn["pieces"]) for turn in mine), 1
                    ),
                    "pieces_per_cpu_s": round(
                        statistics.median(turn["pieces"] / max(1e-9, turn["cpu_s"]) for turn in mine)
                    ),
                    "threads": max(turn["threads"] for turn in mine),
                }
            )
    return lines


_COLUMNS = {
    "streams": "streams",
    "client": "client",
    "tok/s": "tok_s",
    "of raw reader": "of_raw",
    "first token ms p50": "first_ms_p50",
    "p99": "first_ms_p99",
    "CPU of one core": "cpu_share",
    "CPU us/piece": "cpu_us_per_piece",
    "pieces/CPU s": "pieces_per_cpu_s",
    "rounds": "rounds",
}


def render(document: dict[str, Any]) -> str:
    """The table in Markdown."""
    rows = [list(_COLUMNS), ["---"] * len(_COLUMNS)]
    rows += [[str(line[key]) for key in _COLUMNS.values()] for line in document["summary"]]
    machine = ", ".join(f"{name} {value}" for name, value in document["machine"].items())
    problems = "".join(f"\n- failed: {text}" for text in document["failed"])
    return f"{document['date']}; {machine}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + problems + "\n"


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Rounds until they are done or the budget is."""
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="minutes"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "server": options.note},
        "tokens": options.tokens,
        "failed": [],
        "turns": [],
        "summary": [],
    }
    target = Target(options.url, options.model, options.tokens, {"ignore_eos": True, "temperature": 1.0})
    with contextlib.ExitStack() as stack:
        children = {
            name: stack.enter_context(Child(name, target, python=options.python, site=options.site))
            for name in options.clients
        }
        _warm(children, document)
        longest = 0.0
        for number in range(options.rounds):
            if time.monotonic() - began + longest > options.budget:
                break
            started = time.monotonic()
            _round(number, children, options, document)
            longest = max(longest, time.monotonic() - started)
            document["summary"] = summarise(document["turns"])
            (options.out / "live.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
            (options.out / "live.md").write_text(render(document), encoding="utf-8")
            print(f"[{time.monotonic() - began:5.0f} s] round {number}", flush=True)
    return document


def _warm(children: dict[str, Child], document: dict[str, Any]) -> None:
    """One answer each, so that imports and first connections are done; a client that cannot is left out."""
    for name in list(children):
        try:
            children[name].order("load", streams=8, mode="async")
        except Failed as error:
            document["failed"].append(str(error))
            print(f"left out: {error}", flush=True)
            del children[name]


def _round(number: int, children: dict[str, Child], options: argparse.Namespace, document: dict[str, Any]) -> None:
    names = list(children)
    for streams in options.streams:
        for name in names[number % len(names) :] + names[: number % len(names)]:
            try:
                turn = measure(children[name], streams, options.tokens)
            except Failed as error:
                document["failed"].append(f"round {number}, {streams} streams: {error}")
                continue
            document["turns"].append({"round": number, **turn})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="base URL with /v1")
    parser.add_argument("--model", required=True, help="served name")
    parser.add_argument("--out", type=Path, required=True, help="folder for live.json and live.md")
    parser.add_argument("--streams", type=lambda text: [int(part) for part in text.split(",")], default=[1, 64, 128])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=300, help="seconds; no round begins that would not fit")
    parser.add_argument("--site", type=Path, help="folder of packages for the clients")
    parser.add_argument("--python", default=sys.executable, help="the clients' interpreter")
    parser.add_argument("--clients", nargs="+", default=list(CLIENTS))
    parser.add_argument("--note", default="", help="what the server is, for the report")
    document = run(parser.parse_args())
    print(render(document))


if __name__ == "__main__":
    main()
