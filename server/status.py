"""The state that engine and gateway share: a small record in a store, and how to read it without trusting it.

The engine's supervisor writes the record and a heartbeat; the gateway reads it. A record whose heartbeat stopped
belongs to a container that is gone (scaled down, preempted, crashed), whatever its phase says.
"""

import json
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from server.phases import BOOTING, Phase

HEARTBEAT_S: Final = 5.0
STALE_S: Final = 30.0
SCHEDULING_LIMIT_S: Final = 300.0
_REMEMBERED_BOOTS: Final = 10
_ESTIMATE_STEP_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Record:
    """What the engine last said of itself. Times are seconds since the epoch.

    Attributes:
        boot_id: Names one container's life.
        phase: Its phase.
        since: When the phase began.
        started: When the container's boot began.
        heartbeat: When it last wrote.
        done: Checkpoint shards read.
        total: Checkpoint shards in all; 0 while unknown.
        boots: Seconds that the last boots took, oldest first.
        error: Why it failed.
    """

    boot_id: str
    phase: Phase
    since: float
    started: float
    heartbeat: float
    done: int = 0
    total: int = 0
    boots: tuple[float, ...] = ()
    error: str = ""

    def booted(self, seconds: float) -> "Record":
        """The record with one more boot remembered."""
        return replace(self, boots=(*self.boots, round(seconds, 1))[-_REMEMBERED_BOOTS:])


@dataclass(frozen=True, slots=True)
class Status:
    """What `GET /status` answers.

    Attributes:
        phase: The state.
        since_s: Seconds it has lasted.
        eta_s: Estimated seconds until ready; None when ready, draining or failed, and when cold: then it is `boot_s`.
        boot_s: Estimated seconds of a whole boot.
        done: Checkpoint shards read.
        total: Checkpoint shards in all.
        error: Why it failed.
    """

    phase: Phase
    since_s: float
    eta_s: float | None
    boot_s: float
    done: int = 0
    total: int = 0
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form; shards only while loading, the error only when failed."""
        result: dict[str, Any] = {
            "phase": self.phase.value,
            "since_s": round(self.since_s, 1),
            "eta_s": None if self.eta_s is None else round(self.eta_s, 1),
            "boot_s": round(self.boot_s, 1),
        }
        if self.phase is Phase.LOADING and self.total:
            result["shards"] = {"loaded": self.done, "total": self.total}
        if self.phase is Phase.FAILED:
            result["error"] = self.error
        return result


def observe(record: Record | None, wake_at: float | None, now: float, default_boot_s: float) -> Status:
    """Derive the endpoint's state from what was written; asks nobody, so it wakes nobody.

    Args:
        record: The engine's last record, or None if there never was one.
        wake_at: When a wake-up was last asked for.
        now: Seconds since the epoch.
        default_boot_s: Boot estimate while none was observed.

    Returns:
        The state.
    """
    boot_s = statistics.median(record.boots) if record and record.boots else default_boot_s
    alive = record is not None and now - record.heartbeat <= STALE_S
    # A wake-up newer than the last sign of life is still waiting for its container.
    last_sign = record.heartbeat if record else 0.0
    if not alive and wake_at is not None and wake_at > last_sign and now - wake_at <= SCHEDULING_LIMIT_S:
        return Status(Phase.SCHEDULING, now - wake_at, max(boot_s - (now - wake_at), _ESTIMATE_STEP_S), boot_s)
    if record is None:
        return Status(Phase.COLD, 0.0, boot_s, boot_s)
    if record.phase is Phase.FAILED and now - record.since <= SCHEDULING_LIMIT_S:
        return Status(Phase.FAILED, now - record.since, None, boot_s, error=record.error)
    if not alive:
        return Status(Phase.COLD, now - record.heartbeat, boot_s, boot_s)
    eta = max(boot_s - (now - record.started), _ESTIMATE_STEP_S) if record.phase in BOOTING else None
    return Status(record.phase, now - record.since, eta, boot_s, record.done, record.total)


class Store(Protocol):
    """Where records live: a `modal.Dict` in the cloud, a folder on your own machine."""

    def get(self, key: str) -> dict[str, Any] | None:
        """The value, or None."""

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Replace the value."""


class FileStore:
    """Records as JSON files in one folder, replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> dict[str, Any] | None:
        """The value, or None."""
        try:
            value: dict[str, Any] = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return value

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Replace the value."""
        path = self._folder / f"{key}.json"
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps(value), encoding="utf-8")
        draft.replace(path)


def load_record(store: Store) -> Record | None:
    """The engine's record, or None."""
    value = store.get("engine")
    return None if value is None else _record(value)


def save_record(store: Store, record: Record) -> None:
    """Write the engine's record, unless another replica is serving: one that boots or drains does not hide it."""
    other = None if record.phase is Phase.READY and record.heartbeat else load_record(store)
    if other and other.boot_id != record.boot_id and other.phase is Phase.READY:
        serving = time.time() - other.heartbeat <= STALE_S
    else:
        serving = False
    if not serving:
        store.put("engine", asdict(record))


def _record(value: Mapping[str, Any]) -> Record:
    return Record(**{**value, "phase": Phase(value["phase"]), "boots": tuple(value["boots"])})
