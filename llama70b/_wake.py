"""Waiting for a sleeping endpoint by cheap looks, as a flow (see `_flow`). No I/O."""

from __future__ import annotations

from collections.abc import Generator

from llama70b import _wire
from llama70b._coldstart import Waking
from llama70b._ops import (
    INTERNAL_ERROR,
    OK,
    Context,
    Failure,
    Notify,
    Op,
    Outcome,
    Reply,
    Send,
    Sleep,
    cold_start_timeout,
    failure_error,
    own_location,
    redirect_refused,
)
from llama70b._status import error_for, read_refusal
from llama70b.errors import NotFound, ProtocolError


def wake_flow(
    context: Context, *, deadline: float, waking: Waking, want_model: bool = False
) -> Generator[Op, Outcome, float]:
    """Look until the endpoint serves; return the seconds waited, 0.0 if it served at the first look.

    Ready means `/v1/models` answers too: `/health` alone can be 200 over a dead engine (vllm#39863).

    Args:
        context: The world.
        deadline: When to give up, on the monotonic clock.
        waking: Book-keeping of this start.
        want_model: Refuse a server that lists other models; a call leaves that to the server's own 404.

    Raises:
        ColdStartTimeout: Not ready at the deadline.
        AuthenticationError, PermissionDenied: The key is refused; no amount of waiting helps.
        NotFound: The server is up but serves other models.
        RedirectRefused: A redirect that is not a same-origin 303.
    """
    endpoint = context.endpoint
    while True:
        limit = max(0.001, min(context.timeouts.first_byte, deadline - context.now()))
        outcome = yield Send("GET", endpoint.root_url + "/health", None, False, limit, "first_byte")
        detail = _cold_sign(outcome, context)
        if detail is None:
            outcome = yield Send("GET", endpoint.base_url + "/models", None, False, limit, "first_byte")
            detail = _cold_sign(outcome, context)
            if detail is None and want_model:
                _refuse_other_models(outcome, context)
        now = context.now()
        if detail is None:
            waited = now - waking.started if waking.seen_cold else 0.0
            if waking.seen_cold:
                yield Notify(waking.progress(now, state="ready", detail="serving"))
            return waited
        first = not waking.seen_cold
        waking.seen_cold = True
        if now >= deadline:
            yield Notify(waking.progress(now, state="failed", detail=detail))
            raise cold_start_timeout(context, now - waking.started)
        yield Notify(waking.progress(now, state="cold" if first else "waking", detail=detail))
        yield Sleep(min(waking.pause(context.dice()), deadline - now))


def _cold_sign(outcome: Outcome, context: Context) -> str | None:
    """Return why the endpoint does not serve yet, None if it answers. Raises what waiting cannot mend."""
    match outcome:
        case Reply(status=502 | 503 | 504 | 429 as status):
            return f"HTTP {status}"
        case Reply(status=303) if own_location(outcome, context.endpoint.base_url, context.endpoint):
            return "held (303)"
        case Reply(status=401 | 403 as status):
            raise error_for(
                status,
                read_refusal(outcome.body),
                request_id=context.request_id,
                has_key=bool(context.endpoint.auth_headers()),
            )
        case Reply(status=status) if 300 <= status < 400:  # noqa: PLR2004 - redirection
            raise redirect_refused(outcome, context)
        case Reply(status=status) if status >= INTERNAL_ERROR:
            return f"HTTP {status}"
        case Reply():
            return None  # also 404: a gateway that hides this path is awake
        case Failure(kind="tls" | "unsendable"):
            raise failure_error(outcome, context) from outcome.cause
        case Failure(kind=kind):
            return kind.replace("_", " ")
        case _:
            raise AssertionError(f"a Send was answered with {outcome!r}")


def _refuse_other_models(outcome: Outcome, context: Context) -> None:
    served = model_ids(outcome)
    if served and context.endpoint.model not in served:  # no list, or an empty one, says nothing
        raise NotFound(
            f"the endpoint does not serve {context.endpoint.model!r}",
            hint=f"served here: {', '.join(served)}; set model=... or LLAMA70B_MODEL",
        )


def model_ids(outcome: Outcome) -> list[str] | None:
    """Return the names a `/v1/models` answer lists, None if it is no such list."""
    if not isinstance(outcome, Reply) or outcome.status != OK:
        return None
    try:
        return [model.id for model in _wire.models(_wire.body_object(outcome.body, what="the list of models"))]
    except ProtocolError:
        return None
