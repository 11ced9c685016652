"""The command line's reports: figures that add up, exports that read back, a page that stands alone."""

import csv
import io
import json
import random
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from llama70b.cli._app import app
from llama70b.cost import Deployment, Price
from llama70b.ledger import NS, Bill, Ledger, Row, export
from llama70b.ledger._store import Store
from llama70b.report.figures import usage
from llama70b.report.words import hours, money

MONDAY = 1_799_020_800 * NS


def rows() -> Iterator[Row]:
    """Three days of conversations, one abandoned, one refused; formula-like and non-ASCII tags."""
    rng, ready_until = random.Random(4), 0.0
    for number in range(120):
        start = number * 2000 + rng.random() * 100 if number % 4 == 0 else ready_until + rng.random() * 60
        cold = 150.0 if start > ready_until + 180 or not number else 0.0
        total = cold + 2 + rng.random() * 8
        ready_until = start + total
        values: dict[str, Any] = {}
        if number == 50:
            values = {"outcome": "abandoned", "usage_source": "estimated"}
        if number == 60:
            values = {"outcome": "failed", "error": "AuthenticationError", "status": 401, "completion_tokens": None}
        served = "llama-8b" if number % 3 == 0 else "llama-70b"
        yield Row(
            **{
                "id": f"r{number}",
                "started_ns": MONDAY + round(start * NS),
                "total_ns": round(total * NS),
                "cold_ns": round(cold * NS),
                "first_ns": round((cold + 0.5) * NS),
                "endpoint": "https://<b>host</b>",
                "requested_model": "llama-70b",
                "served_model": "llama-70b",
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "stream": True,
                "framework": "langchain",
                "tags": ("=1+1", "日本"),
                "session": "=cmd()",
                "routing": json.dumps({"served": served, "reason": "gap < threshold"}),
            }
            | values
        )


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "ledger.sqlite3"
    with Store(file) as store, store.transaction():
        store.add(rows())
    for name in ("PROFILE", "PRICE_PER_HOUR", "WINDOW", "BUDGET"):
        monkeypatch.delenv(f"LLAMA70B_{name}", raising=False)
    monkeypatch.setenv("LLAMA70B_LEDGER", str(file))
    return file


def run(*args: str, code: int = 0) -> str:
    got = CliRunner().invoke(app, args, catch_exceptions=False)
    assert got.exit_code == code, got.output
    return got.output


def known(_model: str) -> Deployment:
    return Deployment(Price.per_hour(5.0), 180, 150, "70b", "test")


def test_the_parts_add_up(path: Path) -> None:
    found = usage(Ledger(path).runs(), deployment_of=known)
    (one,) = found.containers
    assert one.cost_usd is not None
    assert one.boot_s + one.busy_s + one.idle_s == pytest.approx(one.up_s)
    assert one.cost_usd == pytest.approx(one.up_s * 5 / 3600, rel=1e-6)
    assert sum(day.boot + day.busy + day.idle for day in found.days) == pytest.approx(one.cost_usd, rel=1e-6)
    assert sum(day.runs for day in found.days) == sum(found.heat) == found.runs == 120
    assert one.usage_usd == pytest.approx((one.boot_s + one.busy_s) * 5 / 3600, rel=1e-6)
    assert one.starts == round(one.boot_s / 150)
    assert found.first_token_s["cold"].p50 == 150.5
    assert found.first_token_s["warm"].p50 == 0.5
    assert found.outcomes == {"answered": 118, "abandoned": 1, "failed": 1}
    assert list(one.api_usd.values()) == sorted(one.api_usd.values())
    json.dumps(found.as_dict(), allow_nan=False)


def test_what_was_billed_beside_what_was_reckoned(path: Path) -> None:
    hour = 3600 * NS
    bill = Bill(MONDAY, MONDAY + 100 * hour, "app", "gpu", 10 * NS)
    (one,) = usage(Ledger(path).runs(), deployment_of=known, bills=[bill]).containers
    assert one.billed_usd == 10
    assert one.kappa == pytest.approx(10 / one.cost_usd, rel=1e-3)  # type: ignore[operator]


def test_tables(path: Path) -> None:
    text = run("usage", "--since", "all", "--price", "5")
    for part in ("120 runs (118 answered, 1 abandoned, 1 failed)", "cold starts", "at $5.00/h", "first token, warm"):
        assert part in text
    assert "no price is known" in run("usage", "--since", "all")
    assert run("usage", "--since", "2040-01-01").strip() == "no runs"


