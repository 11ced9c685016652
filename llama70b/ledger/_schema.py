"""The ledger's tables, and the steps from every earlier version to the present one."""

from __future__ import annotations

import secrets
import sqlite3
import time

from llama70b.errors import ConfigurationError

# Version 1. `ended_ns` is computed, so it cannot disagree; SQLite 3.31 (2020) has such columns.
_V1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE requests (
  id TEXT PRIMARY KEY,
  started_ns INTEGER NOT NULL,
  total_ns INTEGER NOT NULL CHECK (total_ns >= 0),
  ended_ns INTEGER GENERATED ALWAYS AS (started_ns + total_ns) VIRTUAL,
  endpoint TEXT NOT NULL,
  requested_model TEXT NOT NULL,
  outcome TEXT NOT NULL,
  cold_ns INTEGER NOT NULL DEFAULT 0,
  first_ns INTEGER,
  served_model TEXT,
  prompt_tokens INTEGER,
  completion_tokens INTEGER,
  cached_tokens INTEGER,
  reasoning_tokens INTEGER,
  usage_source TEXT NOT NULL,
  stream INTEGER NOT NULL,
  status INTEGER,
  error TEXT,
  finish_reason TEXT,
  attempts INTEGER NOT NULL,
  concurrency INTEGER NOT NULL,
  messages INTEGER NOT NULL DEFAULT 0,
  tools INTEGER NOT NULL DEFAULT 0,
  prompt_chars INTEGER NOT NULL DEFAULT 0,
  answer_chars INTEGER NOT NULL DEFAULT 0,
  max_tokens INTEGER,
  framework TEXT NOT NULL DEFAULT '',
  container TEXT,
  boot_ns INTEGER,
  price_nano_per_s INTEGER,
  cost_nano INTEGER,
  parent_run_id TEXT,
  session TEXT,
  user TEXT,
  tags TEXT NOT NULL DEFAULT '[]',
  routing TEXT,
  prompt_hash TEXT,
  prompt TEXT
);
CREATE INDEX requests_started ON requests (started_ns);
CREATE INDEX requests_endpoint ON requests (endpoint, started_ns);
CREATE TABLE intervals (
  endpoint TEXT NOT NULL, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL, source TEXT NOT NULL,
  PRIMARY KEY (endpoint, from_ns, source)
) WITHOUT ROWID;
CREATE TABLE bills (
  from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL, app TEXT NOT NULL, resource TEXT NOT NULL,
  nanodollars INTEGER NOT NULL,
  PRIMARY KEY (from_ns, app, resource)
) WITHOUT ROWID;
CREATE TABLE decisions (at_ns INTEGER NOT NULL, run_id TEXT, record TEXT NOT NULL);
CREATE INDEX decisions_at ON decisions (at_ns);
"""
# Version 2: what a user thought of an answer, and rows that could not be written.
_V2 = """
ALTER TABLE requests ADD COLUMN feedback REAL;
CREATE TABLE drops (at_ns INTEGER NOT NULL, pid INTEGER NOT NULL, count INTEGER NOT NULL, why TEXT NOT NULL);
"""
MIGRATIONS = (_V1, _V2)
VERSION = len(MIGRATIONS)
_PATIENCE_S = 10.0


def connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a ledger, bring it to the present version, and set what several processes need.

    Args:
        path: The file; it is made if need be (by a writer), readable by its owner only.
        read_only: Change nothing; the file must exist and be of the present version.

    Raises:
        sqlite3.Error: It cannot be opened, or is no database.
        ConfigurationError: A newer version of this package wrote it.
    """
    target = f"file:{_quoted(path)}?mode=ro" if read_only else path
    connection = sqlite3.connect(
        target, uri=read_only, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
    )
    try:
        if read_only:
            _check_version(_version(connection), path)
        else:
            _patiently(connection, "PRAGMA journal_mode=WAL")
            # In WAL mode NORMAL loses nothing when a process dies, only when the machine does [sqlite.org/pragma].
            connection.execute("PRAGMA synchronous=NORMAL")
            migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute what SQLite answers with "locked" at once, whatever the timeout: the change of journal mode."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check_version(found: int, path: str) -> None:
    if found > VERSION:
        raise ConfigurationError(
            f"the ledger {path} has version {found}, this package knows up to {VERSION}",
            hint="update llama70b, or name another file in LLAMA70B_LEDGER",
        )


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Take the ledger to the present version, one step a transaction; two processes may try at once."""
    while (found := _version(connection)) != VERSION:
        _check_version(found, path)
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) == found:  # else another process was faster
                for statement in MIGRATIONS[found].split(";"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version={found + 1}")
                if found == 0:
                    connection.execute("INSERT INTO meta VALUES ('salt', ?)", (secrets.token_hex(16),))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
