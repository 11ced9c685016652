"""Write the report of a run: Markdown, one HTML page, JSON, pictures and their CSV. Needs the extra `[report]`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from llama70b.errors import MissingExtra
from llama70b.evaluation._analysis import analyse
from llama70b.evaluation._journal import load_records, load_run
from llama70b.evaluation._pages import markdown, page
from llama70b.evaluation._plots import Plot, plots


def require_extra() -> None:
    """Make sure, before hours of answers, that the report can be written.

    Raises:
        MissingExtra: scipy or matplotlib is not installed.
    """
    if not all(map(find_spec, ("scipy", "matplotlib"))):
        raise MissingExtra("The report of an evaluation", "report")


def write_report(folder: Path) -> list[Path]:
    """Write the report of the run in a folder, into that folder. The same answers give the same files.

    Args:
        folder: A folder that `llama70b syllogism eval` made.

    Returns:
        The files written.

    Raises:
        ConfigurationError: The folder holds no run.
        MissingExtra: scipy or matplotlib is not installed.
    """
    report = analyse(load_run(folder), load_records(folder))
    drawn = plots(report)
    texts = {
        "report.md": markdown(report, drawn),
        "report.html": page(report, drawn),
        "report.json": json.dumps(report, ensure_ascii=False, indent=1) + "\n",
    }
    files = {name: text.encode() for name, text in texts.items()} | dict(_files(drawn))
    for name, data in files.items():
        draft = folder / f"{name}.part"
        draft.write_bytes(data)
        draft.replace(folder / name)
    return [folder / name for name in files]


def _files(drawn: list[Plot]) -> Iterator[tuple[str, bytes]]:
    for plot in drawn:
        yield f"{plot.key}.svg", plot.svg.encode()
        yield f"{plot.key}.png", plot.png
        yield f"{plot.key}.csv", plot.csv.encode()
