"""`Client`, and `AsyncClient` beside it: two thin drivers of one policy (`_flow`)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from llama70b import _wire
from llama70b._async_client import AsyncClient
from llama70b._call import OnInterrupt
from llama70b._http import SyncHttp
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
from llama70b._singleflight import Publish, SyncWake
from llama70b._stream import ChatStream
from llama70b._wake import wake_flow
from llama70b.endpoint import Endpoint, Timeouts
from llama70b.errors import RequestTimeout
from llama70b.types import ChatRequest, ColdStartProgress, Completion, ModelInfo, TokenCount

__all__ = ["AsyncClient", "Client", "OnInterrupt", "OnProgress"]


class Client(Shell):
    """A blocking client of one endpoint. Thread-safe, and safe over `fork`.

    Args:
        endpoint: Whom to call; None reads `LLAMA70B_*`. No connection is made before the first call.
        on_progress: Told of every step of a cold start.
        progress_bar: Show a bar while waking; None shows one on a terminal and in a notebook.
        recorder: Told of every chat and stream, once as it begins and once as it ends; None takes the process's, see
            `set_default_recorder`.
        on_interrupt: What becomes of a stream that is cut off, see `stream`.

    Raises:
        ConfigurationError: No endpoint is configured.
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
        headers: Mapping[str, str] | None = None,
    ) -> Completion:
        """Ask for a whole answer.

        Args:
            request: What is asked.
            timeout: Seconds for the call once the endpoint is awake, or all limits; None takes the endpoint's.
            max_retries: Instead of the endpoint's.
            on_progress: Told of a cold start, besides the client's own listener.
            headers: Further headers, such as `Modal-Session-ID`; no credentials. Sent with all exchanges of the call.

        Raises:
            Llama70BError: See the tree in `llama70b.errors`.
        """
        context = self._context(timeout, max_retries, headers)
        call = self._call(request, context, stream=False)
        try:
            return answer_of(self._drive(call.flow.run(), context, on_progress), call)
        except BaseException as error:
            call.failed(error)
            raise

    def stream(
        self,
        request: ChatRequest,
        *,
        timeout: float | Timeouts | None = None,
        max_retries: int | None = None,
        on_progress: OnProgress | None = None,
        headers: Mapping[str, str] | None = None,
        on_interrupt: OnInterrupt | None = None,
    ) -> ChatStream:
        """Ask for an answer in pieces; errors as for `chat`. Returns when the answer begins.

        Args:
            request: As for `chat`, and so are those not named here.
            timeout: As for `chat`.
            max_retries: As for `chat`.
            on_progress: As for `chat`.
            headers: As for `chat`.
            on_interrupt: If the connection, the server or a time limit cuts the answer off after it has begun: "raise"
                an error that carries what had arrived, or "return" that, with `finish_reason` "interrupted". None
                takes the client's. Nothing is sent again either way.
        """
        context = self._context(timeout, max_retries, headers)
        call = self._call(request, context, stream=True, on_interrupt=on_interrupt)
        try:
            opened = opened_of(self._drive(call.flow.run(), context, on_progress), context)
        except BaseException as error:
            call.failed(error)
            raise
        return ChatStream(opened, call)

    def models(
        self, *, timeout: float | Timeouts | None = None, max_retries: int | None = None
    ) -> tuple[ModelInfo, ...]:
        """Return what the endpoint serves. Wakes it."""
        context = self._context(timeout, max_retries)
        return _wire.models(object_of(self._drive(self._models_flow(context).run(), context), context, MODELS))

    def health(self, *, timeout: float = 10.0) -> bool:
        """Return whether the endpoint says, now, that it is healthy: one GET, no retry, no waiting.

        Raises:
            AuthenticationError, PermissionDenied: The credential was refused.
            ConnectionFailed: The certificate was not accepted.
        """
        context = self._context(timeout, 0)
        return healthy(self._http.exchange(self._health_probe(context), context), context)

    def count_tokens(
        self,
        request: ChatRequest,
        *,
        timeout: float | Timeouts | None = None,
        max_retries: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> TokenCount:
        """Return how many tokens the prompt has, template and tools included, counted by the server. Wakes it."""
        context = self._context(timeout, max_retries, headers)
        reply = self._drive(self._tokenize_flow(request, context).run(), context)
        return _wire.token_count(object_of(reply, context, COUNT))

    def tokenize(
        self, text: str, *, timeout: float | Timeouts | None = None, max_retries: int | None = None
    ) -> tuple[int, ...]:
        """Return the server's token ids of a plain text, without template or special tokens. Wakes it."""
        context = self._context(timeout, max_retries)
        reply = self._drive(self._tokenize_flow(text, context).run(), context)
        return _wire.token_ids(object_of(reply, context, COUNT))

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
                self.chat(PROBE, timeout=min(PROBE_S, context.timeouts.total), max_retries=0)
            except RequestTimeout as error:
                raise hangs(error) from error
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
