"""Runs of an evaluation against the scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from llama70b.cli._eval import AGENTS
from llama70b.endpoint import Endpoint
from llama70b.evaluation import Item, Journal, Record, Run, Settings, open_run, plan, run
from tests.unit.scripted_server import KEY, MODEL, ScriptedServer

Evaluate = Callable[..., dict[tuple[str, str], Record]]


@pytest.fixture
def evaluate(scripted: ScriptedServer, tmp_path: Path) -> Evaluate:
    """Ask arms about items; answers are kept in `tmp_path / "run"` and returned by item and arm."""

    def ask(
        items: Sequence[Item],
        *arms: str,
        settings: Settings | None = None,
        limits: Mapping[str, int] | None = None,
        retries: int = 0,
    ) -> dict[tuple[str, str], Record]:
        settings = settings or Settings()
        endpoints = {"70b": Endpoint(scripted.url, MODEL, KEY, max_retries=retries)}
        folder = tmp_path / "run"
        held = open_run(folder, Run(tuple(items), settings, models={"70b": MODEL}))
        with Journal(folder) as journal:
            lanes = plan(held.items, arms, endpoints, journal, limits)
            asyncio.run(run(lanes, settings, journal, agents=AGENTS, concurrency=2))
            return {(record.item, record.arm): record for record in journal.records.values()}

    return ask
