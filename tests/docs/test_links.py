"""Links lead somewhere, every page is in the navigation, and the site builds by itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mkdocs.utils.yaml import yaml_load

from tests.docs.pages import DOCS, ROOT, Page, anchors, everything, read

PAGES = everything()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Page) -> None:
    for link in page.links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        assert target.exists(), f"{page.name}: {link}: there is no such file"
        assert target.is_relative_to(ROOT), f"{page.name}: {link} leaves the repository"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(read(target)), f"{page.name}: {link}: there is no such heading"


def _pages_of(nav: object) -> set[str]:
    match nav:
        case str():
            return {nav}
        case list():
            return set().union(*map(_pages_of, nav))
        case dict():
            return set().union(*map(_pages_of, nav.values()))
        case _:
            raise AssertionError(nav)


def test_every_page_is_in_the_navigation() -> None:
    nav = yaml_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert _pages_of(nav) == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def test_every_tutorial_is_listed() -> None:
    listed = set(re.findall(r'href="([^"]+)\.html"', (DOCS / "tutorials.md").read_text(encoding="utf-8")))
    assert listed == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path)],
        cwd=ROOT,
        # A proxy that nobody serves: whoever wants the network while building gets an error.
        env={
            **os.environ,
            "NO_MKDOCS_2_WARNING": "1",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    pages = list(tmp_path.rglob("index.html"))
    assert len(pages) >= 20
    for page in pages:
        html = page.read_text(encoding="utf-8")
        fetched = re.findall(r'<(?:script|img|iframe)[^>]*\bsrc="(https?:[^"]+)"', html)
        fetched += re.findall(r'<link[^>]*\bhref="(https?:[^"]+)"', html)
        assert not fetched, page
    chat = (tmp_path / "reference" / "langchain" / "index.html").read_text(encoding="utf-8")
    assert "langchain_llama70b.chat_models.ChatLlama70B.warm_up" in chat
