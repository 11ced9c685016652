"""`AsyncClient`: the awaiting driver. Its public name is `llama70b.client.AsyncClient`."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Self

from llama70b import _wire
from llama70b._call import OnInterrupt
from llama70b._http import AsyncHttp
from llama70b._observe import Recorder
from llama70b._ops import Context, Flow, Notify, Op, Outcome, Reply, Send, Sleep, Wake
from llama70b._shell import (
    COUNT,
    MODELS,
    PROBE,
    PROBE_S,
    OnProgress,
    Shell,
    answer_of,
    hangs,
    healthy,
    object_of,
    opened_of,
)
from llama70b._singleflight import AsyncWake, Publish
from llama70b._stream import AsyncChatStream
from llama70b._wake import wake_flow
from llama70b.endpoint import Endpoint, Timeouts
from llama70b.errors import RequestTimeout
from llama70b.types import ChatRequest, ColdStartProgress, Completion, ModelInfo, TokenCount


class _Loop:
    """What an `AsyncClient` has in one event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.http = AsyncHttp(endpoint)
        self.wakeup = AsyncWake()
        self.closer: AsyncGenerator[None, None] = self._closer()

    async def _closer(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.http.aclose()


_parents: list[dict[asyncio.AbstractEventLoop, _Loop]] = []
"""In a forked child, what belongs to loops of the parent: kept, because collecting it would act on those loops."""


class AsyncClient(Shell):
    """An awaiting client of one endpoint; the same arguments and the same policy as `Client`.

    It may be used from several event loops, one after the other or at once in threads: each has connections of its
    own, closed when `asyncio.run` ends its loop.
    """

    def __init__(
        self,
        endpoint: Endpoint | None = None,
        *,
        on_progress: OnProgress | None = None,
        progress_bar: bool | None = None,
        recorder: Recorder | None = None,
        on_interrupt: OnInterrupt = "raise",
    ) -> None:
        super().__init__(
            endpoint,
            on_progress=on_progress,
            progress_bar=progress_bar,
            recorder=recorder,
            on_interrupt=on_interrupt,
        )
        self._begin()

    def _begin(self) -> None:
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """Begin anew in a forked child, with connections of its own."""
        super().after_fork()
        _parents.append(self._loops)
        self._begin()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of the running event loop. The client can still be used; it then opens new ones."""
        with self._lock:
            here = self._loops.pop(asyncio.get_running_loop(), None)
        if here is not None:
            await here.closer.aclose()
        if self._bar is not None:
            self._bar.close()

    async def chat(
        self,
        request: ChatRequest,
        *,
        timeout: float | Timeouts | None = None,  # noqa: ASYNC109 - the frameworks' own name; the flow enforces it
        max_retries: int | None = None,
        on_progress: OnProgress | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Completion:
        """Ask for a whole answer; see `Client.chat`."""
        context = self._context(timeout, max_retries, headers)
        call = self._call(request, context, stream=False)
        try:
            return answer_of(await self._drive(call.flow.run(), context, on_progress), call)
        except BaseException as error:
            call.failed(error)
            raise

    async def stream(
        self,
        request: ChatRequest,
        *,
        timeout: float | Timeouts | None = None,  # noqa: ASYNC109 - as in chat
        max_retries: int | None = None,
        on_progress: OnProgress | None = None,
        headers: Mapping[str, str] | None = None,
        on_interrupt: OnInterrupt | None = None,
    ) -> AsyncChatStream:
        """Ask for an answer in pieces; see `Client.stream`."""
        context = self._context(timeout, max_retries, headers)
        call = self._call(request, context, stream=True, on_interrupt=on_interrupt)
        try:
            opened = opened_of(await self._drive(call.flow.run(), context, on_progress), context)
        except BaseException as error:
            call.failed(error)
            raise
        return AsyncChatStream(opened, call)

    async def models(
        self,
        *,
        timeout: float | Timeouts | None = None,  # noqa: ASYNC109 - as in chat
        max_retries: int | None = None,
    ) -> tuple[ModelInfo, ...]:
        """Return what the endpoint serves. Wakes it."""
        context = self._context(timeout, max_retries)
        return _wire.models(object_of(await self._drive(self._models_flow(context).run(), context), context, MODELS))

    async def health(self, *, timeout: float = 10.0) -> bool:  # noqa: ASYNC109 - as in chat
        """Return whether the endpoint says, now, that it is healthy; see `Client.health`."""
        context = self._context(timeout, 0)
        return healthy(await self._here().http.exchange(self._health_probe(context), context), context)

    async def count_tokens(
        self,
        request: ChatRequest,
        *,
        timeout: float | Timeouts | None = None,  # noqa: ASYNC109 - as in chat
        max_retries: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> TokenCount:
        """Return how many tokens the prompt has; see `Client.count_tokens`."""
        context = self._context(timeout, max_retries, headers)
        reply = await self._drive(self._tokenize_flow(request, context).run(), context)
        return _wire.token_count(object_of(reply, context, COUNT))

    async def tokenize(
        self,
        text: str,
        *,
        timeout: float | Timeouts | None = None,  # noqa: ASYNC109 - as in chat
        max_retries: int | None = None,
    ) -> tuple[int, ...]:
        """Return the server's token ids of a plain text; see `Client.tokenize`."""
        context = self._context(timeout, max_retries)
        reply = await self._drive(self._tokenize_flow(text, context).run(), context)
        return _wire.token_ids(object_of(reply, context, COUNT))

    async def wait_until_ready(
        self,
        on_progress: OnProgress | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as in chat
        probe: bool = False,
    ) -> float:
        """Wake the endpoint and wait until it serves the model; see `Client.wait_until_ready`."""
        context = self._context()
        waited = await self._wake(self._wake_deadline(context, timeout), context, on_progress, want_model=True)
        if probe:
            try:
                await self.chat(PROBE, timeout=min(PROBE_S, context.timeouts.total), max_retries=0)
            except RequestTimeout as error:
                raise hangs(error) from error
        return waited

    def _here(self) -> _Loop:
        """Return what belongs to the running event loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            here = self._loops.get(loop)
            if here is None:
                for ended in [other for other in self._loops if other.is_closed()]:
                    del self._loops[ended]
                here = self._loops[loop] = _Loop(self.endpoint)
                # Begun and left suspended, so that asyncio.run, ending the loop, closes it and with it our connections.
                begun = here.closer.__anext__()
                with contextlib.suppress(StopIteration):
                    begun.send(None)
            return here

    async def _drive(self, flow: Flow, context: Context, listener: OnProgress | None = None) -> Reply:
        try:
            op = next(flow)
            while True:
                op = flow.send(await self._perform(op, context, listener))
        except StopIteration as stop:
            reply: Reply = stop.value
            return reply
        except BaseException:
            if self._bar is not None:  # interrupted or given up: nobody will report the end of the wait
                self._bar.close()
            raise
        finally:
            flow.close()

    async def _perform(self, op: Op, context: Context, listener: OnProgress | None) -> Outcome:
        match op:
            case Send():
                return await self._here().http.exchange(op, context)
            case Wake(deadline=deadline):
                return await self._wake(deadline, context, listener)
            case Sleep(seconds=seconds):
                await asyncio.sleep(seconds)
            case Notify(progress=progress):
                for told in self._tell(progress, listener):
                    if inspect.isawaitable(told):
                        await told
        return None

    async def _wake(
        self, deadline: float, context: Context, listener: OnProgress | None, *, want_model: bool = False
    ) -> float:
        async def look(publish: Publish) -> float:
            flow = wake_flow(context, deadline=deadline, waking=self._waking(context), want_model=want_model)
            try:
                op = next(flow)
                while True:
                    if isinstance(op, Notify):
                        publish(op.progress)
                    op = flow.send(await self._perform(op, context, listener))
            except StopIteration as stop:
                return self._noted(float(stop.value))
            finally:
                flow.close()

        async def tell(progress: ColdStartProgress) -> None:
            if listener is not None and inspect.isawaitable(told := listener(progress)):
                await told

        return await self._here().wakeup.join(deadline, context, look, tell)
