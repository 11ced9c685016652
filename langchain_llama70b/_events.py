"""A cold start as LangChain custom events, so that `astream_events` and callback handlers can show it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import (
    ensure_config,
    get_async_callback_manager_for_config,
    get_callback_manager_for_config,
)

from langchain_llama70b._names import COLD_START_EVENT
from llama70b import ColdStartProgress
from llama70b.client import OnProgress

STREAM_CONFIG: ContextVar[RunnableConfig | None] = ContextVar("llama70b_stream_config", default=None)
"""The config of the `stream` call at work: core hands `_stream` neither it nor a run manager."""


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
