"""Results as Markdown: speed with its roofline and price, and starts phase by phase."""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.serve.boot import PHASES
from benchmarks.serve.configs import PLANS, Config, profile_for
from server.capacity import roofline_tok_s, usd_per_second
from server.hardware import GPUS

_METHOD = (
    "Dummy weights of the real shape. Closed loop, streaming, prompt and answer lengths as in the JSON, `ignore_eos`; "
    "median of the rounds, their range beside it."
)
_CONFIGS: dict[str, Config] = {c.name: c for stages in PLANS.values() for stage in stages for c in stage}


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def speed_table(results: list[dict[str, Any]], gpu_name: str) -> str:
    """One line per config and concurrency.

    The roofline is the bandwidth bound of one stream; `$/Mtok` is the list price of GPUs, CPU and memory over the
    throughput, without boot and idle.
    """
    rows = []
    for result in results:
        config = _CONFIGS.get(result["name"])
        if config is None or not result.get("load"):
            continue
        profile = profile_for(config, GPUS[gpu_name])
        roofline, price = roofline_tok_s(profile), usd_per_second(profile)
        for line in result["load"]:
            share = f"{100 * line['decode_tok_s'] / roofline:.0f} %" if line["concurrency"] == 1 else ""
            spread = f"{min(line['tok_s_rounds']):.0f}-{max(line['tok_s_rounds']):.0f}"
            rows.append(
                [
                    result["name"],
                    str(line["concurrency"]),
                    f"{line['tok_s']:.1f}",
                    spread,
                    f"{line['decode_tok_s']:.1f}",
                    f"{roofline:.0f}" if share else "",
                    share,
                    f"{line['ttft_ms']['p50']:.0f} / {line['ttft_ms']['p95']:.0f}",
                    f"{line['itl_ms']['p50']:.1f} / {line['itl_ms']['p95']:.1f} / {line['itl_ms']['p99']:.1f}",
                    f"{price / line['tok_s'] * 1e6:.2f}",
                ]
            )
    head = [
        "config",
        "callers",
        "tok/s",
        "rounds",
        "tok/s per caller",
        "roofline",
        "share",
        "TTFT ms p50 / p95",
        "ITL ms p50 / p95 / p99",
        "$/Mtok",
    ]
    return _table(head, rows) if rows else "No speed was measured."


def start_table(results: list[dict[str, Any]]) -> str:
    """One line per start: seconds to healthy, to the first token, and each phase."""
    seen = {name for result in results for name in result.get("phases", {})}
    phases = [name for name in PHASES if name in seen]
    rows = []
    for result in results:
        if result.get("skipped"):
            rows.append([result["name"], "not run", *[""] * (len(phases) + 3)])
            continue
        marks, figures = result.get("marks", {}), result.get("figures", {})
        single = next((line["decode_tok_s"] for line in result.get("load") or [] if line["concurrency"] == 1), None)
        rows.append(
            [
                result["name"],
                f"{marks['healthy']:.0f}" if "healthy" in marks else f"failed: {result.get('error', '')[:80]}",
                f"{marks['first_token']:.0f}" if "first_token" in marks else "",
                *(f"{result['phases'][name]:.1f}" if name in result.get("phases", {}) else "" for name in phases),
                f"{figures['kv_tokens']:,.0f}" if "kv_tokens" in figures else "",
                f"{single:.1f}" if single else "",
            ]
        )
    return _table(["start", "healthy s", "first token s", *phases, "KV tokens", "tok/s, one caller"], rows)


def render(document: dict[str, Any]) -> str:
    """The whole report.

    Args:
        document: What `bench` wrote.

    Returns:
        Markdown.
    """
    machine, results = document["machine"], document["results"]
    dropped = sorted({flag for result in results for flag in result.get("dropped", [])})
    lines = [
        f"# {document['plan']}: {machine['gpus']} x {machine['gpu']}, vLLM {machine['vllm']}, {document['date']}",
        f"torch {machine['torch']}, driver {machine['driver']}, {machine['cpus']} cores. {_METHOD}",
        f"Flags and variables of ours that this vLLM does not know, left out: {', '.join(dropped) or 'none'}.",
        speed_table(results, machine["gpu"]),
        start_table(results),
    ]
    return "\n\n".join(lines) + "\n"


def main() -> None:
    """Command line: JSON in, Markdown out."""
    parser = argparse.ArgumentParser(description="Render results of benchmarks.serve.bench as Markdown.")
    parser.add_argument("results", type=Path)
    print(render(json.loads(parser.parse_args().results.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
