"""The tutorials as files: `.py` (jupytext's percent format) is the source, `.ipynb` is made of it; both are committed.

python -m tests.notebooks.notebook       # write every .ipynb anew, after an edit of a .py
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
CELL_TIMEOUT_S = 240

_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def sources() -> list[Path]:
    """Return the tutorials' sources, in reading order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.py"))


def from_source(source: Path) -> NotebookNode:
    """Return the notebook that a source describes: no outputs, and the same source gives the same file."""
    made = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    book: NotebookNode = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        metadata={"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    )
    for number, cell in enumerate(made.cells, start=1):
        cell.id = f"cell-{number:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        book.cells.append(cell)
    book.nbformat, book.nbformat_minor = 4, 5
    nbformat.validate(book)
    return book


def as_text(book: NotebookNode) -> str:
    """Return a notebook as the text of its file."""
    text: str = nbformat.writes(book, version=4)  # type: ignore[no-untyped-call]
    return text + "\n"


def execute(book: NotebookNode, environ: Mapping[str, str], *, cell_timeout_s: int = CELL_TIMEOUT_S) -> float:
    """Run a notebook from top to bottom in a kernel of its own, in place.

    Args:
        book: Keeps the outputs, also those of a cell that fails.
        environ: For the kernel, beside this process's.
        cell_timeout_s: Most seconds of one cell.

    Returns:
        Seconds it took.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed; the message holds it and its traceback.
    """
    from nbclient import NotebookClient

    began = time.monotonic()
    with warnings.catch_warnings():  # Jupyter's own parts warn of each other; what our cells warn of is in the outputs
        warnings.simplefilter("ignore")
        client = NotebookClient(
            book,
            timeout=cell_timeout_s,
            kernel_name="python3",
            coalesce_streams=True,
            resources={"metadata": {"path": str(FOLDER)}},
        )
        client.execute(env={**os.environ, **environ, "PYTHONPATH": str(ROOT)})
    return time.monotonic() - began


def main() -> int:
    """Write the notebooks."""
    for source in sources():
        target = source.with_suffix(".ipynb")
        target.write_text(as_text(from_source(source)), encoding="utf-8")
        print(target.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
