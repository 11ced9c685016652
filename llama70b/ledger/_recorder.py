"""Model runs as rows of the ledger."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from llama70b._observe import Recorder, Run, RunEnd
from llama70b.cost.prices import Price, price_from_env
from llama70b.errors import ConfigurationError
from llama70b.ledger._context import Attribution, attribution
from llama70b.ledger._rows import NS, Row
from llama70b.ledger._store import Store
from llama70b.ledger._writer import Writer
from llama70b.types import ChatRequest

_LOG = logging.getLogger("llama70b")
CHARS_PER_TOKEN = 4
"""Of English prose in Llama 3's tokens, about; used only where the server counted nothing."""

PriceOf = Callable[[Run], Price | None]
"""What a second of the container costs that a run goes to, None if nobody knows."""


def _known_price(run: Run) -> Price | None:
    try:
        if run.price_per_hour is not None:
            return Price.per_hour(run.price_per_hour)
        return price_from_env(model=run.model)
    except ConfigurationError as error:
        _say_once(str(error))
        return None


@functools.lru_cache(maxsize=8)
def _say_once(what: str) -> None:
    _LOG.warning("no cost is recorded: %s", what)


class LedgerRecorder:
    """Puts one row into a ledger for every run of every client that it is given to. Never waits for the disk.

        Client(recorder=LedgerRecorder("usage.sqlite3"))

    Args:
        path: The ledger's file; made if need be.
        price_of: What a container's second costs; by default what the endpoint or the environment says.
        hashes: Store a salted hash of every conversation, to see repetitions.
        texts: Store the conversations themselves. Off unless asked for.
        capacity: Most rows waiting to be written; further ones are dropped and counted.
        keep_days: Delete rows older than this; None keeps all.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        price_of: PriceOf = _known_price,
        hashes: bool = True,
        texts: bool = False,
        capacity: int = 10_000,
        keep_days: float | None = None,
    ) -> None:
        self._writer = Writer(path, capacity=capacity, keep_days=keep_days)
        self._price_of = price_of
        self._hashes = hashes
        self._texts = texts
        self._open: dict[str, tuple[int, Attribution]] = {}  # changed by single operations, which need no lock

    @property
    def path(self) -> Path:
        """The ledger's file."""
        return self._writer.path

    @property
    def dropped(self) -> int:
        """Rows of this process that could not be written."""
        return self._writer.dropped

    def started(self, run: Run) -> None:
        """Note that a run begins, and for whom."""
        self._open[run.request_id] = (len(self._open) + 1, attribution())

    def finished(self, run: Run, end: RunEnd) -> None:
        """Leave its row to the writer."""
        concurrency, whose = self._open.pop(run.request_id, (1, Attribution()))
        row = row_of(run, end, concurrency=concurrency, whose=whose, price=self._price_of(run))
        if not (self._hashes or self._texts):
            self._writer.put(row)
        else:
            request = run.request
            self._writer.put(lambda store: _with_text(row, request, store, hashes=self._hashes, texts=self._texts))

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all rows so far are in the file; return False if that took longer than `timeout` s."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Write what waits and close the file."""
        self._writer.close()


def row_of(run: Run, end: RunEnd, *, concurrency: int, whose: Attribution, price: Price | None) -> Row:
    """Return a finished run as a row.

    Args:
        run: How it began.
        end: How it ended.
        concurrency: Runs of the process in flight when it began.
        whose: What the caller said of it.
        price: What a second of the container costs.
    """
    total, cold = _ns(end.ended - run.started), _ns(end.cold_start_s)
    usage = end.usage
    guessed_out = end.pieces if run.stream else _tokens(end.answer_chars)
    row = Row(
        id=run.request_id,
        started_ns=_ns(run.started_at),
        total_ns=total,
        endpoint=run.endpoint,
        requested_model=run.model,
        outcome=end.outcome,
        cold_ns=cold,
        first_ns=None if end.first_token is None else _ns(end.first_token - run.started),
        served_model=end.model,
        prompt_tokens=usage.prompt_tokens if usage else _tokens(run.prompt_chars) if guessed_out else None,
        completion_tokens=usage.completion_tokens if usage else guessed_out or None,
        cached_tokens=usage.cached_tokens if usage else None,
        reasoning_tokens=usage.reasoning_tokens if usage else None,
        usage_source="server" if usage else "estimated",
        stream=run.stream,
        status=end.status,
        error=end.error,
        finish_reason=end.finish_reason,
        attempts=end.attempts,
        concurrency=concurrency,
        messages=run.messages,
        tools=run.tools,
        prompt_chars=run.prompt_chars,
        answer_chars=end.answer_chars,
        max_tokens=run.max_tokens,
        framework=run.context.framework,
        price_nano_per_s=price.nano_per_s if price else None,
        parent_run_id=run.context.parent_run_id,
        tags=run.context.tags,
        **asdict(whose),
    )
    if price is not None and row.reached:
        row = replace(row, cost_nano=price.nano_per_s * total // NS)
    return row


def _ns(seconds: float) -> int:
    return max(0, round(seconds * NS))


def _tokens(chars: int) -> int:
    return -(-chars // CHARS_PER_TOKEN)


def _with_text(row: Row, request: ChatRequest, store: Store, *, hashes: bool, texts: bool) -> Row:
    text = json.dumps([asdict(message) for message in request.messages], ensure_ascii=False, sort_keys=True)
    return replace(row, prompt_hash=store.hashed(text) if hashes else None, prompt=text if texts else None)


class Recorders:
    """Several recorders as one: a budget, the ledger, an exporter.

    Args:
        *recorders: Told in this order. What may refuse runs stands first: a run that is refused has no end, so whoever
            was told of its beginning would wait for it. None stands for none.
    """

    def __init__(self, *recorders: Recorder | None) -> None:
        self._recorders = [recorder for recorder in recorders if recorder is not None]

    def started(self, run: Run) -> None:
        """Tell all that a run begins."""
        for recorder in self._recorders:
            recorder.started(run)

    def finished(self, run: Run, end: RunEnd) -> None:
        """Tell all that a run has ended; one that fails keeps it from nobody else."""
        failures = []
        for recorder in self._recorders:
            try:
                recorder.finished(run, end)
            except Exception as error:  # noqa: BLE001 - raised below, where the client logs it
                failures.append(error)
        if failures:
            raise failures[0]
