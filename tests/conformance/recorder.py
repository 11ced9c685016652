"""A pytest plugin that writes what became of every test: `-p tests.conformance.recorder`, to $CONFORMANCE_OUT."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

_RESULTS: dict[str, dict[str, str]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the worst outcome of a test's phases, and the line that says why."""
    before = _RESULTS.get(report.nodeid, {}).get("outcome")
    if before in {"failed", "xfailed"}:
        return
    if hasattr(report, "wasxfail"):
        _RESULTS[report.nodeid] = {"outcome": "xfailed" if report.skipped else "failed", "why": report.wasxfail}
    elif report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        why = crash.message if crash is not None else str(report.longrepr)[-300:]
        _RESULTS[report.nodeid] = {"outcome": "failed", "why": f"{report.when}: {why[:300]}"}
    elif report.when == "call" or report.skipped:
        _RESULTS[report.nodeid] = {"outcome": report.outcome, "why": ""}


def pytest_sessionfinish() -> None:
    """Write the file."""
    Path(os.environ["CONFORMANCE_OUT"]).write_text(json.dumps(_RESULTS, indent=1), encoding="utf-8")
