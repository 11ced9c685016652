"""Rows as JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import IO, Any, Final

from llama70b.errors import MissingExtra
from llama70b.ledger._rows import Row

FORMATS: Final = ("jsonl", "csv", "parquet")
_NAMES: Final = (*(item.name for item in fields(Row)), "ended_ns", "sent_ns", "cold")
_BATCH = 5_000
_INTEGERS = frozenset({"max_tokens", "status", "price_nano_per_s", "cost_nano", "attempts", "concurrency", "messages"})
_INTEGERS |= {"tools", "prompt_chars", "answer_chars"}


def _values(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _NAMES}


def export(rows: Iterable[Row], format: str, out: IO[bytes]) -> int:  # noqa: A002 - what everybody calls it
    """Write rows, all columns plus `ended_ns`, `sent_ns` and `cold`.

    Args:
        rows: From `Ledger.runs`.
        format: `jsonl`, `csv` or `parquet` (extra `parquet`).
        out: An open binary file.

    Returns:
        How many rows were written.

    Raises:
        MissingExtra: Parquet, and pyarrow is not installed.
        ValueError: A format nobody knows.
    """
    match format:
        case "jsonl":
            return _jsonl(rows, out)
        case "csv":
            return _csv(rows, out)
        case "parquet":
            return _parquet(rows, out)
        case _:
            raise ValueError(f"no format {format!r}: there are {', '.join(FORMATS)}")


def _jsonl(rows: Iterable[Row], out: IO[bytes]) -> int:
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 - the number of the last one
        out.write(json.dumps(_values(row), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    return count


def _csv(rows: Iterable[Row], out: IO[bytes]) -> int:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", errors="backslashreplace")
    try:
        writer = csv.writer(text)
        writer.writerow(_NAMES)
        count = 0
        for count, row in enumerate(rows, start=1):  # noqa: B007 - as above
            writer.writerow([_cell(value) for value in _values(row).values()])
    finally:
        text.detach()  # flushes, and leaves the caller's file open
    return count


def _cell(value: Any) -> Any:
    """Return a value for a spreadsheet, which would run a text that begins like a formula."""
    if isinstance(value, tuple):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + value
    return value


def _parquet(rows: Iterable[Row], out: IO[bytes]) -> int:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above
    except ImportError as error:
        raise MissingExtra("Parquet", "parquet") from error
    kinds = {"tags": pa.list_(pa.string()), "feedback": pa.float64(), "stream": pa.bool_(), "cold": pa.bool_()}

    def kind(name: str) -> Any:
        whole = name.endswith(("_ns", "_tokens")) or name in _INTEGERS
        return kinds.get(name, pa.int64() if whole else pa.string())

    schema = pa.schema([(name, kind(name)) for name in _NAMES])
    count = 0
    with pq.ParquetWriter(out, schema) as writer:
        for batch in _batches(rows):
            count += len(batch)
            writer.write_table(pa.Table.from_pylist([_values(row) for row in batch], schema=schema))
    return count


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
