"""The three pictures of the report, on matplotlib (extra `[report]`), each with its numbers as CSV.

The same report gives the same bytes. Text stays text, so that the page can give it the reader's colours.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llama70b.evaluation._human import FIGURES, HUMAN_PERCENT
from llama70b.local._extra import load

INK = "#101112"
"""Colour of all text and lines outside the data; the page replaces it by the reader's text colour."""
_WHAT = "The report of an evaluation"
_BLUE, _ORANGE, _GREEN, _PURPLE = "#4477aa", "#ee8866", "#44aa88", "#aa6699"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "llama70b",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_PANELS_A_ROW = 6
_MOODS = tuple(HUMAN_PERCENT)


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture and its numbers.

    Attributes:
        key: Its name, and that of its files.
        title: For people who see it and people who do not.
        svg: On white.
        svg_clear: Without a background, for the page.
        png: On white.
        csv: The numbers in it.
    """

    key: str
    title: str
    svg: str
    svg_clear: str
    png: bytes
    csv: str


def plots(report: Mapping[str, Any]) -> list[Plot]:
    """Draw the pictures; one that has nothing to show is left out.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    makers: list[Callable[[Any, Mapping[str, Any]], tuple[Any, str, str, list[list[Any]]] | None]] = [
        _accuracy,
        _content,
        _map,
    ]
    matplotlib = load("matplotlib", _WHAT, "report")
    figures = load("matplotlib.figure", _WHAT, "report")
    made = []
    with matplotlib.rc_context(_STYLE):
        for make in makers:
            drawn = make(figures.Figure, report)
            if drawn is not None:
                figure, key, title, rows = drawn
                made.append(
                    Plot(
                        key,
                        title,
                        svg=_svg(figure, transparent=False),
                        svg_clear=_svg(figure, transparent=True),
                        png=_png(figure),
                        csv=_csv(rows),
                    )
                )
    return made


