"""A budget that watches the ledger and refuses runs."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from llama70b import _fork
from llama70b._observe import Run, RunEnd
from llama70b.cost.budget import DAY_NS, Budget, Finding, Spans, Spent, check, spent
from llama70b.cost.prices import Deployment, deployment_from_env
from llama70b.errors import ConfigurationError
from llama70b.ledger._context import Attribution
from llama70b.ledger._recorder import row_of
from llama70b.ledger._rows import NS, Row
from llama70b.ledger._schema import connect

_LOG = logging.getLogger("llama70b")
_LOOK_EVERY_S = 2.0
_QUERY = (
    "SELECT rowid, started_ns, total_ns, cold_ns, requested_model, attempts, error FROM requests "
    "WHERE rowid > ? AND started_ns >= ? ORDER BY rowid"
)


class BudgetGuard:
    """Refuses runs when a budget is spent. Give it to a client before the ledger: `Recorders(guard, ledger)`.

    It counts its own process's runs as they end, and every two seconds what other processes wrote into the same
    ledger.

    Args:
        budget: The limits.
        path: The ledger's file; None counts this process only.
        deployment_of: What is known of the container that serves a model; by default the environment says.
        on_soft: Told of a soft limit that is reached, besides the log; once for every day or hour.
        now_ns: The clock, UTC nanoseconds.

    Raises:
        ConfigurationError: The budget is in dollars, and nobody says what a container costs.
    """

    def __init__(
        self,
        budget: Budget,
        path: str | os.PathLike[str] | None = None,
        *,
        deployment_of: Callable[[str], Deployment] = lambda model: deployment_from_env(model=model),
        on_soft: Callable[[Finding], object] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._budget = budget
        self._path = None if path is None else Path(path)
        self._deployment_of = deployment_of
        self._on_soft = on_soft
        self._now_ns = now_ns
        if (budget.usd_per_day, budget.soft_usd_per_day) != (None, None) and deployment_of("").price is None:
            raise ConfigurationError(
                "a budget in dollars needs a price", hint="set LLAMA70B_PROFILE or LLAMA70B_PRICE_PER_HOUR"
            )
        self._up: dict[str, Spans] = {}
        self._wakes: dict[str, Spans] = {}
        self._open: dict[str, Run] = {}
        self._said: dict[str, int] = {}
        self._seen_rowid = 0
        self._looked = float("-inf")
        self._lock = threading.Lock()
        _fork.watch(self)

    def after_fork(self) -> None:
        """Replace the lock, which another thread of the parent may have held; its runs are not ours."""
        self._lock = threading.Lock()
        self._open = {}

    def started(self, run: Run) -> None:
        """Refuse the run if a hard limit is reached.

        Raises:
            BudgetExceeded: It is.
        """
        now = self._now_ns()
        with self._lock:
            self._look(now)
            findings = self._check(run.model, now)
            if findings and findings[0].hard:
                raise findings[0].error()
            self._open[run.request_id] = run
        for finding in findings:
            self._warn(finding)

    def finished(self, run: Run, end: RunEnd) -> None:
        """Count a run, however it ended."""
        row = row_of(run, end, concurrency=1, whose=Attribution(), price=None)
        with self._lock:
            self._open.pop(run.request_id, None)
            self._count(row)

    def _check(self, model: str, now: int) -> list[Finding]:
        """Check with all containers' money together, and this one's wake-ups."""
        money, awake = 0, False
        wakes: list[int] = []
        for name in {*self._up, model}:
            deployment = self._deployment_of(name)
            up = self._up.setdefault(name, Spans())
            for open_ in self._open.values():
                if open_.model == name:
                    up.add(round(open_.started_at * NS), now)
            up.forget(now - DAY_NS)
            part = spent(
                up, self._wakes.setdefault(name, Spans()), deployment.price.nano_per_s if deployment.price else 0, now
            )
            money += part.nanodollars
            wakes.extend(part.wakes_ns)
            if name == model:
                awake = part.awake
        so_far = Spent(money, tuple(sorted(wakes)), awake)
        return check(self._budget, so_far, now)

    def _count(self, row: Row) -> None:
        if row.reached:
            window = round(self._deployment_of(row.requested_model).window_s * NS)
            model = row.requested_model
            self._up.setdefault(model, Spans()).add(row.started_ns, row.ended_ns + window)
            if row.cold:
                self._wakes.setdefault(model, Spans()).add(row.started_ns, row.sent_ns)

    def _look(self, now: int) -> None:
        """Read what was written since the last look, at most every two seconds."""
        if self._path is None or time.monotonic() - self._looked < _LOOK_EVERY_S or not self._path.exists():
            return
        self._looked = time.monotonic()
        try:
            with closing(connect(str(self._path), read_only=True)) as connection:
                found = connection.execute(_QUERY, (self._seen_rowid, now - DAY_NS)).fetchall()
        except sqlite3.Error:
            _LOG.warning("the budget cannot read the ledger %s", self._path, exc_info=True)
            return
        for rowid, started, total, cold, model, attempts, error in found:
            self._seen_rowid = rowid
            self._count(Row("", started, total, "", model, cold_ns=cold, attempts=attempts, error=error))

    def _warn(self, finding: Finding) -> None:
        # Once until it resets; a later reset means a new day, or another wake-up.
        if self._said.get(finding.unit, 0) >= finding.resets_ns:
            return
        self._said[finding.unit] = finding.resets_ns
        _LOG.warning("budget: %s", finding.message)
        if self._on_soft is not None:
            self._on_soft(finding)
