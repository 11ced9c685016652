"""The policy of a call, written once: what to send, when to wait, when to give up. No I/O, no clock of its own.

A flow is a generator. It yields an operation (see `_ops`) and is sent its outcome; the drivers in `client` carry the
operations out, one by blocking, one by awaiting. The idea is httpx's `Auth.auth_flow`.

Policy [notes: reliability 4]: cold is not failing. A 503 to the prompt leads to looks by cheap GETs (`_wake`), never
to a second POST while it sleeps; a 303 is a held answer, fetched by GET from the same origin and never asked anew.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any, Literal

from llama70b import _wire
from llama70b._coldstart import Waking
from llama70b._ops import (
    INTERNAL_ERROR,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    OK,
    SEE_OTHER,
    Context,
    Failure,
    Flow,
    Notify,
    Op,
    Outcome,
    Reply,
    Send,
    Sleep,
    Wake,
    cold_start_timeout,
    failure_error,
    own_location,
    redirect_refused,
)
from llama70b._retry import MAX_RETRY_AFTER_S, RETRYABLE_STATUS, backoff, parse_retry_after
from llama70b._status import error_for, read_refusal
from llama70b._wake import model_ids
from llama70b.endpoint import Timeouts
from llama70b.errors import (
    ConfigurationError,
    ContextOverflow,
    Llama70BError,
    NotFound,
    ProtocolError,
    RequestTimeout,
)

_LOOK_UP_S = 10.0
"""Most seconds for a look that only makes an error text better."""


class CallFlow:
    """Policy of one call. Use `run()` once.

    Attributes:
        cold_s: Seconds spent waiting for the endpoint to wake.
        posts: How often the request was sent.
        sent: When it was sent last, on the monotonic clock; None before.
    """

    def __init__(
        self, context: Context, *, method: Literal["GET", "POST"], url: str, body: dict[str, Any] | None, stream: bool
    ) -> None:
        self.cold_s = 0.0
        self.posts = 0
        self.sent: float | None = None
        self._context = context
        self._method: Literal["GET", "POST"] = method
        self._url = url
        self._stream = stream
        self._requested_tokens = body.get("max_tokens") if body else None
        self._body = None if body is None else _encoded(body)
        self._chat = body if body and "messages" in body else None
        self._started = context.now()
        self._retries = 0
        self._stale_resent = False

    def run(self) -> Flow:
        """Yield operations until the call is answered; return the answer, status 2xx.

        Raises:
            Llama70BError: See the tree in `errors`.
        """
        while True:
            op = self._send()
            self.posts += 1
            self.sent = sent = self._context.now()
            outcome = yield op
            if isinstance(outcome, Reply) and outcome.status == SEE_OTHER:
                outcome = yield from self._fetch_held(outcome, sent)
            match outcome:
                case Reply(status=status) if 200 <= status < 300:  # noqa: PLR2004 - success
                    if self._retries == 0:
                        self._context.budget.success()
                    return outcome
                case Reply(status=status) if 300 <= status < 400:  # noqa: PLR2004 - redirection
                    raise redirect_refused(outcome, self._context)
                case Reply(status=503):
                    waited = yield Wake(self._cold_deadline())
                    waited = waited if isinstance(waited, float) else 0.0
                    self.cold_s += waited
                    if waited == 0.0:  # it serves, so this 503 was no cold start: overload
                        yield from self._pause_before_retry(outcome)
                case Reply():
                    yield from self._after_refusal(outcome)
                case Failure():
                    yield from self._after_failure(outcome)
                case _:
                    raise AssertionError(f"a Send was answered with {outcome!r}")

    def _send(self) -> Send:
        timeouts = self._context.timeouts
        left = self._total_deadline() - self._context.now()
        if left <= 0:
            raise RequestTimeout(
                f"the call took longer than timeouts.total ({timeouts.total:g} s)", request_id=self._context.request_id
            )
        # A held answer may be minutes away for a good reason; cutting it before Modal does would run it twice.
        if self._context.endpoint.holds_requests:
            limit, name = max(timeouts.first_byte, Timeouts().first_byte), "first_byte"
        elif self._stream and timeouts.first_byte < left:
            limit, name = timeouts.first_byte, "first_byte"
        else:
            limit, name = left, "total"
        return Send(self._method, self._url, self._body, self._stream, limit, name, within=max(limit, left))

    def _total_deadline(self) -> float:
        return self._started + self._context.timeouts.total + self.cold_s

    def _cold_deadline(self) -> float:
        return self._context.now() + max(0.0, self._context.timeouts.cold_start - self.cold_s)

    def _fetch_held(self, reply: Reply, since: float) -> Generator[Op, Outcome, Outcome]:
        """Fetch the answer of a held request: GETs of the URL each 303 names, until something else comes.

        https://modal.com/docs/guide/webhook-timeouts: the result URL can be loaded again without a new run, so a
        poll that fails is repeated and the prompt is not sent again.
        """
        context = self._context
        waking = Waking(since, estimate_s=None, poll_s=context.timeouts.poll)
        deadline = since + max(0.0, context.timeouts.cold_start - self.cold_s)
        url = self._url
        outcome: Outcome = reply
        hop_s = context.now() - since
        while True:
            sent = context.now()
            match outcome:
                case Reply(status=303):
                    target = own_location(outcome, url, context.endpoint)
                    if target is None:
                        raise redirect_refused(outcome, context)
                    url = target
                    detail = "held (303)"
                case Reply(status=408 | 429 | 502 | 503 | 504):  # of the poll, not of the run
                    detail = f"HTTP {outcome.status}"
                case Failure(kind="connect" | "connect_timeout" | "no_answer" | "stale" | "timeout" | "broken" as kind):
                    detail = kind.replace("_", " ")
                case _:
                    self.cold_s += context.now() - since
                    yield Notify(waking.progress(context.now(), state="ready", detail="answered"))
                    return outcome
            # Modal holds each hop for 150 s; whoever answers at once is not asked in a tight loop.
            pause = waking.pause(context.dice()) if hop_s < context.timeouts.poll else 0.0
            if sent >= deadline:
                yield Notify(waking.progress(sent, state="failed", detail=detail))
                raise cold_start_timeout(context, sent - since)
            yield Notify(waking.progress(sent, state="waking", detail=detail))
            if pause:
                yield Sleep(min(pause, deadline - sent))
            sent = context.now()
            limit = min(context.timeouts.first_byte, max(0.001, deadline - sent))
            outcome = yield Send("GET", url, None, self._stream, limit, "first_byte")
            hop_s = context.now() - sent

    def _after_refusal(self, reply: Reply) -> Generator[Op, Outcome, None]:
        if reply.status in {NOT_FOUND, METHOD_NOT_ALLOWED} and self._method == "POST":
            raise (yield from self._not_found(reply))
        once_only = reply.status == INTERNAL_ERROR and self._retries > 0
        if reply.status not in RETRYABLE_STATUS or once_only:
            error = self._refused(reply)
            if isinstance(error, ContextOverflow):
                yield from self._count(error)
            raise error
        yield from self._pause_before_retry(reply)

    def _not_found(self, reply: Reply) -> Generator[Op, Outcome, Llama70BError]:
        """Return NotFound with the models the server does have."""
        error = self._refused(reply)
        context = self._context
        url = context.endpoint.base_url + "/models"
        listed = yield Send("GET", url, None, False, _LOOK_UP_S, "first_byte")
        served = model_ids(listed)
        if served and isinstance(error, NotFound):
            error.hint = f"served here: {', '.join(served)}; set model=... or LLAMA70B_MODEL"
        elif isinstance(error, NotFound):
            error.hint = f"is {context.endpoint.base_url} the right base_url?"
        return error

    def _count(self, error: ContextOverflow) -> Generator[Op, Outcome, None]:
        """Put the prompt's true length on an overflow: vLLM stops counting one past the window ("at least")."""
        if self._chat is None:
            return
        url, body = self._context.endpoint.root_url + "/tokenize", _encoded(_wire.counted_part(self._chat))
        counted = yield Send("POST", url, body, False, _LOOK_UP_S, "first_byte")
        if isinstance(counted, Reply) and counted.status == OK:
            try:
                count = _wire.token_count(_wire.body_object(counted.body, what="the answer of /tokenize"))
            except ProtocolError:
                return  # not vLLM: the server's own words have to do
            error.prompt_tokens = count.count
            error.max_model_len = error.max_model_len or count.max_model_len
            error.message = f"the prompt has {count.count} tokens, the context window {error.max_model_len}"
            error.args = (error.message,)

    def _refused(self, reply: Reply) -> Llama70BError:
        context = self._context
        return error_for(
            reply.status,
            read_refusal(reply.body),
            request_id=context.request_id,
            retry_after=reply.headers.get("retry-after"),
            now=context.wall(),
            has_key=bool(context.endpoint.auth_headers()),
            requested_tokens=self._requested_tokens,
        )

    def _after_failure(self, failure: Failure) -> Generator[Op, Outcome, None]:
        match failure.kind:
            case "stale" if not self._stale_resent:
                # The server closed an idle connection as we wrote: no byte was read, so one silent re-send is safe.
                self._stale_resent = True
            case "connect" | "no_answer" | "stale":
                yield from self._pause_before_retry(failure)
            case "broken" if not self._stream:
                yield from self._pause_before_retry(failure)
            case _:
                raise failure_error(failure, self._context) from failure.cause

    def _pause_before_retry(self, outcome: Reply | Failure) -> Generator[Op, Outcome, None]:
        """Sleep, or raise when no retry is left or the wait would pass the deadline."""
        context = self._context
        if isinstance(outcome, Reply):
            error = self._refused(outcome)
            wish = parse_retry_after(outcome.headers.get("retry-after"), now=context.wall())
        else:
            error, wish = failure_error(outcome, context), None
            error.__cause__ = outcome.cause
        if self._retries >= context.max_retries or (wish is not None and wish > MAX_RETRY_AFTER_S):
            raise error
        if not context.budget.spend():
            error.hint = error.hint or "many calls are failing: the client's retry budget is empty"
            raise error
        self._retries += 1
        pause = backoff(self._retries, context.dice()) if wish is None else wish
        if context.now() + pause >= self._total_deadline():
            raise error
        yield Sleep(pause)


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate cannot be UTF-8; escaped it can
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the request cannot be written as JSON: {error}") from error
