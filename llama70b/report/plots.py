"""The plots of the report, as SVG text; drawn by matplotlib, the same every time for the same figures."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from llama70b.errors import MissingExtra
from llama70b.report.figures import Day, Spread, Usage

# Okabe and Ito's colours, which people with colour-blindness can tell apart (jfly.uni-koeln.de/color).
BOOT, BUSY, IDLE, NOW, ADVISED = "#D55E00", "#0072B2", "#B8C4CE", "#555555", "#009E73"
_WIDE = (9.0, 3.2)
_LEAST_DAYS = 7
_TIMES = ((0.1, "0.1 s"), (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (86_400, "1 d"))
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_STYLE: Any = {
    "svg.hashsalt": "llama70b",  # else the ids inside differ from run to run
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e3e6e9",
    "figure.constrained_layout.use": True,
}


def _drawn(draw: Callable[[Any, Any], None], size: tuple[float, float] = _WIDE) -> str:
    """Return the SVG that `draw(figure, axes)` makes, without XML header, date or any file's name."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra, and half a second to load
        from matplotlib.figure import Figure  # noqa: PLC0415 - as above
    except ImportError as error:
        raise MissingExtra("The report's plots", "report") from error
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size)
        draw(figure, figure.subplots())
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def cost_by_day(days: Sequence[Day], *, dollars: bool) -> str:
    """Draw every day's boot, busy and idle part, stacked."""
    names = _all_days(min(day.day for day in days), max(day.day for day in days))
    parts: dict[str, list[float]] = {"busy": [], "boot": [], "idle": []}
    for name in names:
        for part, values in parts.items():
            values.append(sum(getattr(day, part) for day in days if day.day == name))

    def draw(_figure: Any, axes: Any) -> None:
        bottom = [0.0] * len(names)
        for part, colour in (("busy", BUSY), ("boot", BOOT), ("idle", IDLE)):
            axes.bar(range(len(names)), parts[part], 0.8, bottom=bottom, color=colour, label=part)
            bottom = [below + value for below, value in zip(bottom, parts[part], strict=True)]
        step = max(1, len(names) // 12)
        axes.set_xticks(range(0, len(names), step), [name[5:] for name in names[::step]])
        axes.set_xlim(-0.6, max(len(names), _LEAST_DAYS) - 0.4)  # a single day is no wall
        axes.set_ylabel("dollars" if dollars else "hours up (no price is known)")
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))

    return _drawn(draw)


def _all_days(first: str, last: str) -> list[str]:
    """Return all days from the first to the last, those without runs too."""
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return [(begin + timedelta(days=number)).isoformat() for number in range((end - begin).days + 1)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def percentiles(title: str, spreads: Mapping[str, Spread], *, log: bool) -> str:
    """Draw p50, p95 and p99, cold beside warm."""

    def draw(_figure: Any, axes: Any) -> None:
        states = [state for state in ("warm", "cold") if state in spreads]
        for number, state in enumerate(states):
            spread = spreads[state]
            values = (spread.p50, spread.p95, spread.p99)
            places = [place + (number - (len(states) - 1) / 2) * 0.38 for place in range(3)]
            colour = BOOT if state == "cold" else BUSY
            bars = axes.bar(places, values, 0.36, color=colour, label=f"{state} ({spread.count} runs)")
            axes.bar_label(bars, fmt=_short, padding=2, fontsize=8)
        axes.set_xticks(range(3), ["p50", "p95", "p99"])
        axes.set_ylabel(title)
        if log:
            axes.set_yscale("log")
        axes.margins(y=0.15)
        axes.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))

    return _drawn(draw, (4.4, 2.9))


