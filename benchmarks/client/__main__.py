"""Measure our clients beside their peers on a loopback server: `python -m benchmarks.client` (`make bench`).

Prints tables; `--json FILE` writes every round of every figure; `--doc FILE` puts the tables between the marks of a
Markdown file (docs/performance.md). Needs the peers' environment (`make peers-env`); takes some ten minutes.
"""

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from benchmarks.client.measure import SECTIONS, Figure, default_python, run
from benchmarks.client.report import markdown, tables

BEGIN, END = "<!-- measured: python -m benchmarks.client -->", "<!-- /measured -->"
_PACKAGES = (
    *("httpx", "langchain-core", "langchain-openai", "langchain-llama-cpp", "openai"),
    *("llama-index-core", "llama-index-llms-openai-like", "pydantic"),
)


def versions(python: str) -> str:
    """Versions of what was measured."""
    code = f"from importlib.metadata import version as v; print(', '.join(f'{{n}} {{v(n)}}' for n in {_PACKAGES!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def about(python: str, rounds: int, load: tuple[float, float]) -> str:
    """Where, when and how."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    cores = f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}"
    return (
        f"{today}; {cores}; {versions(python)}. Medians of {rounds} interleaved rounds, least and most in brackets. "
        f"Load average of the machine (others worked on it) {load[0]:.1f} at the start, {load[1]:.1f} at the end."
    )


def write(document: Path, text: str) -> None:
    """Put the text between the document's marks."""
    old = document.read_text(encoding="utf-8")
    head, _, rest = old.partition(BEGIN)
    _, _, tail = rest.partition(END)
    document.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write every figure there")
    parser.add_argument("--doc", type=Path, help="write the tables into that document")
    parser.add_argument("--render", type=Path, nargs="+", help="do not measure: read what --json wrote")
    parser.add_argument("--python", default=default_python(), help="interpreter of the peers' environment")
    options = parser.parse_args()
    if options.render:
        saved = [json.loads(path.read_text(encoding="utf-8")) for path in options.render]
        found = [figure for document in saved for figure in document["figures"]]
        figures = [Figure(**{**figure, "rounds": tuple(figure["rounds"])}) for figure in found]
        said = "\n\n".join(dict.fromkeys(document["about"] for document in saved))
    else:
        if unknown := set(options.sections) - set(SECTIONS):
            parser.error(f"no such section: {', '.join(sorted(unknown))}")
        before = os.getloadavg()[0]

        def save(figures: list[Figure]) -> None:
            if options.json:
                said = about(options.python, options.rounds, (before, os.getloadavg()[0]))
                document = {"about": said, "figures": [asdict(figure) for figure in figures]}
                options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")

        figures = run(rounds=options.rounds, python=options.python, sections=options.sections or SECTIONS, save=save)
        said = about(options.python, options.rounds, (before, os.getloadavg()[0]))
    console = Console()
    for table in tables(figures):
        console.print(table)
    text = markdown(figures, said)
    if options.doc:
        write(options.doc, text)
    console.print(text.split("### ")[1], markup=False)
    sys.exit(any(figure.failed for figure in figures))


if __name__ == "__main__":
    main()
