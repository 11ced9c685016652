"""Write the report as Markdown and as one page of HTML that needs nothing else. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from llama70b.evaluation._plots import INK, Plot
from llama70b.evaluation._tables import NOT_RUN, Table, about, tables

TITLE = "Syllogisms: models, prompts and agents"
_MODEL_NOTE = "Not run here: {names}. Their places are kept; nothing is estimated for them."


def markdown(report: Mapping[str, Any], plots: Sequence[Plot]) -> str:
    """Return the report as Markdown; the pictures are files beside it."""
    lines = [f"# {TITLE}", "", "Written by `llama70b syllogism eval`; docs/evaluation.md says how to repeat it.", ""]
    lines += [f"- **{name}**: {value}" for name, value in about(report)]
    lines += ["", *_not_run(report)]
    by_key = {plot.key: plot for plot in plots}
    for table in tables(report):
        lines += [f"## {table.title}", "", table.intro, ""]
        plot = by_key.get(table.plot or "")
        if plot is not None:
            lines += [f"![{plot.title}]({plot.key}.svg)", "", f"Numbers: [{plot.key}.csv]({plot.key}.csv)", ""]
        if table.key == "map":
            continue  # 64 rows: in the CSV and on the page
        lines.append("| " + " | ".join(_cell(name) for name in table.columns) + " |")
        lines.append("|---|" + "---:|" * (len(table.columns) - 1))
        lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in table.rows]
        lines.append("")
    return "\n".join(lines)


def _not_run(report: Mapping[str, Any]) -> list[str]:
    if not report["not_run"]:
        return []
    return [_MODEL_NOTE.format(names=", ".join(report["not_run"])), ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


_STYLE = """
:root { color-scheme: light dark; --ink: #1a1b1d; --paper: #fdfdfc; --line: #d8d9dc; --soft: #5b5e64; --row: #f3f4f5 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e9eb; --paper: #17181a; --line: #3a3c40; --soft: #a6a9af; --row: #1f2023 }
}
* { box-sizing: border-box }
body { color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 72rem; padding: 1.5rem }
h1 { font-size: 1.6rem; margin: 0 0 .5rem } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem }
p { max-width: 48rem; margin: .4rem 0 } .soft, caption { color: var(--soft) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0 }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .88rem; margin: .6rem 0 }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: right; vertical-align: bottom;
  font-variant-numeric: tabular-nums; white-space: nowrap }
th { font-weight: 600; white-space: normal; min-width: 4.2rem } tbody tr:hover { background: var(--row) }
th:first-child, td:first-child { text-align: left } .none td { color: var(--soft); font-style: italic }
figure { margin: .8rem 0; overflow-x: auto } figure svg { max-width: 100%; height: auto; min-width: 34rem }
summary { cursor: pointer } a { color: inherit }
"""


def page(report: Mapping[str, Any], plots: Sequence[Plot]) -> str:
    """Return the report as one HTML file: styles and pictures inside, nothing loaded, light and dark."""
    by_key = {plot.key: plot for plot in plots}
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in about(report))
    missing = "".join(f"<p>{escape(line)}</p>\n" for line in _not_run(report) if line)
    sections = "".join(_section(table, by_key.get(table.plot or "")) for table in tables(report))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(TITLE)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(TITLE)}</h1>\n<p class="soft">Written by <code>llama70b syllogism eval</code>; '
        f"docs/evaluation.md says how to repeat it.</p>\n<dl>\n{facts}</dl>\n{missing}{sections}"
        "</main>\n</body>\n</html>\n"
    )


def _section(table: Table, plot: Plot | None) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = "".join(_row(row) for row in table.rows)
    grid = f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n'
    if table.key == "map":
        grid = f"<details><summary>All 64 pairs as a table</summary>\n{grid}</details>\n"
    return (
        f'<section id="{table.key}">\n<h2>{escape(table.title)}</h2>\n<p>{escape(table.intro)}</p>\n'
        f"{_figure(plot) if plot else ''}{grid}</section>\n"
    )


def _row(cells: Sequence[str]) -> str:
    kind = ' class="none"' if NOT_RUN in cells else ""
    return f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>\n"


def _figure(plot: Plot) -> str:
    """Return the picture as part of the page: its text in the page's colour, its ids its own."""
    svg = plot.svg_clear[plot.svg_clear.index("<svg") :]
    svg = svg.replace(INK, "currentColor").replace("DejaVu Sans", "system-ui")
    svg = re.sub(r'\bid="', f'id="{plot.key}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{plot.key}-", svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(plot.title)}" ', 1)
    return (
        f'<figure>\n{svg}\n<figcaption class="soft">{escape(plot.title)}. '
        f'Numbers: <a href="{plot.key}.csv">{plot.key}.csv</a></figcaption>\n</figure>\n'
    )
