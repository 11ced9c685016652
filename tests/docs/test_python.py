"""Every Python block of README and documentation runs, in order, page by page, on the local engine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Page, documentation

PAGES = [page for page in documentation() if page.of("python")]

# Blocks that need something else than an endpoint; they are compiled only.
NEEDS_MORE = {
    ("docs/migration.md", "Before: ChatOpenAI"): "the peer's package, which this project does not depend on",
    ("docs/migration.md", "Before: OpenAILike"): "the peer's package, which this project does not depend on",
    ("docs/migration.md", "Before: VllmServer"): "the peer's package, which this project does not depend on",
    ("docs/usage.md", "The cost of one answer"): "one name for the models of two frameworks, and a result as a literal",
}
# What a page takes for granted.
GIVEN = {"docs/usage.md": "from langchain_llama70b import ChatLlama70B\nllm = ChatLlama70B(max_tokens=8)\n"}


def test_what_is_left_out_is_still_there() -> None:
    assert set(NEEDS_MORE) <= {(page.name, block.heading) for page in PAGES for block in page.of("python")}
    assert set(GIVEN) <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_it_is_python(page: Page) -> None:
    for block in page.of("python"):
        compile("\n" * (block.line - 1) + block.text, page.name, "exec")


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_it_runs(page: Page, engine_environ: dict[str, str], tmp_path: Path) -> None:
    blocks = [
        (page.name, block.line, block.text)
        for block in page.of("python")
        if (page.name, block.heading) not in NEEDS_MORE
    ]
    assert blocks
    given = [("given", 1, GIVEN[page.name])] if page.name in GIVEN else []
    ended = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", "tests.docs.run_page"],
        input=json.dumps([*given, *blocks]),
        env={**os.environ, **engine_environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,  # what a block writes stays out of the tree
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert engine_environ["LLAMA70B_API_KEY"] not in ended.stdout + ended.stderr
