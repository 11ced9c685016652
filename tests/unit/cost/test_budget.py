"""A budget refuses before anything is sent, says what was spent, and counts what failed or was left early too."""

from pathlib import Path
from typing import Any

import pytest

from llama70b import ChatRequest, Client, Endpoint, Message
from llama70b._observe import Recorder, Run, RunContext, RunEnd
from llama70b.cost import Budget, Deployment, Price, Spent, check
from llama70b.cost.budget import DAY_NS, HOUR_NS, Spans
from llama70b.errors import BudgetExceeded, ConfigurationError
from llama70b.ledger import BudgetGuard, Ledger, LedgerRecorder, Recorders, Row
from llama70b.ledger._writer import Writer
from tests.unit.scripted_server import KEY, ScriptedServer

NS = 1_000_000_000
NOW = 20_000 * DAY_NS + 13 * HOUR_NS


def deployment(_model: str = "") -> Deployment:
    return Deployment(Price(1_000_000, "a tenth of a cent a second"), 100.0, 60.0, "70b", "test")


def run(number: int, at_ns: int, **changes: Any) -> Run:
    values: dict[str, Any] = {
        "request_id": f"r{number}",
        "endpoint": "https://host",
        "model": "llama",
        "stream": False,
        "messages": 1,
        "tools": 0,
        "prompt_chars": 4,
        "max_tokens": None,
        "started": 0.0,
        "started_at": at_ns / NS,
        "context": RunContext(),
        "price_per_hour": None,
        "request": ChatRequest((Message("user", "x"),)),
    }
    return Run(**values | changes)


def end(seconds: float, cold_s: float = 0.0, **changes: Any) -> RunEnd:
    values: dict[str, Any] = {"outcome": "answered", "ended": seconds, "ended_at": 0.0, "attempts": 1}
    return RunEnd(**values | changes, cold_start_s=cold_s)


