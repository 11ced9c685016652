"""What is quoted in one page stands in the page that measured it."""

import json
import re

from tests.docs.pages import DOCS


def rows(name: str) -> list[list[str]]:
    text = (DOCS / name).read_text(encoding="utf-8")
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_behaviours_are_those_of_the_conformance_table() -> None:
    measured = {row[1]: row[2:5] for row in rows("conformance.md") if len(row) >= 5}
    quoted = [row for row in rows("comparison.md") if len(row) == 5 and row[1].startswith("`")]
    assert len(quoted) >= 8
    for row in quoted:
        assert [cell.split(":")[0] for cell in measured[row[1]]] == row[2:5], row[1]


def test_counts_are_those_of_the_conformance_table() -> None:
    total = next(row for row in rows("conformance.md") if row[0].startswith("deterministic, of"))
    quoted = next(row for row in rows("comparison.md") if row[0] == "deterministic")
    assert quoted[1:4] == total[1:4]
    assert total[0].removeprefix("deterministic, ") in (DOCS / "comparison.md").read_text(encoding="utf-8")


def test_processor_times_are_those_of_the_performance_page() -> None:
    measured = [row for row in rows("performance.md") if len(row) == 3]
    first = next(index for index, row in enumerate(measured) if row[0] == "us CPU/chunk")
    by_name = {row[0]: [cell.split(" ")[0] for cell in row[1:]] for row in measured[first + 1 : first + 14]}
    own = rows("comparison.md")
    start = next(index for index, row in enumerate(own) if row[0] == "us CPU/chunk")
    quoted = own[start + 2 : start + 7]
    assert [row[0] for row in quoted][-1] == "OpenAILike"
    for row in quoted:
        assert by_name[row[0]] == row[1:], row[0]
    chat_llama = by_name["ChatLlama"]
    assert f"needed {chat_llama[0]} and {chat_llama[1]}" in (DOCS / "comparison.md").read_text(encoding="utf-8")


def test_sleeping_peers_did_what_their_record_says() -> None:
    record = json.loads((DOCS / "data" / "fault_peers.json").read_text(encoding="utf-8"))["cases"]["F43"]
    own = rows("comparison.md")
    start = next(index for index, row in enumerate(own) if row[0] == "F43")
    quoted = own[start + 2 :]
    assert len(quoted) >= 5
    for what, *cells in quoted:
        for peer, cell in zip(own[start][1:], cells, strict=True):
            words = {result["what"]: result["words"] for result in record[peer]["results"]}
            assert words[what] == cell or words[what].endswith(f", {cell}"), (peer, what)
