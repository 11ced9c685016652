"""The ledger a process writes when nobody says otherwise: what `LLAMA70B_LEDGER` names."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from llama70b import _fork
from llama70b._observe import Recorder
from llama70b.cost.budget import Budget
from llama70b.errors import ConfigurationError
from llama70b.ledger._guard import BudgetGuard
from llama70b.ledger._recorder import LedgerRecorder, Recorders

VARIABLE, DAYS, TEXTS = "LLAMA70B_LEDGER", "LLAMA70B_LEDGER_DAYS", "LLAMA70B_LEDGER_TEXT"
_ON, _OFF = frozenset({"1", "on", "true", "yes"}), frozenset({"0", "off", "false", "no"})


def default_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the ledger is unless a path is given: the user's data folder of this platform."""
    env = os.environ if environ is None else environ
    if sys.platform == "win32":
        folder = Path(env.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        folder = Path(env.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return folder / "llama70b" / "ledger.sqlite3"


def ledger_path(environ: Mapping[str, str] | None = None, *, unless_said: bool = False) -> Path | None:
    """Return the ledger that is to be written, None if none is.

    Args:
        environ: Instead of `os.environ`.
        unless_said: Whether it is on where `LLAMA70B_LEDGER` is not set (the command line), or off (a library).
    """
    said = (os.environ if environ is None else environ).get(VARIABLE, "").strip()
    if said.lower() in _OFF or (not said and not unless_said):
        return None
    if not said or said.lower() in _ON:
        return default_path(environ)
    return Path(said).expanduser()


_made: dict[Path, LedgerRecorder] = {}
_lock = threading.Lock()


class _Lock:
    def after_fork(self) -> None:
        """Replace the lock: another thread of the parent may have held it."""
        global _lock  # noqa: PLW0603 - one per process
        _lock = threading.Lock()


_watch = _Lock()
_fork.watch(_watch)


def default_recorder(*, unless_said: bool = False) -> LedgerRecorder | None:
    """Return the process's recorder for the ledger that `LLAMA70B_LEDGER` names, None if it is off.

    `LLAMA70B_LEDGER` is a path, or `on` (a file in the user's data folder), or `off`. `LLAMA70B_LEDGER_DAYS` deletes
    what is older, `LLAMA70B_LEDGER_TEXT=1` stores the prompts too.

    Args:
        unless_said: Whether it is on where the variable is not set.

    Raises:
        ConfigurationError: `LLAMA70B_LEDGER_DAYS` is no number of days.
    """
    path = ledger_path(unless_said=unless_said)
    if path is None:
        return None
    with _lock:
        if path not in _made:
            _made[path] = LedgerRecorder(
                path, keep_days=_days(), texts=os.environ.get(TEXTS, "").strip().lower() in _ON
            )
        return _made[path]


BUDGET = "LLAMA70B_BUDGET"


@functools.lru_cache(maxsize=8)
def _guard(limits: str, path: Path | None) -> BudgetGuard:
    return BudgetGuard(Budget.parse(limits), path)


def environment_recorder(*, unless_said: bool = False) -> Recorder | None:
    """Return what the environment asks for: the ledger of `LLAMA70B_LEDGER`, the budget of `LLAMA70B_BUDGET`, or both.

    A budget without a ledger counts this process only.

    Args:
        unless_said: Whether the ledger is on where `LLAMA70B_LEDGER` is not set.

    Raises:
        ConfigurationError: A variable says something that cannot work.
    """
    ledger = default_recorder(unless_said=unless_said)
    limits = os.environ.get(BUDGET, "").strip()
    if not limits:
        return ledger
    guard = _guard(limits, None if ledger is None else ledger.path)
    return guard if ledger is None else _both(guard, ledger)


@functools.lru_cache(maxsize=8)
def _both(guard: BudgetGuard, ledger: LedgerRecorder) -> Recorders:
    return Recorders(guard, ledger)


def _days() -> float | None:
    said = os.environ.get(DAYS, "").strip()
    if not said:
        return None
    try:
        days = float(said)
    except ValueError:
        days = 0.0
    if not days > 0:
        raise ConfigurationError(f"{DAYS} is {said!r}", hint="give a number of days above 0, or unset it to keep all")
    return days
