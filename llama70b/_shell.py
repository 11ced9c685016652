"""What `Client` and `AsyncClient` share: their construction, the flows of their calls, the reading of the answers."""

from __future__ import annotations

import contextlib
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

from llama70b import _fork, _wire
from llama70b._call import Call, OnInterrupt
from llama70b._coldstart import BootTimes, Waking
from llama70b._flow import CallFlow
from llama70b._observe import Recorder, default_recorder
from llama70b._ops import OK, Context, Failure, Reply, Send, failure_error
from llama70b._progress import ProgressBar, wants_bar
from llama70b._recording import Recording
from llama70b._retry import RetryBudget
from llama70b._status import error_for, error_in_answer, read_refusal, refusal_in
from llama70b.endpoint import Endpoint, Timeouts, checked_headers
from llama70b.errors import ConfigurationError, EndpointUnavailable, ProtocolError, RequestTimeout
from llama70b.types import ChatRequest, ColdStartProgress, Completion, Message, Timing

OnProgress = Callable[[ColdStartProgress], object]
"""Told of every step of a cold start. For `AsyncClient` it may return an awaitable, which is awaited."""

PROBE = ChatRequest(messages=(Message("user", "Say ok"),), max_tokens=1, temperature=0)
PROBE_S = 60.0
MODELS = "the list of models"
COUNT = "the answer of /tokenize"


class Shell:
    """What both clients share: nothing in it waits."""

    def __init__(
        self,
        endpoint: Endpoint | None = None,
        *,
        on_progress: OnProgress | None = None,
        progress_bar: bool | None = None,
        recorder: Recorder | None = None,
        on_interrupt: OnInterrupt = "raise",
    ) -> None:
        self.endpoint = Endpoint.from_env() if endpoint is None else endpoint
        self._on_progress = on_progress
        self._bar = (
            ProgressBar(self.endpoint.model) if (wants_bar() if progress_bar is None else progress_bar) else None
        )
        self._recorder = recorder
        self._on_interrupt = _checked(on_interrupt)
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

    def _context(
        self,
        timeout: float | Timeouts | None = None,
        max_retries: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Context:
        return Context(
            endpoint=self.endpoint,
            timeouts=Timeouts.of(timeout, self.endpoint.timeouts),
            max_retries=self.endpoint.max_retries if max_retries is None else max_retries,
            budget=self._budget,
            now=time.monotonic,
            wall=time.time,
            dice=random.random,
            request_id=uuid.uuid4().hex,
            headers=checked_headers(headers) if headers else {},
        )

    def _call(
        self, request: ChatRequest, context: Context, *, stream: bool, on_interrupt: OnInterrupt | None = None
    ) -> Call:
        """Begin a chat: its flow, and its record if somebody keeps one."""
        started = context.now()
        body = _wire.chat_body(request, self.endpoint.model, stream=stream)
        url = self.endpoint.base_url + "/chat/completions"
        flow = CallFlow(context, method="POST", url=url, body=body, stream=stream)
        on_interrupt = self._on_interrupt if on_interrupt is None else _checked(on_interrupt)
        recorder = default_recorder() if self._recorder is None else self._recorder
        recording = None if recorder is None else Recording.begin(recorder, request, body, flow, context)
        return Call(context, flow, started, recording, on_interrupt)

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


def _checked(on_interrupt: OnInterrupt) -> OnInterrupt:
    if on_interrupt not in get_args(OnInterrupt):
        raise ConfigurationError(f"on_interrupt is {on_interrupt!r}", hint='"raise" or "return"')
    return on_interrupt


def object_of(reply: Reply, context: Context, what: str) -> dict[str, Any]:
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


def opened_of(reply: Reply, context: Context) -> Any:
    """Return the open stream of a reply; raises what an error object in it says, or that it is no event stream."""
    if reply.opened is not None:
        return reply.opened
    with contextlib.suppress(ProtocolError):  # it is said below what came instead
        object_of(reply, context, "the answer")
    kind = reply.headers.get("content-type", "nothing")
    raise ProtocolError(
        f"asked for a stream, got {kind[:80]} (HTTP {reply.status})",
        hint=_page_hint(reply),
        request_id=context.request_id,
        status=reply.status,
    )


def answer_of(reply: Reply, call: Call) -> Completion:
    """Return the whole answer a reply holds, and record it."""
    context = call.context
    raw = object_of(reply, context, "the answer")
    try:
        answer = _wire.completion(raw)
    except ProtocolError as error:
        error.request_id, error.body = context.request_id, raw
        raise
    total = context.now() - call.started
    timing = Timing(total_s=total, first_token_s=total, cold_start_s=call.flow.cold_s, attempts=call.flow.posts)
    answer = replace(answer, request_id=context.request_id, timing=timing, cost=call.cost(timing))
    call.answered(answer)
    return answer


def healthy(outcome: Reply | Failure, context: Context) -> bool:
    """Return whether a look at `/health` found it well; raises what waiting cannot mend."""
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


def hangs(error: RequestTimeout) -> EndpointUnavailable:
    """Return the error for an endpoint that passes every look and gives no answer."""
    return EndpointUnavailable(
        "the endpoint says it is ready but does not answer a one-token question",
        hint="the engine may be dead behind a healthy /health: restart the server",
        request_id=error.request_id,
    )
