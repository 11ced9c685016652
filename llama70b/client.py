"""`Client` and `AsyncClient`: two thin drivers of one policy (`_flow`)."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import random
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from llama70b import _fork, _wire
from llama70b._coldstart import BootTimes, Waking
from llama70b._flow import CallFlow
from llama70b._http import AsyncHttp, SyncHttp
from llama70b._ops import OK, Context, Failure, Flow, Notify, Op, Outcome, Reply, Send, Sleep, Wake, failure_error
from llama70b._progress import ProgressBar, wants_bar
from llama70b._retry import RetryBudget
from llama70b._singleflight import AsyncWake, Publish, SyncWake
from llama70b._status import error_for, error_in_answer, read_refusal, refusal_in
from llama70b._stream import AsyncChatStream, ChatStream
from llama70b._wake import wake_flow
from llama70b.endpoint import Endpoint, Timeouts
from llama70b.errors import EndpointUnavailable, Llama70BError, ProtocolError, RequestTimeout
from llama70b.types import ChatRequest, ColdStartProgress, Completion, Message, ModelInfo, Timing, TokenCount

OnProgress = Callable[[ColdStartProgress], object]
"""Told of every step of a cold start. For `AsyncClient` it may return an awaitable, which is awaited."""

_PROBE = ChatRequest(messages=(Message("user", "Say ok"),), max_tokens=1, temperature=0)
_PROBE_S = 60.0


class _Base:
    """What both clients share: nothing in it waits."""

    def __init__(
        self,
        endpoint: Endpoint | None = None,
        *,
        on_progress: OnProgress | None = None,
        progress_bar: bool | None = None,
    ) -> None:
        self.endpoint = Endpoint.from_env() if endpoint is None else endpoint
        self._on_progress = on_progress
        self._bar = (
            ProgressBar(self.endpoint.model) if (wants_bar() if progress_bar is None else progress_bar) else None
        )
        self._budget = RetryBudget()
        self._boots = BootTimes()
        _fork.watch(self)

    def after_fork(self) -> None:
        """Begin anew in a forked child: no lock and no wake-up of the parent's other threads is inherited."""
        self._budget = RetryBudget()
        if self._bar is not None:
            self._bar = ProgressBar(self.endpoint.model)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.endpoint!r})"

    def _context(self, timeout: float | Timeouts | None = None, max_retries: int | None = None) -> Context:
        return Context(
            endpoint=self.endpoint,
            timeouts=Timeouts.of(timeout, self.endpoint.timeouts),
            max_retries=self.endpoint.max_retries if max_retries is None else max_retries,
            budget=self._budget,
            now=time.monotonic,
            wall=time.time,
            dice=random.random,
            request_id=uuid.uuid4().hex,
        )

    def _chat_flow(self, request: ChatRequest, context: Context, *, stream: bool) -> CallFlow:
        body = _wire.chat_body(request, self.endpoint.model, stream=stream)
        url = self.endpoint.base_url + "/chat/completions"
        return CallFlow(context, method="POST", url=url, body=body, stream=stream)

    def _models_flow(self, context: Context) -> CallFlow:
        return CallFlow(context, method="GET", url=self.endpoint.base_url + "/models", body=None, stream=False)

    def _tokenize_flow(self, what: ChatRequest | str, context: Context) -> CallFlow:
        if isinstance(what, str):
            body: dict[str, Any] = {"model": self.endpoint.model, "prompt": what, "add_special_tokens": False}
        else:
            body = _wire.tokenize_body(what, self.endpoint.model)
        return CallFlow(context, method="POST", url=self.endpoint.root_url + "/tokenize", body=body, stream=False)

    def _health_probe(self, context: Context) -> Send:
        return Send("GET", self.endpoint.root_url + "/health", None, False, context.timeouts.first_byte, "first_byte")

    def _waking(self, context: Context) -> Waking:
        return Waking(context.now(), estimate_s=self._boots.estimate_s, poll_s=context.timeouts.poll)

    def _wake_deadline(self, context: Context, timeout: float | None) -> float:
        return context.now() + (context.timeouts.cold_start if timeout is None else timeout)

    def _noted(self, waited: float) -> float:
        if waited:
            self._boots.note(waited)
        return waited

    def _tell(self, progress: ColdStartProgress, listener: OnProgress | None) -> Iterator[object]:
        """Tell everybody who wants to know; yields what their callbacks return."""
        if self._bar is not None:
            self._bar(progress)
        for callback in (self._on_progress, listener):
            if callback is not None:
                yield callback(progress)


