"""Backoff, Retry-After and the budget."""

import email.utils
import math
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b._coldstart import BootTimes, Waking
from llama70b._retry import CAP_S, RetryBudget, backoff, parse_retry_after
from tests.unit.core.world import few

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC).timestamp()


@few
@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_is_full_jitter_under_the_cap(attempt: int, dice: float) -> None:
    assert 0 <= backoff(attempt, dice) <= min(CAP_S, 0.5 * 2.0 ** min(attempt - 1, 20))
    assert backoff(attempt, 0.0) == 0.0


@pytest.fixture
def far_from_utc() -> Iterator[None]:
    """The machine's clock is not at UTC: dates without a zone must not be taken for local ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "XXX+9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("2", 2.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (" 3 ", 3.0),
        ("-1", None),
        ("1e9", 1e9),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1_000", None),
        ("", None),
        ("soon", None),
        ("0x10", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 13:00:30 +0100", 30.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun Nov 22 12:00:30 2026", 30.0),
        ("Sun, 22 Nov 2026 12:00:30 -0000", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 99 Nov 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None, far_from_utc: None) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


@few
@given(st.text(max_size=40))
def test_retry_after_takes_any_text(value: str) -> None:
    seconds = parse_retry_after(value, now=NOW)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@few
@given(st.integers(-(10**6), 10**9))
def test_retry_after_reads_every_date(offset: int) -> None:
    date = email.utils.formatdate(NOW + offset, usegmt=True)
    assert parse_retry_after(date, now=NOW) == max(0, offset)


def test_budget_of_retries() -> None:
    budget = RetryBudget(capacity=3, refund=0.5)
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
    budget.success()
    assert not budget.spend()
    budget.success()
    assert budget.spend()
    for _ in range(100):
        budget.success()
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]


def test_budget_is_shared_by_threads() -> None:
    budget = RetryBudget(capacity=100)
    spent: list[bool] = []
    threads = [threading.Thread(target=lambda: spent.extend(budget.spend() for _ in range(50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(spent) == 100


@few
@given(st.floats(0.001, 100), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=50))
def test_pauses_between_looks_grow_to_five_times_the_first(poll: float, rolls: list[float]) -> None:
    waking = Waking(0.0, estimate_s=None, poll_s=poll)
    pauses = [waking.pause(dice) for dice in rolls]
    assert all(0.75 * poll <= pause <= 5 * poll for pause in pauses)


def test_pauses_never_overflow() -> None:
    waking = Waking(0.0, estimate_s=None, poll_s=0.01)
    assert [waking.pause(0.0) for _ in range(20_000)][-1] == 0.05


def test_estimate_is_the_median_of_earlier_starts() -> None:
    boots = BootTimes(keep=3)
    first = boots.estimate_s
    assert first is None
    for seconds in (1000.0, 60.0, 80.0, 70.0):
        boots.note(seconds)
    assert boots.estimate_s == 70.0
    progress = Waking(10.0, estimate_s=70.0, poll_s=1).progress(25.0, state="waking", detail="503")
    assert (progress.elapsed_s, progress.estimate_s, progress.detail) == (15.0, 70.0, "503")
