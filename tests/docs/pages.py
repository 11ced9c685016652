"""README and documentation as data: their headings, code blocks and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Written by programs of ours, which have tests of their own: prose and tables, no instructions.
GENERATED = {DOCS / "evaluation" / "report.md"}

_FENCE = re.compile(r"^(`{3,})(\w*)\s*$")
_HEADING = re.compile(r"^(#{1,6}) (.+?)\s*$")
_LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: `heading` is the last one above it, `line` that of its first line of code."""

    heading: str
    language: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file; `prose` is its text without the fenced blocks."""

    path: Path
    headings: tuple[tuple[int, str], ...]
    blocks: tuple[Block, ...]
    prose: str

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def links(self) -> tuple[str, ...]:
        return tuple(_LINK.findall(self.prose))

    def of(self, *languages: str) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.language in languages)


def read(path: Path) -> Page:
    """Return a file's parts.

    Raises:
        ValueError: A fence is not closed.
    """
    headings: list[tuple[int, str]] = []
    blocks: list[Block] = []
    prose: list[str] = []
    fence, language, inside, began = "", "", [""], 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if fence:
            if line.strip() == fence:
                last = headings[-1][1] if headings else ""
                blocks.append(Block(last, language, "\n".join(inside) + "\n", began))
                fence = ""
            else:
                inside.append(line)
        elif opened := _FENCE.match(line):
            fence, language, inside, began = opened[1], opened[2], [], number + 1
        else:
            if heading := _HEADING.match(line):
                headings.append((len(heading[1]), heading[2]))
            prose.append(line)
    if fence:
        raise ValueError(f"{path}: the block that begins in line {began} has no end")
    return Page(path, tuple(headings), tuple(blocks), "\n".join(prose))


def anchors(page: Page) -> set[str]:
    """Return the ids of a page's headings, as the site and as code forges make them; repeated hyphens differ."""
    made: set[str] = set()
    for _, heading in page.headings:
        plain = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
        made |= {re.sub(r"\s", "-", plain), re.sub(r"[-\s]+", "-", plain)}
    return made


def documentation() -> list[Page]:
    """Return what users read: README, then the site's pages."""
    return [read(ROOT / "README.md"), *(read(path) for path in sorted(DOCS.rglob("*.md")) if path not in GENERATED)]


def everything() -> list[Page]:
    """Return every Markdown file of the repository's root and of `docs/`."""
    return [read(path) for path in [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]]
