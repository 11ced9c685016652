"""Instrumentation events of our own."""

from __future__ import annotations

from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base.event import BaseEvent

from llama70b import ColdStartProgress

_dispatcher = get_dispatcher(__name__)


class ColdStartEvent(BaseEvent):
    """A sleeping endpoint is being woken; one event a step, beside the `on_progress` callback.

    Attributes:
        state: `cold`, `waking`, `ready` or `failed`.
        elapsed_s: Seconds waited so far.
        estimate_s: Seconds such a start took before, None when not known.
        detail: What was last seen, for people.
    """

    state: str
    elapsed_s: float
    estimate_s: float | None = None
    detail: str = ""

    @classmethod
    def class_name(cls) -> str:
        """Return the name tracers know it by."""
        return "ColdStartEvent"


def announce(progress: ColdStartProgress) -> None:
    """Dispatch one step of a cold start."""
    _dispatcher.event(
        ColdStartEvent(
            state=progress.state,
            elapsed_s=progress.elapsed_s,
            estimate_s=progress.estimate_s,
            detail=progress.detail,
        )
    )