class Client(_Base):
    """A blocking client of one endpoint. Thread-safe, and safe over `fork`.

    Args:
        endpoint: Whom to call; None reads `LLAMA70B_*`. No connection is made before the first call.
        on_progress: Told of every step of a cold start.
        progress_bar: Show a bar while waking; None shows one on a terminal and in a notebook.

    Raises:
        ConfigurationError: No endpoint is configured.
    """

    def __init__(
        self,
        endpoint: Endpoint | None = None,
        *,
        on_progress: OnProgress | None = None,
        progress_bar: bool | None = None,
    ) -> None:
        super().__init__(endpoint, on_progress=on_progress, progress_bar=progress_bar)
        self._http = SyncHttp(self.endpoint)
        self._wakeup = SyncWake()

    def after_fork(self) -> None:
        """Begin anew in a forked child, with connections of its own."""
        super().after_fork()
        self._http.after_fork()
        self._wakeup = SyncWake()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. The client can still be used; it then opens new ones."""
        self._http.close()
        if self._bar is not None:
            self._bar.close()

    def chat(
        self,
        request: ChatRequest,
        *,
        timeout: float | Timeouts | None = None,
        max_retries: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Completion:
        """Ask for a whole answer.

        Args:
            request: What is asked.
            timeout: Seconds for the call once the endpoint is awake, or all limits; None takes the endpoint's.
            max_retries: Instead of the endpoint's.
            on_progress: Told of a cold start, besides the client's own listener.

        Raises:
            Llama70BError: See the tree in `llama70b.errors`.
        """
        context = self._context(timeout, max_retries)
        started = context.now()
        flow = self._chat_flow(request, context, stream=False)
        return _answer(self._drive(flow.run(), context, on_progress), flow, context, started)

    def stream(
        self,
        request: ChatRequest,
        *,
        timeout: float | Timeouts | None = None,
        max_retries: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> ChatStream:
        """Ask for an answer in pieces; arguments and errors as for `chat`. Returns when the answer begins."""
        context = self._context(timeout, max_retries)
        started = context.now()
        flow = self._chat_flow(request, context, stream=True)
        reply = self._drive(flow.run(), context, on_progress)
        if reply.opened is None:
            raise _no_stream(reply, context)
        return ChatStream(reply.opened, flow, context, started)

    def models(
        self, *, timeout: float | Timeouts | None = None, max_retries: int | None = None
    ) -> tuple[ModelInfo, ...]:
        """Return what the endpoint serves. Wakes it."""
        context = self._context(timeout, max_retries)
        return _wire.models(_object(self._drive(self._models_flow(context).run(), context), context, _MODELS))

    def health(self, *, timeout: float = 10.0) -> bool:
        """Return whether the endpoint says, now, that it is healthy: one GET, no retry, no waiting.

        Raises:
            AuthenticationError, PermissionDenied: The credential was refused.
            ConnectionFailed: The certificate was not accepted.
        """
        context = self._context(timeout, 0)
        return _healthy(self._http.exchange(self._health_probe(context), context), context)

    def count_tokens(
        self, request: ChatRequest, *, timeout: float | Timeouts | None = None, max_retries: int | None = None
    ) -> TokenCount:
        """Return how many tokens the prompt has, template and tools included, counted by the server. Wakes it."""
        context = self._context(timeout, max_retries)
        reply = self._drive(self._tokenize_flow(request, context).run(), context)
        return _wire.token_count(_object(reply, context, _COUNT))

    def tokenize(
        self, text: str, *, timeout: float | Timeouts | None = None, max_retries: int | None = None
    ) -> tuple[int, ...]:
        """Return the server's token ids of a plain text, without template or special tokens. Wakes it."""
        context = self._context(timeout, max_retries)
        reply = self._drive(self._tokenize_flow(text, context).run(), context)
        return _wire.token_ids(_object(reply, context, _COUNT))

    def wait_until_ready(
        self, on_progress: OnProgress | None = None, *, timeout: float | None = None, probe: bool = False
    ) -> float:
        """Wake the endpoint and wait until it serves the model.

        Args:
            on_progress: Told of every step.
            timeout: Seconds to wait at most; None takes `timeouts.cold_start`.
            probe: Then ask for one token, because an engine can hang behind a healthy `/health`.

        Returns:
            Seconds waited, 0.0 if it was awake.

        Raises:
            ColdStartTimeout: Not ready in time.
            EndpointUnavailable: With `probe`: it says it is ready and does not answer.
        """
        context = self._context()
        waited = self._wake(self._wake_deadline(context, timeout), context, on_progress, want_model=True)
        if probe:
            try:
                self.chat(_PROBE, timeout=min(_PROBE_S, context.timeouts.total), max_retries=0)
            except RequestTimeout as error:
                raise _hangs(error) from error
        return waited

    def _drive(self, flow: Flow, context: Context, listener: OnProgress | None = None) -> Reply:
        try:
            op = next(flow)
            while True:
                op = flow.send(self._perform(op, context, listener))
        except StopIteration as stop:
            reply: Reply = stop.value
            return reply
        except BaseException:
            if self._bar is not None:  # interrupted or given up: nobody will report the end of the wait
                self._bar.close()
            raise
        finally:
            flow.close()

    def _perform(self, op: Op, context: Context, listener: OnProgress | None) -> Outcome:
        match op:
            case Send():
                return self._http.exchange(op, context)
            case Wake(deadline=deadline):
                return self._wake(deadline, context, listener)
            case Sleep(seconds=seconds):
                time.sleep(seconds)
            case Notify(progress=progress):
                for _ in self._tell(progress, listener):
                    pass
        return None

    def _wake(
        self, deadline: float, context: Context, listener: OnProgress | None, *, want_model: bool = False
    ) -> float:
        def look(publish: Publish) -> float:
            flow = wake_flow(context, deadline=deadline, waking=self._waking(context), want_model=want_model)
            try:
                op = next(flow)
                while True:
                    if isinstance(op, Notify):
                        publish(op.progress)
                    op = flow.send(self._perform(op, context, listener))
            except StopIteration as stop:
                return self._noted(float(stop.value))
            finally:
                flow.close()

        def tell(progress: ColdStartProgress) -> None:
            if listener is not None:
                listener(progress)

        return self._wakeup.join(deadline, context, look, tell)


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


