"""The run folder: items, settings, and an append-only journal of every answer, so that a killed run can go on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llama70b import __version__
from llama70b.errors import ConfigurationError
from llama70b.evaluation import _prompts
from llama70b.evaluation._arms import Outcome
from llama70b.evaluation._items import Item, dump_items, load_items
from llama70b.evaluation._settings import Settings

NO_ENDPOINT = "-"
"""In place of the endpoint's name, for arms that need none."""
ITEMS, RUN, ANSWERS = "items.jsonl", "run.json", "answers.jsonl"

Key = tuple[str, str, str]
"""Item, arm, endpoint."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the journal.

    Attributes:
        item: The item's id.
        arm: The arm.
        endpoint: Name of the endpoint, or "-".
        outcome: What came out; None after an error.
        error: Type and message of the error, if there was one.
        started: Unix seconds.
        seconds: How long it took.
    """

    item: str
    arm: str
    endpoint: str
    outcome: Outcome | None
    error: str | None
    started: float
    seconds: float

    @property
    def key(self) -> Key:
        """What it answers."""
        return self.item, self.arm, self.endpoint

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able object of one line."""
        outcome = asdict(self.outcome) if self.outcome else {}
        return {
            "item": self.item,
            "arm": self.arm,
            "endpoint": self.endpoint,
            "started": round(self.started, 3),
            "seconds": round(self.seconds, 4),
            **({"error": self.error} if self.error else outcome),
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Record:
        """Read it back from `to_dict`'s object."""
        error = value.get("error")
        outcome = None
        if error is None:
            known = {name: value[name] for name in Outcome.__slots__ if name in value}
            outcome = Outcome(**{**known, "reading": tuple(known.get("reading", ()))})
        return cls(value["item"], value["arm"], value["endpoint"], outcome, error, value["started"], value["seconds"])


@dataclass(slots=True)
class Run:
    """What a folder holds besides the answers.

    Attributes:
        items: The items, in order.
        settings: The options that change answers.
        models: Model of each endpoint by the endpoint's name.
        notes: What the user says about it: engine, hardware.
        started: Date and time of the first start, UTC.
        versions: Of this package, and hashes of items and prompts.
        prices: Dollars an hour by the endpoint's name.
        generated: Options of the generator; None for items from a file.
    """

    items: tuple[Item, ...]
    settings: Settings
    models: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    versions: dict[str, str] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    generated: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able object of `run.json`; the items are in a file of their own."""
        return {
            "started": self.started,
            "settings": self.settings.to_dict(),
            "models": self.models,
            "prices_per_hour": self.prices,
            "generated": self.generated,
            "notes": self.notes,
            "versions": self.versions,
        }


def open_run(folder: Path, wanted: Run) -> Run:
    """Start a run in a folder, or go on with the one that is there.

    Args:
        folder: Made if need be.
        wanted: What this start asks for; endpoints, prices and notes may be added to an earlier start's.

    Returns:
        The run to go on with.

    Raises:
        ConfigurationError: The folder holds a run of other items or settings, or files that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest = _digest(wanted.items)
    wanted.versions = {"llama70b": __version__, "items": digest, "prompts": _prompts.digest()}
    if (folder / RUN).exists():
        earlier = load_run(folder)
        _same(earlier, wanted, folder)
        earlier.models = _joined(earlier.models, wanted.models, folder)
        earlier.prices |= wanted.prices
        earlier.notes = list(dict.fromkeys([*earlier.notes, *wanted.notes]))
        wanted = earlier
    else:
        _replace(folder / ITEMS, dump_items(wanted.items))
    _replace(folder / RUN, json.dumps(wanted.to_dict(), ensure_ascii=False, indent=2) + "\n")
    return wanted


def load_run(folder: Path) -> Run:
    """Read items and settings of a folder.

    Raises:
        ConfigurationError: It holds no run, or one that cannot be read.
    """
    try:
        value = json.loads((folder / RUN).read_text("utf-8"))
        items = load_items((folder / ITEMS).read_text("utf-8"), source=ITEMS)
        return Run(
            items=items,
            settings=Settings.of(value["settings"]),
            models=value["models"],
            notes=value["notes"],
            started=value["started"],
            versions=value["versions"],
            prices=value["prices_per_hour"],
            generated=value["generated"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{folder.name} holds no run that can be read: {error}", hint="give an empty or a new folder"
        ) from error


def _same(earlier: Run, wanted: Run, folder: Path) -> None:
    changed = []
    if earlier.versions.get("items") != wanted.versions["items"]:
        changed.append("the items")
    if earlier.versions.get("prompts") != wanted.versions["prompts"]:
        changed.append("the prompts (another version of this package)")
    one, other = earlier.settings.to_dict(), wanted.settings.to_dict()
    changed += [f"{name.rstrip('_')} ({one[name]} there)" for name in other if one.get(name) != other[name]]
    if changed:
        raise ConfigurationError(
            f"{folder.name} holds a run with other options: {', '.join(changed)}",
            hint="give the same options to go on with it, or another folder for a new run",
        )


def _joined(earlier: dict[str, str], wanted: dict[str, str], folder: Path) -> dict[str, str]:
    for name, model in wanted.items():
        if earlier.get(name, model) != model:
            raise ConfigurationError(
                f"the endpoint {name!r} of {folder.name} served {earlier[name]!r}, not {model!r}",
                hint="give the other model's endpoint another name",
            )
    return earlier | wanted


def _digest(items: Iterable[Item]) -> str:
    return hashlib.sha256(dump_items(items).encode()).hexdigest()[:12]


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, "utf-8")
    draft.replace(path)


class Journal:
    """The answers of a folder: those that are there, and a place to add more.

    Every line is on the disk before the next question is asked. A line that a killed process left half written is
    removed on opening, and its question asked again.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / ANSWERS
        self.records, whole = _read(path)
        self._file = path.open("r+b" if path.exists() else "wb")
        self._file.truncate(whole)
        self._file.seek(whole)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, record: Record) -> None:
        """Append one record; it is on the disk when this returns."""
        self.records[record.key] = record
        self._file.write(json.dumps(record.to_dict(), ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def answered(self, key: Key) -> bool:
        """Whether a question has its answer; one that ended in an error has not."""
        record = self.records.get(key)
        return record is not None and record.error is None


def load_records(folder: Path) -> dict[Key, Record]:
    """Return the latest record of every question, without changing the folder."""
    return _read(folder / ANSWERS)[0]


def _read(path: Path) -> tuple[dict[Key, Record], int]:
    """Read the records; also return how many bytes are whole lines."""
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    records: dict[Key, Record] = {}
    for number, line in enumerate(data[:whole].split(b"\n")[:-1], start=1):
        try:
            record = Record.of(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path.name}, line {number}: not a record of a run: {error}", hint="remove the line to ask again"
            ) from error
        records[record.key] = record
    return records, whole
