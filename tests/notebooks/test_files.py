"""The committed notebooks are what their sources say, carry no outputs, and hold nothing of anybody's machine."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.notebooks import render
from tests.notebooks.notebook import FOLDER, as_text, from_source, sources

EVERY = sources()
# Keys as they look, folders of a machine, registries' hosts; a loopback address is no secret.
PRIVATE = re.compile(
    r"\b(?:sk|wk|ws|hf|pypi)[-_][A-Za-z0-9]{12,}|(?:/home/|/root/|/Users/|/work/|/tmp/)\w|pypi\.org|[A-Z]:\\\\Users"
)


def committed(source: Path) -> NotebookNode:
    book: NotebookNode = nbformat.read(source.with_suffix(".ipynb"), as_version=4)  # type: ignore[no-untyped-call]
    return book


def test_there_are_tutorials_and_no_orphans() -> None:
    assert {path.stem for path in EVERY} >= {"01_quickstart", "02_langchain", "03_llamaindex", "04_reasoning"}
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {path.stem for path in EVERY}


@pytest.mark.parametrize("source", EVERY, ids=lambda path: path.stem)
class TestFiles:
    def test_pair(self, source: Path) -> None:
        """`python -m tests.notebooks.notebook` writes the notebooks anew."""
        assert source.with_suffix(".ipynb").read_text(encoding="utf-8") == as_text(from_source(source))

    def test_outputs_are_stripped(self, source: Path) -> None:
        for cell in committed(source).cells:
            assert not cell.get("outputs"), cell.source
            assert cell.get("execution_count") is None, cell.source

    def test_nothing_private(self, source: Path) -> None:
        for path in (source, source.with_suffix(".ipynb")):
            assert not (found := PRIVATE.findall(path.read_text(encoding="utf-8"))), found

    def test_a_tutorial(self, source: Path) -> None:
        """Prose before code, cells of one idea, and claims that are checked."""
        cells = committed(source).cells
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        assert cells[0].source.startswith("# "), "begins with a title"
        assert sum(cell.cell_type == "markdown" for cell in cells) >= len(code) // 2
        assert max(cell.source.count("\n") + 1 for cell in cells if cell.cell_type == "code") <= 40
        assert any(re.search(r"^\s*assert ", text, re.MULTILINE) for text in code)


def test_pages_need_a_folder_and_known_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main([]) == 2
    assert render.main([str(tmp_path), "07_nothing"]) == 2
    assert "07_nothing" in capsys.readouterr().err


def test_what_private_means() -> None:
    for text in ("sk-abcdefghijklmnop", "/home/ann/x", "wk-1234567890abcdef"):
        assert PRIVATE.search(text)
    for text in ("wk-....ws-...", "https://host/v1", "a/b", "http://127.0.0.1:1/v1"):
        assert not PRIVATE.search(text)
