"""The report: its numbers, that all its forms say the same, that its files are self-contained and reproducible."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from llama70b.endpoint import DEFAULT_MODEL
from llama70b.errors import ConfigurationError, MissingExtra
from llama70b.evaluation import Item, Journal, Outcome, Record, Run, Settings, generate, open_run, report
from llama70b.evaluation._analysis import analyse
from llama70b.evaluation._tables import tables

ITEMS = generate(128, seed=4)


def outcome(answer: str | None, *, exact: bool | None = None, **details: Any) -> Outcome:
    return Outcome(
        answer,  # type: ignore[arg-type]
        None if answer else "no answer line",
        raw="Answer: <b>|</b>",
        prompt_tokens=100,
        completion_tokens=10,
        calls=1,
        model="tiny-model v1",
        exact=exact,
        details=details,
    )


def recorded(item: Item, arm: str, place: str, position: int, result: Outcome | None) -> Record:
    return Record(item.id, arm, place, result, None if result else "ServerError: 500", 1000.0 + position, 2.0)


def fill(folder: Path, items: tuple[Item, ...] = ITEMS) -> None:
    """Two endpoints: `bare` always says valid, `cot` is right but for every tenth; an agent, a rule, an error."""
    models = {"small": "tiny-model", "large": DEFAULT_MODEL}
    open_run(folder, Run(items, Settings(), models=models, prices={"large": 36.0}, notes=["engine <x>"]))
    with Journal(folder) as journal:
        for position, item in enumerate(items):
            truth = "valid" if item.valid else "invalid"
            for place in models:
                journal.add(recorded(item, "bare", place, position, outcome("valid")))
            cot = None if position % 10 == 0 else truth
            journal.add(recorded(item, "cot", "large", position, outcome(cot)))
            journal.add(recorded(item, "parser_only", "-", position, outcome(truth, exact=position != 3)))
            if position < 20:
                agent = outcome(truth, agreement="disagrees", corrected=True, tool_calls=1)
                journal.add(recorded(item, "langchain_agent", "large", position, agent if position else None))


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    fill(folder)
    return folder


@pytest.fixture
def written(filled: Path) -> Path:
    report.write_report(filled)
    return filled


def told(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"))
    return value


def arm(folder: Path, label: str) -> dict[str, Any]:
    return next(one for one in told(folder)["arms"] if one["label"] == label)


def test_numbers(written: Path) -> None:
    bare = arm(written, "bare · large")
    assert (bare["accuracy"]["right"], bare["accuracy"]["asked"]) == (64, 128)
    assert bare["accuracy_valid"]["share"] == 1
    assert bare["accuracy_invalid"]["share"] == 0
    assert bare["accuracy"]["low"] == pytest.approx(0.4146, abs=1e-3)
    assert bare["says_valid"]["share"] == 1
    assert bare["content"]["bias"] == 0
    cot = arm(written, "chain of thought · large")
    assert cot["unanswered"] == 13
    assert cot["accuracy"]["right"] == cot["accuracy_answered"]["asked"] == 115
    assert cot["accuracy_answered"]["share"] == 1
    assert cot["why_unanswered"] == {"no answer line": 13}
    parser = arm(written, "parser only")
    assert (parser["formalisation"]["right"], parser["right_despite_wrong_reading"]) == (127, 1)
    agent = arm(written, "LangChain agent · large")
    assert (agent["asked"], agent["errors"], agent["unanswered"]) == (20, 1, 1)
    assert agent["lock"] == {"agrees": 0, "disagrees": 19, "silent": 0, "corrected": 19, "called_the_tool": 19}


def test_cost_is_busy_time_and_says_so(written: Path) -> None:
    bare = arm(written, "bare · large")
    # Answers start a second apart and take two: 129 seconds in which at least one was under way, at a cent a second.
    assert bare["busy_seconds"] == 129
    assert bare["dollars_estimate"] == pytest.approx(1.29)
    assert bare["dollars_per_1000_estimate"] == pytest.approx(1.29 / 128 * 1000, abs=1e-3)
    assert (bare["prompt_tokens"], bare["completion_tokens"], bare["calls"]) == (12800, 1280, 128)
    assert bare["seconds_median"] == 2
    assert arm(written, "bare · small")["dollars_estimate"] is None
    assert "(estimate)" in (written / "report.md").read_text("utf-8")


def test_planned_tests(written: Path) -> None:
    tests = {(test["one"], test["other"]): test for test in told(written)["tests"]}
    assert set(tests) == {
        ("bare · large", "chain of thought · large"),
        ("bare · large", "LangChain agent · large"),
        ("bare · large", "bare · small"),
    }
    first = tests["bare · large", "chain of thought · large"]
    missed = sum(item.valid for item in ITEMS[::10])
    assert first["items"] == 128
    assert first["only_one_right"] == missed
    assert first["only_other_right"] == 64 - (13 - missed)
    assert first["p_holm"] >= first["p"]
    assert tests["bare · large", "LangChain agent · large"]["items"] == 20
    assert tests["bare · large", "bare · small"]["p"] == 1


def test_the_place_of_what_was_not_run_is_kept(written: Path, tmp_path: Path) -> None:
    assert "bare · 70b" not in told(written)["not_run"]  # the 70B was run, under the name `large`
    assert "LlamaIndex agent · small" in told(written)["not_run"]
    other = tmp_path / "other"
    open_run(other, Run(ITEMS, Settings(), models={"local": "SmolLM2"}))
    report.write_report(other)
    assert "bare · 70b" in told(other)["not_run"]
    lines = (other / "report.md").read_text("utf-8").splitlines()
    assert any(line.startswith("| bare · 70b | not run |") for line in lines)
    assert "not run" in (other / "report.html").read_text("utf-8")


def test_the_same_answers_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    fill(again)
    (again / "run.json").write_bytes((written / "run.json").read_bytes())
    report.write_report(again)
    names = sorted(path.name for path in written.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    assert {"accuracy.svg", "accuracy.png", "accuracy.csv", "map.svg", "map.csv", "content.png"} < set(names)
    assert [name for name in names if (written / name).read_bytes() != (again / name).read_bytes()] == []


class _Page(HTMLParser):
    VOID = frozenset(["meta", "br", "link", "img", "input", "hr"])

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.outside: list[str] = []
        self.bad: list[str] = []
        self.rows = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self._seen(tag, dict(attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, dict(attrs))

    def _seen(self, tag: str, attrs: dict[str, str | None]) -> None:
        self.rows += tag == "tr"
        if attrs.get("id"):
            self.ids.append(str(attrs["id"]))
        for name in ("src", "href", "xlink:href"):
            value = attrs.get(name) or ""
            if "//" in value or (value and name == "src"):
                self.outside.append(value)
        if tag in ("script", "link", "iframe", "b"):
            self.bad.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.bad.append(f"/{tag}")


def test_the_page_needs_nothing_else(written: Path) -> None:
    text = (written / "report.html").read_text("utf-8")
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.bad == []
    assert page.outside == []
    assert len(page.ids) == len(set(page.ids))
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert references <= set(page.ids)
    assert references
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert "currentColor" in text
    assert "engine &lt;x&gt;" in text
    assert page.rows == sum(len(table.rows) + 1 for table in tables(told(written)))


def test_markdown_tables_are_whole(written: Path) -> None:
    lines = (written / "report.md").read_text("utf-8").splitlines()
    widths: list[int] = []
    for line in [*lines, ""]:
        if line.startswith("|"):
            widths.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(widths)) <= 1
            widths = []
    assert len(lines) > 60


def test_the_map_has_64_cells_and_people(written: Path) -> None:
    with (written / "map.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 64
    assert sum(row["has_a_valid_conclusion"] == "True" for row in rows) == 27
    assert sum(int(row["bare · large asked"]) for row in rows) == 128
    assert sum(int(row["bare · large right"]) for row in rows) == 64
    assert next(row for row in rows if row["pair"] == "AE2")["human_percent"] == "1.3"


def test_a_users_items_without_design(tmp_path: Path) -> None:
    items = tuple(Item(str(n), f"text {n}", valid=n % 2 == 0) for n in range(6))
    folder = tmp_path / "mine"
    open_run(folder, Run(items, Settings(), models={"x": "m"}))
    with Journal(folder) as journal:
        for position, item in enumerate(items):
            journal.add(recorded(item, "bare", "x", position, outcome("valid")))
    names = {path.name for path in report.write_report(folder)}
    assert "accuracy.svg" in names
    assert not names & {"map.svg", "content.svg"}
    assert "Content effect" not in (folder / "report.md").read_text("utf-8")


def test_nothing_answered_yet_is_a_report_too(tmp_path: Path) -> None:
    open_run(tmp_path, Run(ITEMS, Settings()))
    found = analyse(Run(ITEMS, Settings()), {})
    assert found["arms"] == found["tests"] == []
    assert len(found["not_run"]) == 9
    report.write_report(tmp_path)
    assert "parser only | not run" in (tmp_path / "report.md").read_text("utf-8")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no run"):
        report.write_report(tmp_path)


def test_the_extra_is_asked_for_before_any_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"llama70b\[report\]"):
        report.require_extra()
