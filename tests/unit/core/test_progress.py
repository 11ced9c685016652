"""The bar of a cold start: late, closed again, and only where somebody looks."""

from __future__ import annotations

import io
import sys
import threading
import types

import pytest

from llama70b._progress import ProgressBar, wants_bar
from llama70b.types import ColdStartProgress, ColdStartState


def step(
    elapsed_s: float, state: ColdStartState = "waking", estimate_s: float | None = None, detail: str = "HTTP 503"
) -> ColdStartProgress:
    return ColdStartProgress(state, elapsed_s, estimate_s, detail)


def test_nothing_is_shown_in_the_first_two_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar("llm.example")
    for elapsed_s in (0.0, 1.0, 1.99):
        bar(step(elapsed_s))
    bar(step(1.99, "ready"))
    bar.close()
    assert capsys.readouterr().err == ""


def test_then_what_is_waited_for_how_long_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar("llm.example")
    bar(step(2.0))
    bar(step(65.0))
    shown = capsys.readouterr().err
    assert "waking llm.example" in shown
    assert "65 s, HTTP 503" in shown
    assert "of about" not in shown
    bar.close()


def test_with_an_estimate_it_fills(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar("llm.example")
    bar(step(30.0, estimate_s=120.0, detail=""))
    assert "30 s of about 120 s" in capsys.readouterr().err
    assert bar._bar.n == 250
    bar(step(500.0, estimate_s=120.0))
    assert bar._bar.n == bar._bar.total == 1000
    bar.close()


@pytest.mark.parametrize("end", ["ready", "failed"])
def test_it_goes_when_the_waiting_ends_and_comes_again(capsys: pytest.CaptureFixture[str], end: ColdStartState) -> None:
    bar = ProgressBar("llm.example")
    bar(step(3.0))
    bar(step(4.0, end))
    assert capsys.readouterr().err.split("\r")[-1].strip() == ""  # the line is wiped, not left behind
    bar(step(5.0, end))
    assert capsys.readouterr().err == ""
    bar(step(2.5))
    assert "2 s" in capsys.readouterr().err
    bar.close()
    assert capsys.readouterr().err.split("\r")[-1].strip() == ""
    bar.close()
    assert capsys.readouterr().err == ""


def test_many_waiting_threads_share_one_bar(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar("llm.example")
    threads = [threading.Thread(target=bar, args=(step(3.0 + n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bar(step(20.0, "ready"))
    assert capsys.readouterr().err.count("\n") == 0
    assert bar._bar is None


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stderr", "wanted"), [(io.StringIO(), False), (_Terminal(), True), (None, False)])
def test_a_bar_is_for_terminals(stderr: io.StringIO | None, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "stderr", stderr)
    assert wants_bar() is wanted


def test_and_for_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    assert wants_bar() is True
