"""Run the tutorials and write them as HTML for the documentation.

python -m tests.notebooks.render FOLDER [NAME ...]    # NAME: 01_quickstart ...; none: all

They run on a local engine of this process, or on the endpoint that `LLAMA70B_BASE_URL` names. The pages load nothing
from anywhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

from llama70b import Secret
from tests.notebooks.notebook import ROOT, execute, from_source, sources

# The template breaks long lines of output inside words and sets shell blocks too close to what follows; a width that
# is good to read, in the middle.
_STYLE = """<style>
.jp-OutputArea-output pre { word-break: normal; overflow-wrap: anywhere; }
.jp-RenderedHTMLCommon .highlight { margin-bottom: 1em; }
main { max-width: 62rem; margin: 0 auto; }
</style>"""


@contextlib.contextmanager
def endpoint_environ() -> Iterator[dict[str, str]]:
    """Return the variables of the endpoint the notebooks run on."""
    if os.environ.get("LLAMA70B_BASE_URL"):
        yield {}
        return
    from llama70b.local import LocalEngine

    with LocalEngine() as endpoint:
        assert isinstance(endpoint.api_key, Secret)
        yield {
            "LLAMA70B_BASE_URL": endpoint.base_url,
            "LLAMA70B_API_KEY": endpoint.api_key.get_secret_value(),
            "LLAMA70B_MODEL": endpoint.model,
        }


def page(source: Path, environ: dict[str, str]) -> str:
    """Run one tutorial and return its page."""
    book = from_source(source)
    took = execute(book, environ)
    print(f"{source.stem}: {took:.0f} s", file=sys.stderr)
    return as_html(book)


def as_html(book: NotebookNode) -> str:
    """Return an executed notebook as a page that loads nothing from anywhere."""
    from nbconvert import HTMLExporter

    # Empty addresses: no script is fetched from elsewhere; our notebooks have neither widgets nor formulas.
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="lab",
        require_js_url="",
        jquery_url="",
        mathjax_url="",
        mermaid_js_url="",
        mermaid_layout_elk_js_url="",
        exclude_input_prompt=True,
    )
    exporter.exclude_output_prompt = True
    title = book.cells[0].source.splitlines()[0].removeprefix("# ")
    html, _ = exporter.from_notebook_node(book, resources={"metadata": {"name": title}})
    html = re.sub(r'<script src="">\s*</script>', "", html)
    html = re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.html"', html)
    return str(html.replace("</head>", f"{_STYLE}</head>", 1))


def main(arguments: list[str]) -> int:
    """Write the pages."""
    if not arguments or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    folder, names = Path(arguments[0]), arguments[1:]
    chosen = [source for source in sources() if not names or source.stem in names]
    if unknown := set(names) - {source.stem for source in chosen}:
        print(f"no such tutorial: {', '.join(sorted(unknown))} (in {(ROOT / 'notebooks').name}/)", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), endpoint_environ() as environ:
        warnings.simplefilter("ignore")
        for source in chosen:
            (folder / f"{source.stem}.html").write_text(page(source, environ), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
