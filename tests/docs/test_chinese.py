"""README.zh.md says what README.md says: the same parts, code, names, links and figures."""

import re
from collections import Counter

from tests.docs.pages import ROOT, Page, read

ENGLISH = read(ROOT / "README.md")
CHINESE = read(ROOT / "README.zh.md")
TO_EACH_OTHER = {"README.md", "README.zh.md"}


def code(page: Page) -> list[tuple[str, list[str]]]:
    """The blocks without their comments, which are translated."""
    return [
        (block.language, [re.sub(r"(^|\s+)#.*", "", line) for line in block.text.splitlines()]) for block in page.blocks
    ]


def without_links(page: Page) -> str:
    return re.sub(r"\]\([^)]*\)", "]", page.prose)


def names(page: Page) -> Counter[str]:
    # A name may stand in one line here and in two there.
    return Counter(re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", without_links(page)))


def figures(page: Page) -> Counter[str]:
    return Counter(re.findall(r"\$?\d+(?:[.,]\d+)*", re.sub(r"`[^`]+`", "", without_links(page))))


def test_headings() -> None:
    assert [level for level, _ in CHINESE.headings] == [level for level, _ in ENGLISH.headings]
    kept = {"llama70b", "LangChain", "LlamaIndex"}
    for (_, english), (_, chinese) in zip(ENGLISH.headings, CHINESE.headings, strict=True):
        assert (chinese == english) == (english in kept), (english, chinese)


def test_code() -> None:
    assert code(CHINESE) == code(ENGLISH)


def test_rows_of_tables() -> None:
    def count(page: Page) -> int:
        return sum(line.startswith("|") for line in page.prose.splitlines())

    assert count(CHINESE) == count(ENGLISH)


def test_names() -> None:
    assert names(CHINESE) == names(ENGLISH)


def test_links() -> None:
    assert [link for link in CHINESE.links if link not in TO_EACH_OTHER] == [
        link for link in ENGLISH.links if link not in TO_EACH_OTHER
    ]


def test_figures() -> None:
    assert figures(CHINESE) == figures(ENGLISH)


def test_it_is_chinese() -> None:
    assert len(re.findall(r"[一-鿿]", CHINESE.prose)) > 1000