def routing(counts: Sequence[tuple[str, str, int]]) -> str:
    """Draw how many runs went where, and why."""
    shown = counts[:12][::-1]
    names = sorted({served for served, _, _ in counts})
    colours = dict(zip(names, (BUSY, ADVISED, BOOT, IDLE, NOW) * len(names), strict=False))

    def draw(_figure: Any, axes: Any) -> None:
        total = sum(count for _, _, count in counts)
        bars = axes.barh(
            range(len(shown)), [count for *_, count in shown], color=[colours[served] for served, _, _ in shown]
        )
        axes.bar_label(bars, [f"{count} ({count / total:.0%})" for *_, count in shown], padding=3, fontsize=8)
        axes.set_yticks(range(len(shown)), [f"{served.rsplit('/', 1)[-1]}: {reason}" for served, reason, _ in shown])
        axes.set_xlabel("runs")
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.15)

    return _drawn(draw, (9.0, 0.9 + 0.32 * len(shown)))


def gap_histogram(gaps_s: Sequence[float], current_s: float, advised_s: float | None, break_even_s: float) -> str:
    """Draw how long the pauses without work are, on a logarithmic axis, with the windows in it."""

    def draw(_figure: Any, axes: Any) -> None:
        least, most = max(0.01, min(gaps_s)), max(*gaps_s, current_s, advised_s or 0.0) * 1.2
        ratio = (most / least) ** (1 / 40)
        axes.hist(gaps_s, bins=[least * ratio**step for step in range(41)], color=IDLE)
        axes.set_xscale("log")
        ticks = [(at, name) for at, name in _TIMES if least <= at <= most]
        axes.set_xticks([at for at, _ in ticks], [name for _, name in ticks])
        axes.minorticks_off()
        axes.set_xlabel("time without work before the next run")
        axes.set_ylabel("pauses")
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.axvline(current_s, color=NOW, label=f"window now: {current_s:g} s")
        axes.axvline(break_even_s, color=BOOT, linestyle=":", label=f"break-even: {break_even_s:.0f} s")
        if advised_s is not None:
            axes.axvline(advised_s, color=ADVISED, linestyle="--", label=f"recommended: {advised_s:g} s")
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))

    return _drawn(draw)


def heat_map(counts: Sequence[int]) -> str:
    """Draw the runs of every hour of the week, UTC."""

    def draw(figure: Any, axes: Any) -> None:
        grid = [list(counts[day * 24 : day * 24 + 24]) for day in range(7)]
        image = axes.imshow(grid, aspect="auto", cmap="Blues", vmin=0, vmax=max(1, *counts))
        axes.set_yticks(range(7), _WEEKDAYS)
        axes.set_xticks(range(0, 24, 3), [f"{hour:02d}:00" for hour in range(0, 24, 3)])
        axes.grid(visible=False)
        figure.colorbar(image, ax=axes, label="runs", pad=0.01)

    return _drawn(draw, (9.0, 2.8))


def all_plots(found: Usage, windows: Mapping[str, tuple[float, float | None, float]]) -> list[tuple[str, str, str]]:
    """Return (heading, note, SVG) of every plot there is something to show in.

    Args:
        found: The figures.
        windows: By endpoint: the window now, the one recommended, the break-even one, in seconds.
    """
    plots = []
    priced = any(container.price_per_hour is not None for container in found.containers)
    if found.days:
        note = "What the container was up for. Idle is the time between answers until it sleeps."
        plots.append(("Cost per day" if priced else "Up-time per day", note, cost_by_day(found.days, dollars=priced)))
    if found.first_token_s:
        plot = percentiles("seconds to the first token", found.first_token_s, log=True)
        plots.append(("Time to first token", "Streams only. Cold includes the wait for the boot.", plot))
    if found.tokens_per_s:
        plot = percentiles("tokens per second", found.tokens_per_s, log=False)
        plots.append(("Speed", "Tokens written per second of one answer, after its first.", plot))
    if found.routing:
        plots.append(("Routing", "Which model answered, and why.", routing(found.routing)))
    for endpoint, gaps_s in found.gaps_s.items():
        if len(gaps_s) > 1 and endpoint in windows:
            now, advised, even = windows[endpoint]
            title = "Pauses" if len(found.gaps_s) == 1 else f"Pauses of {endpoint}"
            note = "A pause longer than the window ends with a cold start."
            plots.append((title, note, gap_histogram(gaps_s, now, advised, even)))
    if found.runs:
        plots.append(("Hour of the week", "Runs by the hour they began in, UTC.", heat_map(found.heat)))
    return plots
