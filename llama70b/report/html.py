"""The report as one static page: no script, nothing loaded from anywhere."""

from __future__ import annotations

from html import escape

from llama70b.report.advice import Advice
from llama70b.report.figures import Container, Usage
from llama70b.report.plots import all_plots
from llama70b.report.words import advice_lines, hours, money

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; background: #f4f6f8; margin: 0; }
main { max-width: 980px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 2px; }
.sub, .note { color: #56636f; margin: 0 0 12px; font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 16px 0; }
.tile, section { background: #fff; border: 1px solid #dfe4e8; border-radius: 8px; padding: 12px 16px; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.tile span { color: #56636f; font-size: .85rem; }
.plots { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; }
.plots section.wide, .wide { grid-column: 1 / -1; }
section { margin: 0 0 12px; overflow-x: auto; } .plots section { margin: 0; } .plots + .note { margin-top: 16px; }
svg { width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 8px; border-bottom: 1px solid #e8ecef; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 16ch; }
th { color: #56636f; font-weight: 600; } ul { margin: 4px 0; padding-left: 20px; }
@media (max-width: 720px) { .plots { grid-template-columns: 1fr; } }
"""
_NARROW = frozenset({"Time to first token", "Speed"})


def page(found: Usage, advice: Advice) -> str:
    """Return the whole page.

    Args:
        found: The figures.
        advice: What is made of them.

    Raises:
        MissingExtra: Matplotlib is not installed.
    """
    plots = "".join(
        f'<section class="{"" if title in _NARROW else "wide"}"><h2>{escape(title)}</h2>'
        f'<p class="note">{escape(note)}</p>{svg}</section>'
        for title, note, svg in all_plots(found, advice.windows())
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in advice_lines(advice))
    span = f"{found.since} to {found.until}" if found.since else "no runs"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>llama70b usage</title><style>{_STYLE}</style></head><body><main>"
        f'<h1>llama70b usage</h1><p class="sub">{escape(span)}</p>'
        f'<div class="tiles">{"".join(_tiles(found))}</div>'
        f"<section><h2>What it cost</h2>{_table(found)}</section>"
        f"<section><h2>Advice</h2><ul>{lines}</ul></section>"
        f'<div class="plots">{plots}</div>'
        '<p class="note">Tokens are the server’s own counts unless marked; up-times are reconstructed from the runs '
        "of this ledger and are an estimate; what they cost is shared out exactly.</p></main></body></html>\n"
    )


def _tiles(found: Usage) -> list[str]:
    priced = [container.cost_usd for container in found.containers if container.cost_usd is not None]
    failed = found.runs - found.outcomes.get("answered", 0)
    starts = sum(container.starts for container in found.containers)
    tiles = [
        (f"{found.runs:,}", "runs" + (f", {failed} without an answer" if failed else "")),
        (money(sum(priced)) if priced else "–", "cost, boot and idle time included"),
        (f"{found.prompt_tokens + found.completion_tokens:,}", "tokens read and written"),
        (f"{starts}", f"cold starts, {hours(sum(c.wait_s for c in found.containers))} waited"),
    ]
    up = sum(container.up_s for container in found.containers)
    if up:
        idle = sum(container.idle_s for container in found.containers)
        tiles.append((f"{idle / up:.0%}", "of the up-time idle"))
    if found.dropped:
        tiles.append((f"{found.dropped}", "rows lost"))
    return [f'<div class="tile"><b>{escape(value)}</b><span>{escape(label)}</span></div>' for value, label in tiles]


def _table(found: Usage) -> str:
    head = (
        "endpoint", "runs", "up", "boot", "busy", "idle", "cost", "of it used", "per run", "per Mtok", "cheapest API"
    )  # fmt: skip
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(one))}</tr>" for one in found.containers
    )
    return f"<table><thead><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(one: Container) -> tuple[str, ...]:
    cheapest = next(iter(one.api_usd.values()), None)
    return (
        f"{one.model} at {one.endpoint}",
        f"{one.runs:,}",
        *(hours(seconds) for seconds in (one.up_s, one.boot_s, one.busy_s, one.idle_s)),
        money(one.cost_usd),
        money(one.usage_usd),
        money(one.usd_per_run),
        money(one.usd_per_mtok),
        money(cheapest),
    )