def test_json(path: Path) -> None:
    got = json.loads(run("usage", "--since", "all", "--price", "5", "--json"))
    assert got["usage"]["runs"] == 120
    assert got["usage"]["containers"][0]["price_per_hour"] == pytest.approx(5, abs=1e-4)
    assert got["advice"]["value_per_hour"] == 10
    advice = json.loads(run("recommend", "--since", "all", "--price", "5", "--json", "--value-of-waiting", "20"))
    assert advice["value_per_hour"] == 20


def test_recommend_says_what_it_assumes(path: Path) -> None:
    text = run("recommend", "--since", "all", "--price", "5")
    assert "Assumed: an hour of somebody's waiting is worth $10.00" in text.replace("\n", " ")
    assert "names no function" in CliRunner().invoke(app, ["recommend", "--since", "all", "--apply", "x"]).output


@pytest.mark.parametrize("args", [["--since", "soon"], ["--ledger", "/nonexistent/ledger"]])
def test_what_cannot_be_done_is_said(path: Path, args: list[str]) -> None:
    got = CliRunner().invoke(app, ["usage", *args])
    assert got.exit_code == 2
    assert "error:" in got.output


class Page(HTMLParser):
    """What a browser would load, run or show."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href"} and not (value or "").startswith("#"):
                self.links.append(f"{tag} {(value or '')[:30]}")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone_and_is_the_same_again(path: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.html", tmp_path / "b.html"
    for file in (first, second):
        run("usage", "--since", "all", "--price", "5", "--html", str(file))
    text = first.read_text("utf-8")
    assert text == second.read_text("utf-8")
    page = Page()
    page.feed(text)
    assert "script" not in page.tags
    assert all(link.startswith("image data:image/png") for link in page.links)
    assert not re.search(r"url\((?!#)|@import", text)
    assert page.tags.count("svg") == 6
    for heading in ("Cost per day", "Time to first token", "Speed", "Routing", "Pauses", "Hour of the week", "Advice"):
        assert heading in page.text
    assert "<b>host</b>" not in text
    assert "https://<b>host</b>" in page.text
    assert str(tmp_path) not in text


def test_a_page_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path / "empty").close()
    monkeypatch.setenv("LLAMA70B_LEDGER", str(tmp_path / "empty"))
    run("usage", "--html", str(tmp_path / "page.html"))
    assert "no runs" in (tmp_path / "page.html").read_text("utf-8")


def test_exports_read_back(path: Path, tmp_path: Path) -> None:
    given = Ledger(path).runs()
    lines = [json.loads(line) for line in run("usage", "export").splitlines()]
    assert [line["id"] for line in lines] == [row.id for row in given]
    assert lines[0]["tags"] == ["=1+1", "日本"]
    assert lines[0]["ended_ns"] == given[0].ended_ns
    run("usage", "export", "--format", "csv", "-o", str(tmp_path / "x.csv"))
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 120
    assert table[3]["session"] == "'=cmd()", "a spreadsheet would run it"
    assert int(table[3]["started_ns"]) == given[3].started_ns
    run("usage", "export", "--format", "parquet", "-o", str(tmp_path / "x.parquet"))
    read = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [one["started_ns"] for one in read] == [row.started_ns for row in given]
    assert (read[0]["tags"], read[60]["completion_tokens"], read[0]["cold"]) == (["=1+1", "日本"], None, True)


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_no_rows_are_exported_too(format_: str) -> None:
    assert export([], format_, io.BytesIO()) == 0


def test_prune(path: Path) -> None:
    now = time.time_ns()
    with Store(path) as store, store.transaction():
        store.add(Row(name, now - days * 86_400 * NS, NS, "e", "m") for name, days in (("old", 9), ("new", 1)))
    run("usage", "prune", "5")
    left = {row.id for row in Ledger(path).runs()}
    assert "new" in left
    assert "old" not in left


def test_words() -> None:
    assert [money(x) for x in (None, 0, 1234.5, -2, 0.00123, 0.00000512)] == [
        "–", "$0.00", "$1,234.50", "-$2.00", "$0.0012", "$0.000005",
    ]  # fmt: skip
    assert money(0.7, change=True) == "+$0.70"
    assert [hours(x) for x in (5, 90, 7200)] == ["5.0 s", "1.5 min", "2.0 h"]
