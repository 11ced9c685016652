"""The one thread that writes a process's rows. Whoever puts a row never waits for the disk."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from llama70b import _fork
from llama70b.errors import Llama70BError
from llama70b.ledger._rows import Decision, Drops, Row
from llama70b.ledger._store import Store

Entry = Row | Decision | Callable[[Store], Row]
"""A row, or what makes it of the open store (hashes need its salt)."""

_LOG = logging.getLogger("llama70b")
_BATCH = 500
_TRIES = 3
_AT_EXIT_S = 5.0
_PRUNE_EVERY_S = 86_400.0
_STOP = threading.Event()

_parents: list[Store] = []
"""In a forked child, the parent's open files: kept, because closing them here would disturb the parent's."""


class Writer:
    """Writes rows from a bounded queue, in a daemon thread that begins with the first row.

    Args:
        path: The ledger's file.
        capacity: Most rows waiting; further ones are dropped, and counted.
        keep_days: Rows older than this are deleted, once a day; None keeps all.

    Attributes:
        path: As given.
        dropped: Rows of this process that were not written. The ledger itself holds the count too, as soon as it can
            be written again.
    """

    def __init__(self, path: str | os.PathLike[str], *, capacity: int = 10_000, keep_days: float | None = None) -> None:
        self.path = Path(path)
        self.dropped = 0
        self._capacity = capacity
        self._keep_days = keep_days
        self._store: Store | None = None
        self._begin()
        _fork.watch(self)
        # Threads of the caller have ended by then; what the client notes at exit is noted before, it registered later.
        atexit.register(self.flush)
        self._at_exit = True

    def _begin(self) -> None:
        # Of all queues this one may be used by what the garbage collector runs, in the middle of anything.
        self._queue: queue.SimpleQueue[Entry | threading.Event] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._unsaid: list[Drops] = []
        self._warned = False

    def after_fork(self) -> None:
        """Begin anew in a forked child: rows that wait are the parent's to write."""
        if self._store is not None:
            _parents.append(self._store)
            self._store = None
        self.dropped = 0
        self._begin()

    def put(self, entry: Entry) -> bool:
        """Leave a row to be written; return False if it was dropped."""
        if self._queue.qsize() >= self._capacity:
            self._note_drops(1, "queue full")
            return False
        self._queue.put(entry)
        return self._ensure_thread()

    def flush(self, timeout: float = _AT_EXIT_S) -> bool:
        """Wait until all rows put so far are written or given up; return False if that took longer than `timeout` s."""
        if self._thread is None and self._queue.empty():
            return True
        written = threading.Event()
        self._queue.put(written)
        return self._ensure_thread() and written.wait(timeout)

    def _ensure_thread(self) -> bool:
        if self._thread is None and self._starting.acquire(blocking=False):
            try:
                if self._thread is None:
                    if not self._at_exit:  # used again after `close`
                        atexit.register(self.flush)
                        self._at_exit = True
                    thread = threading.Thread(
                        target=self._work, args=(self._queue,), name="llama70b-ledger", daemon=True
                    )
                    thread.start()
                    self._thread = thread
            except RuntimeError as error:  # the interpreter is shutting down, and starts no threads any more
                self._note_drops(1, str(error))
                return False
            finally:
                self._starting.release()
        return True

    def _note_drops(self, count: int, why: str) -> None:
        self.dropped += count
        if len(self._unsaid) < _BATCH:
            self._unsaid.append(Drops(time.time_ns(), os.getpid(), count, why))
        if not self._warned:
            self._warned = True
            _LOG.warning("the ledger %s loses rows: %s; calls go on", self.path, why)

    def _write(self, batch: list[Entry]) -> None:
        """Write rows in one transaction, in the writer's thread; what cannot be written is counted as dropped."""
        for attempt in range(1, _TRIES + 1):
            unsaid = self._unsaid[:]
            try:
                if self._store is None:
                    self._store = Store(self.path)
                store = self._store
                with store.transaction():
                    store.add([entry(store) if callable(entry) else entry for entry in batch])
                    store.add(unsaid)
            except (sqlite3.Error, OSError, Llama70BError) as error:
                if attempt == _TRIES or not isinstance(error, sqlite3.OperationalError):
                    self._give_up(batch, error)
                    return
                time.sleep(0.1 * attempt)  # locked by another process for longer than SQLite itself waits
            else:
                del self._unsaid[: len(unsaid)]
                return

    def _give_up(self, batch: list[Entry], error: Exception) -> None:
        if self._store is not None:  # opened again next time: the file may have been moved, the disk mounted
            self._store.close()
            self._store = None
        if batch:
            self._note_drops(len(batch), f"{type(error).__name__}: {error}")

    def _prune(self) -> None:
        """Delete what is older than `keep_days`, in the writer's thread."""
        if self._keep_days is None or self._store is None:
            return
        try:
            self._store.prune_days(self._keep_days, time.time_ns())
        except sqlite3.Error:
            _LOG.warning("old rows of the ledger %s could not be deleted", self.path, exc_info=True)

    def close(self) -> None:
        """Write what waits, end the thread and close the file. The writer can be used again."""
        thread = self._thread
        if thread is not None:
            self._queue.put(_STOP)
            thread.join(_AT_EXIT_S)
        atexit.unregister(self.flush)
        self._at_exit = False

    def _work(self, waiting: queue.SimpleQueue[Entry | threading.Event]) -> None:
        pruned: float | None = None
        stopping = False
        while not stopping:
            items = [waiting.get()]
            while len(items) < _BATCH:
                try:
                    items.append(waiting.get_nowait())
                except queue.Empty:
                    break
            rows = [item for item in items if not isinstance(item, threading.Event)]
            if rows or self._unsaid:
                self._write(rows)
            if pruned is None or time.monotonic() - pruned > _PRUNE_EVERY_S:
                self._prune()
                pruned = time.monotonic()
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()
            stopping = _STOP in items
        self._thread = None
        if self._store is not None:
            self._store.close()
            self._store = None
