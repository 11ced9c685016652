"""A cold start made visible: a progress bar on a terminal or in a notebook, nothing anywhere else."""

from __future__ import annotations

import sys
import threading
import warnings
from typing import Any

from llama70b.types import ColdStartProgress

SHOW_AFTER_S = 2.0
_FULL = 1000


def wants_bar() -> bool:
    """Return whether somebody is looking: standard error is a terminal, or this is a Jupyter kernel."""
    if "ipykernel" in sys.modules:
        return True
    return bool(getattr(sys.stderr, "isatty", lambda: False)())


class ProgressBar:
    """One bar for all calls of a client. It appears after 2 s of waiting and goes when the waiting ends."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: Any = None
        self._lock = threading.Lock()

    def __call__(self, progress: ColdStartProgress) -> None:
        """Show one step."""
        with self._lock:
            if progress.state in {"ready", "failed"}:
                self._close()
            elif progress.elapsed_s >= SHOW_AFTER_S:
                self._show(progress)

    def _show(self, progress: ColdStartProgress) -> None:
        if self._bar is None:
            with warnings.catch_warnings():  # of a notebook without ipywidgets, where the bar is text
                warnings.simplefilter("ignore")
                from tqdm.auto import tqdm  # noqa: PLC0415 - costs 50 ms and is rarely needed

            form = "{desc} {bar}{postfix}" if progress.estimate_s else "{desc}{postfix}"
            self._bar = tqdm(total=_FULL, desc=f"waking {self._what}", bar_format=form, leave=False)
        shown = f"{progress.elapsed_s:.0f} s"
        if progress.estimate_s:
            shown += f" of about {progress.estimate_s:.0f} s"
            self._bar.n = min(_FULL, int(_FULL * progress.elapsed_s / progress.estimate_s))
        self._bar.set_postfix_str(f"{shown}, {progress.detail}" if progress.detail else shown)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def close(self) -> None:
        """Take the bar away, if it is there."""
        with self._lock:
            self._close()
