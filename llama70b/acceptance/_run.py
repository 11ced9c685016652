"""Ask an endpoint the four questions and measure. The only file of this package that talks to anybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from llama70b.acceptance._checks import CHECKS, Check
from llama70b.acceptance._results import Measured, Outcome, Report
from llama70b.client import Client
from llama70b.errors import ContextOverflow, IncompleteStream, Llama70BError, RequestTimeout, ServerError
from llama70b.types import ChatRequest, Message

_TEMPERATURE = 0.0
_SEED = 0


def run_checks(
    client: Client,
    *,
    checks: Sequence[Check] = CHECKS,
    on_check: Callable[[Check], object] | None = None,
    now: datetime | None = None,
) -> Report:
    """Run the acceptance tests against one endpoint, one after the other.

    The endpoint is woken first, so that no test's seconds hold a cold start. Answers are streamed, greedy
    (temperature 0), and judged as they are: a fault of one answer (cut stream, server error, time-out) fails that
    test and the others go on; whatever concerns all of them (no connection, refused key, unknown model) is raised.

    Args:
        client: Whom to ask.
        checks: Which tests.
        on_check: Told of each test before it runs.
        now: Date of the report; None takes the clock.

    Returns:
        All outcomes.

    Raises:
        Llama70BError: The endpoint cannot be asked at all.
    """
    waited = client.wait_until_ready()
    outcomes = []
    for check in checks:
        if on_check is not None:
            on_check(check)
        outcomes.append(_outcome(client, check))
    stamp = datetime.now(UTC) if now is None else now
    return Report(client.endpoint.model, stamp.isoformat(timespec="seconds"), waited, tuple(outcomes))


def _outcome(client: Client, check: Check) -> Outcome:
    request = ChatRequest(
        messages=(Message("user", check.prompt),), max_tokens=check.max_tokens, temperature=_TEMPERATURE, seed=_SEED
    )
    try:
        with client.stream(request) as stream:
            for _ in stream:
                pass
    except (ContextOverflow, IncompleteStream, RequestTimeout, ServerError) as error:
        return _broken(check, error)
    answer = stream.completion
    assert answer is not None  # a stream that ended without an error has one
    passed, reason = check.judge(answer.text, answer.finish_reason)
    timing, usage = answer.timing, answer.usage
    assert timing is not None  # set by every stream
    measured = Measured(
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        seconds=timing.total_s - timing.cold_start_s,
        first_token_s=None if timing.first_token_s is None else timing.first_token_s - timing.cold_start_s,
    )
    return Outcome(check, passed, reason, answer.text, answer.finish_reason, measured)


def _broken(check: Check, error: Llama70BError) -> Outcome:
    return Outcome(
        check, passed=False, reason=f"no answer: {error}", answer=error.text, finish_reason=None, measured=None
    )
