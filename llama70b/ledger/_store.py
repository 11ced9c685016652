"""Rows in and out of SQLite."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llama70b.errors import ConfigurationError
from llama70b.ledger._rows import Bill, Decision, Drops, Interval, Row
from llama70b.ledger._schema import VERSION, connect

COLUMNS = tuple(item.name for item in fields(Row))
_INSERT = f"INSERT OR IGNORE INTO requests ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM requests"  # noqa: S608 - our own column names
_DAY_NS = 86_400 * 1_000_000_000


def _as_row(run: Row) -> tuple[Any, ...]:
    return tuple(json.dumps(value) if isinstance(value := getattr(run, name), tuple) else value for name in COLUMNS)


def _as_run(row: Sequence[Any]) -> Row:
    values = dict(zip(COLUMNS, row, strict=True))
    values["tags"] = tuple(json.loads(values["tags"]))
    values["stream"] = bool(values["stream"])
    return Row(**values)


class Store:
    """One open connection for writing; belongs to one thread at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Made by us and not by SQLite, for the mode: what a team asks its model is nobody else's business.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self.connection = connect(str(self.path))
        self.salt = bytes.fromhex(self.connection.execute("SELECT value FROM meta WHERE key = 'salt'").fetchone()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all of a block, or nothing of it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def hashed(self, text: str) -> str:
        """Return the salted hash under which a conversation is known."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self.salt, digest_size=16).hexdigest()

    def add(self, items: Iterable[Row | Interval | Bill | Decision | Drops]) -> None:
        """Insert rows; one that is there already is left as it is. Call inside `transaction`."""
        run = self.connection.execute
        for item in items:
            match item:
                case Row():
                    run(_INSERT, _as_row(item))
                case Interval(endpoint, from_ns, to_ns, source):
                    run("INSERT OR REPLACE INTO intervals VALUES (?, ?, ?, ?)", (endpoint, from_ns, to_ns, source))
                case Bill(from_ns, to_ns, app, resource, nano):
                    run("INSERT OR REPLACE INTO bills VALUES (?, ?, ?, ?, ?)", (from_ns, to_ns, app, resource, nano))
                case Decision(at_ns, record, run_id):
                    run("INSERT INTO decisions VALUES (?, ?, ?)", (at_ns, run_id, json.dumps(record, default=str)))
                case Drops(at_ns, pid, count, why):
                    run("INSERT INTO drops VALUES (?, ?, ?, ?)", (at_ns, pid, count, why))

    def prune(self, before_ns: int) -> int:
        """Delete what ended before a moment (UTC); return how many runs that were."""
        with self.transaction():
            deleted = self.connection.execute("DELETE FROM requests WHERE started_ns < ?", (before_ns,)).rowcount
            for table, column in (
                ("decisions", "at_ns"), ("drops", "at_ns"), ("intervals", "to_ns"), ("bills", "to_ns")
            ):  # fmt: skip
                self.connection.execute(f"DELETE FROM {table} WHERE {column} < ?", (before_ns,))  # noqa: S608
        return int(deleted)

    def prune_days(self, days: float, now_ns: int) -> int:
        """Delete what is older than so many days."""
        return self.prune(now_ns - int(days * _DAY_NS))


class Ledger:
    """A ledger, read. Writing is done by `LedgerRecorder`; both may go on at once, in any number of processes.

    Args:
        path: The file.

    Raises:
        ConfigurationError: There is no such file, it is no ledger, or a newer version of this package wrote it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ConfigurationError(
                f"there is no ledger at {self.path}",
                hint="set LLAMA70B_LEDGER to its path; it is filled by every call made with that variable set",
            )
        try:
            with closing(connect(str(self.path), read_only=True)) as connection:
                old = int(connection.execute("PRAGMA user_version").fetchone()[0]) < VERSION
            if old:
                Store(self.path).close()
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(f"{self.path} cannot be read as a ledger: {error}") from error

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with closing(connect(str(self.path), read_only=True)) as connection:
            return list(connection.execute(query, values))

    def runs(
        self, *, since_ns: int = 0, until_ns: int = 2**63 - 1, endpoint: str | None = None, texts: bool = False
    ) -> list[Row]:
        """Return the runs that began in [since, until), oldest first.

        Args:
            since_ns: From when, UTC nanoseconds.
            until_ns: Before when.
            endpoint: Of this base URL only.
            texts: Keep the prompts where the ledger has them.
        """
        where, values = " WHERE started_ns >= ? AND started_ns < ?", [since_ns, until_ns]
        rows = self._rows(
            _SELECT + where + (" AND endpoint = ?" if endpoint else "") + " ORDER BY started_ns, id",
            [*values, *([endpoint] if endpoint else [])],
        )
        found = [_as_run(row) for row in rows]
        return found if texts else [replace(run, prompt=None) if run.prompt else run for run in found]

    def intervals(self) -> list[Interval]:
        """Return the stored up-times of containers, oldest first."""
        return [Interval(*row) for row in self._rows("SELECT * FROM intervals ORDER BY from_ns")]

    def bills(self) -> list[Bill]:
        """Return the stored charges of the platform, oldest first."""
        return [Bill(*row) for row in self._rows("SELECT * FROM bills ORDER BY from_ns, app, resource")]

    def decisions(self, *, since_ns: int = 0) -> list[Decision]:
        """Return the routers' decisions, oldest first."""
        query = "SELECT at_ns, record, run_id FROM decisions WHERE at_ns >= ? ORDER BY at_ns"
        return [Decision(at, json.loads(record), run_id) for at, record, run_id in self._rows(query, [since_ns])]

    def drops(self, *, since_ns: int = 0) -> list[Drops]:
        """Return what is known of rows that were not written."""
        return [Drops(*row) for row in self._rows("SELECT * FROM drops WHERE at_ns >= ? ORDER BY at_ns", [since_ns])]

    def add(self, items: Iterable[Interval | Bill | Decision]) -> None:
        """Store what is known from elsewhere: the platform's intervals and bills, a router's decisions."""
        with Store(self.path) as store, store.transaction():
            store.add(items)

    def feedback(self, run_id: str, value: float) -> bool:
        """Note what a user thought of an answer.

        Args:
            run_id: `request_id` of the answer.
            value: -1 (useless) to 1 (right).

        Returns:
            Whether the ledger has that run.

        Raises:
            ConfigurationError: The value is outside [-1, 1].
        """
        if not -1 <= value <= 1:
            raise ConfigurationError(f"feedback is {value!r}: give a number from -1 to 1")
        with Store(self.path) as store:
            done = store.connection.execute("UPDATE requests SET feedback = ? WHERE id = ?", (value, run_id))
            return done.rowcount > 0

    def prune(self, days: float, *, now_ns: int) -> int:
        """Delete what is older than so many days; return how many runs that were."""
        with Store(self.path) as store:
            return store.prune_days(days, now_ns)