class AsyncClient(_Base):
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
    ) -> None:
        super().__init__(endpoint, on_progress=on_progress, progress_bar=progress_bar)
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
    ) -> Completion:
        """Ask for a whole answer; see `Client.chat`."""
        context = self._context(timeout, max_retries)
        started = context.now()
        flow = self._chat_flow(request, context, stream=False)
        return _answer(await self._drive(flow.run(), context, on_progress), flow, context, started)

    async def stream(
        self,
        request: ChatRequest,
        *,
        timeout: float | Timeouts | None = None,  # noqa: ASYNC109 - as in chat
        max_retries: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> AsyncChatStream:
        """Ask for an answer in pieces; see `Client.stream`."""
        context = self._context(timeout, max_retries)
        started = context.now()
        flow = self._chat_flow(request, context, stream=True)
        reply = await self._drive(flow.run(), context, on_progress)
        if reply.opened is None:
            raise _no_stream(reply, context)
        return AsyncChatStream(reply.opened, flow, context, started)

    async def models(
        self,
        *,
        timeout: float | Timeouts | None = None,  # noqa: ASYNC109 - as in chat
        max_retries: int | None = None,
    ) -> tuple[ModelInfo, ...]:
        """Return what the endpoint serves. Wakes it."""
        context = self._context(timeout, max_retries)
        return _wire.models(_object(await self._drive(self._models_flow(context).run(), context), context, _MODELS))

    async def health(self, *, timeout: float = 10.0) -> bool:  # noqa: ASYNC109 - as in chat
        """Return whether the endpoint says, now, that it is healthy; see `Client.health`."""
        context = self._context(timeout, 0)
        return _healthy(await self._here().http.exchange(self._health_probe(context), context), context)

    async def count_tokens(
        self,
        request: ChatRequest,
        *,
        timeout: float | Timeouts | None = None,  # noqa: ASYNC109 - as in chat
        max_retries: int | None = None,
    ) -> TokenCount:
        """Return how many tokens the prompt has; see `Client.count_tokens`."""
        context = self._context(timeout, max_retries)
        reply = await self._drive(self._tokenize_flow(request, context).run(), context)
        return _wire.token_count(_object(reply, context, _COUNT))

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
        return _wire.token_ids(_object(reply, context, _COUNT))

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
                await self.chat(_PROBE, timeout=min(_PROBE_S, context.timeouts.total), max_retries=0)
            except RequestTimeout as error:
                raise _hangs(error) from error
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


_MODELS = "the list of models"
_COUNT = "the answer of /tokenize"


def _object(reply: Reply, context: Context, what: str) -> dict[str, Any]:
    """Return the JSON object of a 200; raises the typed error for what is none, or is an error after all."""
    try:
        raw = _wire.body_object(reply.body, what=what)
    except ProtocolError as error:
        error.request_id = context.request_id
        error.hint = _page_hint(reply)
        raise
    if "choices" not in raw and (refusal := refusal_in(raw)) is not None:
        raise error_in_answer(refusal, request_id=context.request_id)
    return raw


def _page_hint(reply: Reply) -> str:
    html = "html" in reply.headers.get("content-type", "")
    return "an HTML page came back: is base_url the API, or a login page?" if html else ""


def _no_stream(reply: Reply, context: Context) -> Llama70BError:
    """Return the error for a success that is no event stream: what an error object in it says, or that it is none."""
    try:
        _object(reply, context, "the answer")
    except Llama70BError as error:
        if not isinstance(error, ProtocolError):
            return error
    kind = reply.headers.get("content-type", "nothing")
    return ProtocolError(
        f"asked for a stream, got {kind[:80]} (HTTP {reply.status})",
        hint=_page_hint(reply),
        request_id=context.request_id,
        status=reply.status,
    )


def _answer(reply: Reply, flow: CallFlow, context: Context, started: float) -> Completion:
    raw = _object(reply, context, "the answer")
    try:
        answer = _wire.completion(raw)
    except ProtocolError as error:
        error.request_id, error.body = context.request_id, raw
        raise
    total = context.now() - started
    timing = Timing(total_s=total, first_token_s=total, cold_start_s=flow.cold_s, attempts=flow.posts)
    return replace(answer, request_id=context.request_id, timing=timing)


def _healthy(outcome: Reply | Failure, context: Context) -> bool:
    match outcome:
        case Reply(status=401 | 403 as status):
            raise error_for(
                status,
                read_refusal(outcome.body),
                request_id=context.request_id,
                has_key=bool(context.endpoint.auth_headers()),
            )
        case Reply(status=status):
            return status == OK
        case Failure(kind="tls" | "unsendable"):
            raise failure_error(outcome, context) from outcome.cause
        case Failure():
            return False


def _hangs(error: RequestTimeout) -> EndpointUnavailable:
    return EndpointUnavailable(
        "the endpoint says it is ready but does not answer a one-token question",
        hint="the engine may be dead behind a healthy /health: restart the server",
        request_id=error.request_id,
    )