def _svg(figure: Any, *, transparent: bool) -> str:
    text = io.StringIO()
    # The backend is named: no display is needed, and no user's matplotlibrc can change it.
    figure.savefig(text, format="svg", backend="svg", transparent=transparent, metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _png(figure: Any) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", backend="agg", dpi=150, metadata={"Software": None})
    return data.getvalue()


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _accuracy(figure_of: Any, report: Mapping[str, Any]) -> tuple[Any, str, str, list[list[Any]]] | None:
    arms = report["arms"]
    if not arms:
        return None
    series = [
        ("all items", "accuracy", _BLUE),
        ("valid", "accuracy_valid", _GREEN),
        ("invalid", "accuracy_invalid", _ORANGE),
    ]
    rows: list[list[Any]] = [["arm", "items", "right", "asked", "share", "wilson_low", "wilson_high"]]
    rows += [[arm["label"], name, *arm[field].values()] for arm in arms for name, field, _ in series]
    figure = figure_of(figsize=(8.2, 1.3 + 0.62 * len(arms)), layout="constrained")
    axes = figure.subplots()
    for offset, (name, field, colour) in zip((-0.26, 0.0, 0.26), series, strict=True):
        shown = [(place + offset, arm[field]) for place, arm in enumerate(arms) if arm[field]["asked"]]
        values = [100 * share["share"] for _, share in shown]
        whiskers = [
            [100 * max(0.0, share["share"] - share["low"]) for _, share in shown],
            [100 * max(0.0, share["high"] - share["share"]) for _, share in shown],
        ]
        axes.barh(
            [place for place, _ in shown], values, height=0.24, color=colour, label=name,
            xerr=whiskers, ecolor=INK, capsize=2, error_kw={"elinewidth": 0.9},
        )  # fmt: skip
    axes.axvline(50, color=INK, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(arms)), [_titled(arm) for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("right, percent, with 95 % Wilson interval; no answer counts as wrong; dotted: a constant answer")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure, "accuracy", "Share of right judgements of each arm, over all, valid and invalid items", rows


def _titled(arm: Mapping[str, Any]) -> str:
    return f"{arm['label']} (n = {arm['asked']})"


def _content(figure_of: Any, report: Mapping[str, Any]) -> tuple[Any, str, str, list[list[Any]]] | None:
    arms = [arm for arm in report["arms"] if all(value is not None for value in arm["content"]["cells"].values())]
    if not arms:
        return None
    cells = list(arms[0]["content"]["cells"])
    rows: list[list[Any]] = [["arm", *(f"{cell} percent" for cell in cells), "belief_bias_points", "tce_points"]]
    rows += [[a["label"], *a["content"]["cells"].values(), a["content"]["bias"], a["content"]["total"]] for a in arms]
    figure = figure_of(figsize=(8.2, 1.3 + 0.42 * len(arms)), layout="constrained")
    axes = figure.subplots()
    markers = zip(cells, (_GREEN, _PURPLE, _BLUE, _ORANGE), "osD^", (-0.18, -0.06, 0.06, 0.18), strict=True)
    for place in range(len(arms)):
        axes.axhline(place, color=INK, linewidth=0.3, alpha=0.35)
    for cell, colour, marker, offset in markers:
        values = [arm["content"]["cells"][cell] for arm in arms]
        places = [place + offset for place in range(len(arms))]
        axes.plot(values, places, linestyle="none", marker=marker, color=colour, markersize=6.5, label=cell,
                  clip_on=False)  # fmt: skip
    axes.set_yticks(range(len(arms)), [_titled(arm) for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("right, percent; four marks on one spot: the judgement does not depend on the content")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure, "content", "Accuracy by validity and by whether the conclusion is true in the real world", rows


def _map(figure_of: Any, report: Mapping[str, Any]) -> tuple[Any, str, str, list[list[Any]]] | None:
    cells = {row["pair"]: row for row in report["map"]}
    labels = [arm["label"] for arm in report["arms"] if any(arm["label"] in row["arms"] for row in cells.values())]
    if not labels:
        return None
    rows: list[list[Any]] = [["pair", "has_a_valid_conclusion", "human_percent"]]
    rows[0] += [f"{name} {what}" for name in labels for what in ("right", "asked")]
    for row in cells.values():
        counted = [count for name in labels for count in row["arms"].get(name, ("", 0))]
        rows.append([row["pair"], row["has_a_valid_conclusion"], row["human_percent"], *counted])
    covered = [name for name in labels if sum(name in row["arms"] for row in cells.values()) >= len(cells) // 2]
    panels = ["people (what follows?)", *covered]
    lines = -(-len(panels) // _PANELS_A_ROW)
    columns = -(-len(panels) // lines)  # rows of about the same length
    figure = figure_of(figsize=(1.0 + 1.62 * columns, 0.9 + 3.75 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    image = None
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_axis_off()
            continue
        image = _panel(axes, panels[place], cells, first=place % columns == 0)
    bar = figure.colorbar(image, ax=grid, location="bottom", shrink=0.5, aspect=40, pad=0.02)
    bar.set_label("right, percent (empty: not asked; framed: pairs that have a valid conclusion)")
    return (
        figure,
        "map",
        "Share of right answers on the 64 pairs of premises, 16 moods by 4 figures, beside people's",
        rows,
    )


def _panel(axes: Any, name: str, cells: Mapping[str, Mapping[str, Any]], *, first: bool) -> Any:
    values: list[list[float]] = []
    for mood in _MOODS:
        shares = []
        for figure in FIGURES:
            row = cells[f"{mood}{figure}"]
            right, asked = row["arms"].get(name, (0, 0))
            people = name.startswith("people")
            shares.append(row["human_percent"] if people else 100 * right / asked if asked else float("nan"))
        values.append(shares)
    # Not imshow: cells stay vectors in the SVG.
    image = axes.pcolormesh(
        range(len(FIGURES)), range(len(_MOODS)), values, shading="nearest", cmap="cividis", vmin=0, vmax=100
    )
    axes.set_ylim(len(_MOODS) - 0.5, -0.5)
    for line, shares in enumerate(values):
        for column, value in enumerate(shares):
            pair = f"{_MOODS[line]}{FIGURES[column]}"
            if value != value:  # noqa: PLR0124 - not a number: not asked
                continue
            counted = cells[pair]["arms"].get(name)
            text = f"{value:.0f}" if counted is None else f"{counted[0]}/{counted[1]}"
            colour = "#ffffff" if value < 55 else "#000000"  # noqa: PLR2004 - readable on either end of the scale
            axes.text(column, line, text, ha="center", va="center", fontsize=6.5, color=colour)
            if cells[pair]["has_a_valid_conclusion"]:
                _frame(axes, column, line)
    axes.set_xticks(range(len(FIGURES)), [str(figure) for figure in FIGURES], fontsize=7)
    axes.set_yticks(range(len(_MOODS)), _MOODS if first else [""] * len(_MOODS), fontsize=7)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(name.replace(" · ", "\n"), fontsize=8)
    axes.set_xlabel("figure", fontsize=8)
    if first:
        axes.set_ylabel("premises, in the order of the text", fontsize=8)
    return image


def _frame(axes: Any, column: int, line: int) -> None:
    patches = load("matplotlib.patches", _WHAT, "report")
    axes.add_patch(
        patches.Rectangle((column - 0.46, line - 0.45), 0.92, 0.9, fill=False, edgecolor="#dd3322", linewidth=1.2)
    )