class Clock:
    """A clock the test turns."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def guard(clock: Clock, path: Path | None = None, **limits: float) -> BudgetGuard:
    return BudgetGuard(Budget(**limits), path, deployment_of=deployment, now_ns=clock)


def spend(guard: Recorder, clock: Clock, number: int, seconds: float, cold_s: float = 0.0, **how: Any) -> None:
    one = run(number, clock.now)
    guard.started(one)
    clock.now += round(seconds * NS)
    guard.finished(one, end(seconds, cold_s, **how))


def test_dollars_a_day(clock: Clock) -> None:
    watched = guard(clock, usd_per_day=0.15)
    spend(watched, clock, 1, 60)  # 6 cents, and 10 of idle window that pass as the clock does
    watched.started(run(2, clock.now))
    clock.now += 200 * NS
    with pytest.raises(BudgetExceeded) as caught:
        watched.started(run(3, clock.now))
    error = caught.value
    assert (error.unit, error.limit) == ("usd_per_day", 0.15)
    assert error.spent == pytest.approx(0.260)  # r2 is still in flight: 200 s of it count
    assert error.resets_at * NS == NOW - NOW % DAY_NS + DAY_NS
    assert "$0.26 of $0.15 a day are spent" in str(error)
    clock.now = round(error.resets_at) * NS
    watched.finished(run(2, clock.now), end(1))
    fresh = guard(clock, usd_per_day=0.15)
    fresh.started(run(4, clock.now))


@pytest.mark.parametrize(
    "how",
    [
        {"outcome": "failed", "error": "ServerError", "status": 500},
        {"outcome": "closed"},
        {"outcome": "abandoned"},
        {"outcome": "cancelled"},
    ],
    ids=lambda how: how["outcome"],
)
def test_what_failed_or_was_left_counts(clock: Clock, how: dict[str, Any]) -> None:
    watched = guard(clock, usd_per_day=0.05)
    spend(watched, clock, 1, 60, **how)
    with pytest.raises(BudgetExceeded):
        watched.started(run(2, clock.now))


def test_a_refusal_at_the_door_costs_nothing(clock: Clock) -> None:
    watched = guard(clock, usd_per_day=0.05)
    spend(watched, clock, 1, 60, outcome="failed", error="AuthenticationError", status=401)
    clock.now += 1
    # It was in flight when nobody knew that it would be refused; that is all that is counted.
    fresh = guard(clock, usd_per_day=0.05)
    fresh.finished(run(1, NOW), end(60, outcome="failed", error="AuthenticationError", status=401))
    fresh.started(run(2, clock.now))


def test_wake_ups_an_hour(clock: Clock) -> None:
    watched = guard(clock, wakes_per_hour=2)
    for number in range(2):
        spend(watched, clock, number, 70, cold_s=60)
        clock.now += 600 * NS
    with pytest.raises(BudgetExceeded, match="2 of 2 wake-ups an hour") as caught:
        watched.started(run(5, clock.now))
    assert caught.value.resets_at * NS == pytest.approx(NOW + HOUR_NS)
    clock.now = NOW + HOUR_NS + NS
    watched.started(run(6, clock.now))


def test_no_wake_up_is_counted_while_it_is_awake(clock: Clock) -> None:
    watched = guard(clock, wakes_per_hour=1)
    spend(watched, clock, 1, 70, cold_s=60)
    clock.now += 50 * NS  # inside the window of 100 s
    watched.started(run(2, clock.now))


def test_runs_that_wait_for_one_boot_are_one_wake_up(clock: Clock) -> None:
    watched = guard(clock, wakes_per_hour=2)
    first, second = run(1, clock.now), run(2, clock.now + 10 * NS)
    watched.started(first)
    watched.started(second)
    watched.finished(first, end(70, 60))
    watched.finished(second, end(60, 50))
    clock.now += 1000 * NS
    watched.started(run(3, clock.now))


def test_soft_limits_warn_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []
    watched = BudgetGuard(Budget(soft_usd_per_day=0.01), deployment_of=deployment, on_soft=told.append, now_ns=clock)
    for number in range(3):
        spend(watched, clock, number, 60)
    assert len(told) == 1
    assert "budget: $0.06 of $0.01 a day" in caplog.text


def test_what_other_processes_spent_counts(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    writer = Writer(path)
    writer.put(Row("other", NOW - 600 * NS, 60 * NS, "https://host", "llama"))
    writer.close()
    with pytest.raises(BudgetExceeded):
        guard(clock, path, usd_per_day=0.1).started(run(1, clock.now))


def test_nothing_is_sent_and_nothing_is_written(scripted: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = LedgerRecorder(path)
    both = Recorders(BudgetGuard(Budget(usd_per_day=0), deployment_of=deployment), ledger)
    request = ChatRequest((Message("user", "x"),))
    with Client(Endpoint(scripted.url, api_key=KEY), recorder=both) as client, pytest.raises(BudgetExceeded):
        client.chat(request)
    assert scripted.chats == []
    ledger.close()
    assert not path.exists() or Ledger(path).runs() == []


def test_the_environment(monkeypatch: pytest.MonkeyPatch, scripted: ScriptedServer) -> None:
    monkeypatch.setenv("LLAMA70B_BUDGET", "usd_per_day=0")
    monkeypatch.setenv("LLAMA70B_PRICE_PER_HOUR", "5")
    monkeypatch.delenv("LLAMA70B_LEDGER", raising=False)
    with Client(Endpoint(scripted.url, api_key=KEY)) as client, pytest.raises(BudgetExceeded, match=r"\$0\.00 of"):
        client.chat(ChatRequest((Message("user", "x"),)))


@pytest.mark.parametrize("text", ["usd_per_day", "usd_per_day=much", "usd_per_week=3", "usd_per_day=-1"])
def test_a_budget_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Budget.parse(text)


def test_a_budget_in_dollars_needs_a_price() -> None:
    with pytest.raises(ConfigurationError, match="needs a price"):
        BudgetGuard(Budget(usd_per_day=1), deployment_of=lambda _: Deployment(None, 1, 1, "70b", "nobody"))


def test_check_is_pure_and_says_the_hard_limits_first() -> None:
    budget = Budget.parse("soft_usd_per_day=1, usd_per_day=2,wakes_per_hour=1")
    found = check(budget, Spent(3 * NS, (NOW - 10,), awake=False), NOW)
    assert [(finding.hard, finding.unit) for finding in found] == [
        (True, "usd_per_day"),
        (True, "wakes_per_hour"),
        (False, "usd_per_day"),
    ]
    assert check(budget, Spent(0, (), awake=True), NOW) == []


def test_spans() -> None:
    spans = Spans()
    for begin, stop in ((10, 20), (30, 40), (20, 25), (5, 12), (38, 50)):
        spans.add(begin, stop)
    assert list(spans) == [(5, 25), (30, 50)]
    assert spans.covered(0, 35) == 25
    assert (spans.holds(5), spans.holds(27), spans.holds(30)) == (True, False, True)
    spans.forget(26)
    assert list(spans) == [(30, 50)]
