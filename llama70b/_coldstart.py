"""A start that is being waited for: what was seen becomes progress, and starts seen before become an estimate. Pure."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable

from llama70b.types import ColdStartProgress, ColdStartState

ProgressCallback = Callable[[ColdStartProgress], None]
"""Told of every step of a cold start; an exception it raises ends the call."""

_MAX_POLL_FACTOR = 5.0
_GROWTH = 1.25


class BootTimes:
    """Seconds that earlier starts took, as seen by this process."""

    def __init__(self, keep: int = 20) -> None:
        self._seen: deque[float] = deque(maxlen=keep)

    def note(self, seconds: float) -> None:
        """Remember one start."""
        self._seen.append(seconds)

    @property
    def estimate_s(self) -> float | None:
        """Median of the starts remembered, None before the first."""
        return statistics.median(tuple(self._seen)) if self._seen else None


class Waking:
    """One start being waited for.

    Args:
        started: When the waiting began, on the monotonic clock.
        estimate_s: Seconds such a start took before.
        poll_s: First pause between two looks.
    """

    def __init__(self, started: float, *, estimate_s: float | None, poll_s: float) -> None:
        self.started = started
        self._estimate_s = estimate_s
        self._poll_s = poll_s
        self._factor = 1.0
        self.seen_cold = False

    def pause(self, dice: float) -> float:
        """Return seconds until the next look: growing to 5 x the first, up to a quarter off so that callers spread."""
        pause = self._poll_s * self._factor
        self._factor = min(_MAX_POLL_FACTOR, self._factor * _GROWTH)
        return pause * (1 - 0.25 * dice)

    def progress(self, now: float, *, state: ColdStartState, detail: str) -> ColdStartProgress:
        """Return what to tell people now."""
        return ColdStartProgress(state=state, elapsed_s=now - self.started, estimate_s=self._estimate_s, detail=detail)
