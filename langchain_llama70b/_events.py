"""The run a call belongs to: its thread, and its callback handlers, which are told of a cold start."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseCallbackManager,
    CallbackManager,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import (
    ensure_config,
    get_async_callback_manager_for_config,
    get_callback_manager_for_config,
    merge_configs,
)

from langchain_llama70b._names import COLD_START_EVENT
from llama70b import ColdStartProgress, RunContext, observing
from llama70b._observe import run_context
from llama70b.client import OnProgress

STREAM_CONFIG: ContextVar[RunnableConfig | None] = ContextVar("llama70b_stream_config", default=None)
"""The config of the `stream` call at work: core hands `_stream` neither it nor a run manager."""


def thread_of(run: BaseRunManager | None) -> str | None:
    """Return the conversation a call belongs to: LangGraph's `thread_id`, None when there is none."""
    config = STREAM_CONFIG.get() or ensure_config()
    places = (config.get("configurable"), config.get("metadata"), None if run is None else run.metadata)
    return next((str(place["thread_id"]) for place in places if place and place.get("thread_id")), None)


def lent(config: RunnableConfig, callbacks: Callbacks) -> RunnableConfig:
    """Return the config with the model's own handlers added: core adds those to its run, which `_stream` is not given.

    A handler that stands in both is told once.
    """
    own = callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks or []
    given = config.get("callbacks")
    known = given.handlers if isinstance(given, BaseCallbackManager) else given or []
    new = [handler for handler in own if handler not in known]
    return {**config, "callbacks": merge_configs(config, {"callbacks": new})["callbacks"]} if new else config


def recorded(run: BaseRunManager | None) -> AbstractContextManager[RunContext]:
    """Say to the client's recorder which run of LangChain's the next call is; what the user said goes first."""
    config = STREAM_CONFIG.get() or {}
    run_id, tags = (config.get("run_id"), config.get("tags")) if run is None else (run.run_id, run.tags)
    known = run_context().parent_run_id
    own = None if run_id is None else str(run_id)
    return observing(framework="langchain", parent_run_id=own if known is None else known, tags=tags or ())


def event_data(progress: ColdStartProgress) -> dict[str, Any]:
    """Return the event's data: `state`, `elapsed_s`, `estimate_s`, `detail`."""
    return asdict(progress)


def listener(run: CallbackManagerForLLMRun | None, also: OnProgress | None = None) -> OnProgress:
    """Return a listener that tells `also`, which belongs to the call, and the run, else the surrounding one."""
    config = STREAM_CONFIG.get()

    def tell(progress: ColdStartProgress) -> None:
        run_id: UUID | None
        if also is not None:
            also(progress)
        if run is not None:
            manager, run_id = CallbackManager(run.handlers, tags=run.tags, metadata=run.metadata), run.run_id
        else:
            manager = get_callback_manager_for_config(ensure_config(config))
            run_id = (config or {}).get("run_id") or manager.parent_run_id
        if run_id is not None:
            manager.on_custom_event(COLD_START_EVENT, event_data(progress), run_id=run_id)

    return tell


def async_listener(
    run: AsyncCallbackManagerForLLMRun | None, also: OnProgress | None = None
) -> Callable[[ColdStartProgress], Awaitable[None]]:
    """Return the awaitable twin of `listener`."""
    config = STREAM_CONFIG.get()

    async def tell(progress: ColdStartProgress) -> None:
        run_id: UUID | None
        if also is not None and inspect.isawaitable(told := also(progress)):
            await told
        if run is not None:
            manager, run_id = AsyncCallbackManager(run.handlers, tags=run.tags, metadata=run.metadata), run.run_id
        else:
            manager = get_async_callback_manager_for_config(ensure_config(config))
            run_id = (config or {}).get("run_id") or manager.parent_run_id
        if run_id is not None:
            await manager.on_custom_event(COLD_START_EVENT, event_data(progress), run_id=run_id)

    return tell
