"""Instrumentation events of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base.event import BaseEvent

from llama70b import ColdStartProgress

_dispatcher = get_dispatcher(__name__)
_Method = TypeVar("_Method", bound=Callable[..., Any])


def chat_events(method: _Method) -> _Method:
    """Decorate a `chat` with LlamaIndex's pair of events; its own decorator forgets the method's types."""
    return cast("_Method", llm_chat_callback()(method))


def completion_events(method: _Method) -> _Method:
    """Decorate a `complete` with LlamaIndex's pair of events, see `chat_events`."""
    return cast("_Method", llm_completion_callback()(method))


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
