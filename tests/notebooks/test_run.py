"""Every tutorial runs from top to bottom; its own assertions say what matters."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.notebooks.notebook import execute, from_source, sources
from tests.notebooks.render import as_html

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(480)]


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.stem)
def test_runs(source: Path, engine_environ: dict[str, str], record_property: Callable[[str, object], None]) -> None:
    book = from_source(source)
    record_property("seconds", round(execute(book, engine_environ), 1))
    outputs = str([cell.get("outputs") for cell in book.cells])
    assert engine_environ["LLAMA70B_API_KEY"] not in outputs
    unwanted = [
        output.text
        for cell in book.cells
        for output in cell.get("outputs", ())
        if output.output_type == "stream" and output.name == "stderr" and "Warning" in output.text
    ]
    assert not unwanted
    with warnings.catch_warnings():  # of nbconvert's own dependencies
        warnings.simplefilter("ignore")
        page = as_html(book)
    assert engine_environ["LLAMA70B_API_KEY"] not in page
    assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(?:https?:)?//[^"]*"', page)
    assert not re.findall(r'href="\w+\.ipynb"', page)
