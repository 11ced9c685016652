"""Money: the closed form and the simulation agree, up-times are found, and every nanodollar is borne by somebody."""

import datetime as dt
import itertools
import json
import random
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b.cost import (
    Container,
    ModalBilling,
    Price,
    allocate,
    answer_cost,
    cycles,
    deployment_from_env,
    price_from_env,
    price_table,
    reconcile,
    sibling_break_even,
    sibling_saving,
    simulated,
    size_of,
    steady_state,
)
from llama70b.cost.closed_form import poisson, replay
from llama70b.cost.cycles import Cycle, bill_of, merged, split
from llama70b.errors import ConfigurationError, ProtocolError
from llama70b.ledger import NS, Bill, Row
from llama70b.types import Timing

LIST = Container(5.0, 150, 180, 6)
SEED_PRICE = Container(2.2, 150, 180, 6)
SMALL = Container(1.1, 60, 180, 1.5)
T0 = 1_800_000_000 * NS


def at(number: int, start_s: float, total_s: float, cold_s: float = 0.0, **changes: Any) -> Row:
    values: dict[str, Any] = {
        "id": f"run-{number}",
        "started_ns": T0 + round(start_s * NS),
        "total_ns": round(total_s * NS),
        "cold_ns": round(cold_s * NS),
        "endpoint": "https://host",
        "requested_model": "llama",
    }
    return Row(**values | changes)


# -- the closed form --


@pytest.mark.parametrize("per_hour", [1, 6, 12, 20, 30, 60, 300])
def test_closed_form_and_simulation_agree_within_1_percent(per_hour: int) -> None:
    expected = steady_state(LIST, per_hour / 3600)
    seen = simulated(LIST, per_hour / 3600, requests=400_000, seed=7)
    assert seen.dollars_per_request == pytest.approx(expected.dollars_per_request, rel=0.01)
    assert seen.dollars_per_day == pytest.approx(expected.dollars_per_day, rel=0.01)
    assert seen.duty == pytest.approx(expected.duty, rel=0.01)
    if per_hour <= 60:  # above, a cold start is too rare to be counted
        assert seen.waiting_share == pytest.approx(expected.waiting_share, rel=0.01)
        assert seen.mean_wait_s == pytest.approx(expected.mean_wait_s, rel=0.01)


@pytest.mark.parametrize(
    ("per_hour", "duty", "waiting", "per_request", "per_day"),
    [
        (1, 0.09, 0.95, 0.432, 10.4),
        (6, 0.38, 0.78, 0.317, 45.6),
        (60, 0.96, 0.14, 0.080, 115),
        (300, 1, 0, 0.0167, 120),
    ],
)
def test_the_table_of_the_notes(per_hour: int, duty: float, waiting: float, per_request: float, per_day: float) -> None:
    got = steady_state(LIST, per_hour / 3600)
    assert (got.duty, got.waiting_share) == (pytest.approx(duty, abs=0.006), pytest.approx(waiting, abs=0.006))
    assert got.dollars_per_request == pytest.approx(per_request, rel=0.005)
    assert got.dollars_per_day == pytest.approx(per_day, rel=0.005)


def test_the_limits() -> None:
    assert steady_state(LIST, 0).dollars_per_request == pytest.approx(LIST.dollars_per_second * 336)
    assert steady_state(LIST, 1e-9).dollars_per_request == pytest.approx(LIST.dollars_per_second * 336, rel=1e-4)
    assert steady_state(LIST, 50.0).dollars_per_request == pytest.approx(LIST.dollars_per_second / 50)
    with pytest.raises(ConfigurationError):
        steady_state(LIST, -1)
    with pytest.raises(ConfigurationError):
        Container(5, float("nan"), 1, 1)


def test_break_even_of_the_sibling_is_the_notes() -> None:
    shares = (0.3, 0.5, 0.7, 0.9)
    at_list = [sibling_break_even(LIST, SMALL, share) * 3600 for share in shares]
    at_seed = [sibling_break_even(SEED_PRICE, SMALL, share) * 3600 for share in shares]
    assert at_list == pytest.approx([30, 45, 80, 244], rel=0.03)
    assert at_seed == pytest.approx([12, 17, 29, 92], rel=0.03)
    assert sibling_saving(LIST, SMALL, 6 / 3600, 0.5) > 0 > sibling_saving(LIST, SMALL, 120 / 3600, 0.5)


def test_a_replay_by_hand() -> None:
    box = Container(3600, 10, 20, 5)
    seen = replay(box, [0, 3, 12, 100])
    # boot 0-10; work 10-15 for two, 12-17 for the third; idle to 37; then boot 100-110, work to 115, idle to 135
    assert (seen.starts, seen.requests, seen.waiting) == (2, 4, 3)
    assert (seen.up_s, seen.boot_s, seen.busy_s, seen.idle_s) == (72, 20, 12, 40)
    assert seen.waited_s == 10 + 7 + 10
    assert seen.cost(box) == pytest.approx(72)


# -- up-times --


def test_one_lonely_request() -> None:
    (cycle,) = cycles([at(0, 0, 156, cold_s=150)], 180)
    assert (cycle.up_ns, cycle.boot_ns, cycle.busy_ns, cycle.idle_ns) == (336 * NS, 150 * NS, 6 * NS, 180 * NS)
    assert not cycle.cut


def test_requests_that_wait_together_share_a_boot() -> None:
    rows = [at(0, 0, 156, cold_s=150), at(1, 60, 98, cold_s=92), at(2, 200, 5)]
    (cycle,) = cycles(rows, 180)
    assert cycle.boot_ns == 150 * NS
    assert cycle.to_ns == T0 + 385 * NS


def test_a_cold_start_where_it_should_be_awake_cuts_the_up_time() -> None:
    first, second = cycles([at(0, 0, 156, cold_s=150), at(1, 200, 156, cold_s=150)], 180)
    assert first.cut
    assert first.to_ns == second.from_ns == T0 + 200 * NS


def test_asleep_by_our_reckoning_and_yet_awake_begins_anew_without_a_boot() -> None:
    _, second = cycles([at(0, 0, 156, cold_s=150), at(1, 1000, 5)], 180)
    assert second.boot_ns == 0
    assert second.up_ns == 185 * NS


def test_refusals_at_the_door_wake_nothing_failures_after_a_wait_do() -> None:
    refused = at(0, 0, 1, outcome="failed", error="AuthenticationError")
    waited = at(1, 500, 30, cold_s=30, outcome="failed", error="ColdStartTimeout", attempts=0)
    (cycle,) = cycles([refused, waited], 180)
    assert cycle.from_ns == T0 + 500 * NS
    assert cycle.boot_ns == 30 * NS


def test_until_now() -> None:
    (cycle,) = cycles([at(0, 0, 10)], 180, until_ns=T0 + 60 * NS)
    assert cycle.up_ns == 60 * NS


def test_endpoints_are_apart() -> None:
    assert len(cycles([at(0, 0, 10), at(1, 1, 10, endpoint="https://other")], 180)) == 2


def test_reconstruction_agrees_with_what_the_simulated_container_did() -> None:
    """Rows as the client would have written them, played back: the up-time found is the up-time there was."""
    box, rng = Container(5.0, 90, 120, 4), random.Random(3)
    arrivals = list(poisson(25 / 3600, 3000, rng))
    services = [rng.uniform(1, 9) for _ in arrivals]
    seen = replay(box, arrivals, services)
    rows, ready, idle_from = [], -1e9, -1e9
    for number, (start, service) in enumerate(zip(arrivals, services, strict=True)):
        if start >= idle_from + box.window_s:
            ready = start + box.boot_s
            idle_from = ready
        begins = max(start, ready)
        idle_from = max(idle_from, begins + service)
        rows.append(at(number, start, begins + service - start, cold_s=begins - start))
    found = cycles(rows, box.window_s)
    assert len(found) == seen.starts
    assert sum(cycle.up_ns for cycle in found) / NS == pytest.approx(seen.up_s, abs=0.01)
    assert sum(cycle.busy_ns for cycle in found) / NS == pytest.approx(seen.busy_s, abs=0.01)
    assert sum(cycle.boot_ns for cycle in found) / NS == pytest.approx(seen.boot_s, abs=0.01)


# -- allocation --

ROWS = st.lists(
    st.tuples(
        st.integers(0, 4000 * NS),  # start
        st.integers(0, 300 * NS),  # total
        st.one_of(st.just(0), st.integers(0, 200 * NS)),  # cold
        st.sampled_from(["answered", "closed", "failed", "abandoned"]),
    ),
    min_size=1,
    max_size=40,
)


def _rows(drawn: list[tuple[int, int, int, str]]) -> list[Row]:
    return [
        at(number, 0, 0, started_ns=T0 + start, total_ns=total, cold_ns=min(cold, total), outcome=outcome)
        for number, (start, total, cold, outcome) in enumerate(drawn)
    ]


@given(ROWS, st.integers(0, 600), st.integers(0, 10**8), st.one_of(st.none(), st.integers(0, 10**13)))
def test_allocation_is_exact_to_the_nanodollar(
    drawn: list[tuple[int, int, int, str]], window: int, price: int, billed: int | None
) -> None:
    found = cycles(_rows(drawn), window)
    assert sum(len(cycle.rows) for cycle in found) == len(drawn), "every run is in exactly one up-time"
    for cycle in found:
        got = allocate(cycle, price, bill=billed)
        assert got.bill == (bill_of(cycle, price) if billed is None else billed)
        assert sum(share.boot for share in got.shares) == got.boot
        assert sum(share.busy for share in got.shares) == got.busy
        assert sum(share.idle for share in got.shares) == got.idle
        assert sum(share.total for share in got.shares) == got.bill
        assert all(min(share.boot, share.busy, share.idle) >= 0 for share in got.shares)
        assert cycle.boot_ns + cycle.busy_ns + cycle.idle_ns == cycle.up_ns
        assert min(cycle.boot_ns, cycle.busy_ns, cycle.idle_ns) >= 0


@given(ROWS, st.integers(0, 600))
def test_up_times_of_one_endpoint_never_overlap(drawn: list[tuple[int, int, int, str]], window: int) -> None:
    spans = [(cycle.from_ns, cycle.to_ns) for cycle in cycles(_rows(drawn), window)]
    for (_, end), (begin, _) in itertools.pairwise(spans):
        assert end <= begin


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**20), min_size=1, max_size=50))
def test_split(amount: int, weights: list[int]) -> None:
    parts = split(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        exact = amount * weight / sum(weights) if sum(weights) else amount / len(weights)
        assert abs(part - exact) <= 1 + 1e-9 * amount


def test_nobody_to_bear_it() -> None:
    assert split(0, []) == []
    with pytest.raises(ValueError, match="nobody"):
        split(5, [])


def test_concurrent_requests_share_the_seconds_they_share() -> None:
    rows = [at(0, 0, 10), at(1, 5, 10)]  # alone 5 s, together 5 s, alone 5 s
    got = allocate(cycles(rows, 0)[0], NS)
    assert [share.busy for share in got.shares] == [7_500_000_000, 7_500_000_000]


def test_the_boot_is_borne_by_those_who_waited() -> None:
    got = allocate(cycles([at(0, 0, 156, cold_s=150), at(1, 200, 5)], 180)[0], 1000)
    assert [share.boot for share in got.shares] == [150_000, 0]
    assert [share.idle for share in got.shares] == [got.idle // 2, got.idle - got.idle // 2]


# -- bills --


def test_kappa() -> None:
    up = merged([(T0, T0 + 1000 * NS)])
    hour = T0 - T0 % (3600 * NS)
    bills = [Bill(hour, hour + 3600 * NS, "app", "gpu", 3000), Bill(hour, hour + 3600 * NS, "app", "cpu", 300)]
    got = reconcile(up, 3, bills)
    assert got is not None
    inside = min(1000, (hour + 3600 * NS - T0) // NS)
    assert got.estimated == inside * 3
    assert got.kappa == pytest.approx(3300 / (inside * 3))
    assert reconcile(up, 3, []) is None


class FakeWorkspace:
    """Modal's billing as its SDK 1.6.4 has it: what `report` takes and what it returns."""

    def __init__(self, **changes: Any) -> None:
        self.asked: dict[str, Any] = {}
        self.billing = self
        self.changes = changes

    def report(self, *, start: dt.datetime, end: dt.datetime, resolution: str) -> list[SimpleNamespace]:
        self.asked = {"start": start, "end": end, "resolution": resolution}
        item = {
            "object_id": "ap-1",
            "description": "llama70b",
            "environment_name": "main",
            "interval_start": start,
            "cost": Decimal("1.5"),
            "cost_by_resource": {"GPU": Decimal("1.4"), "CPU": Decimal("0.1")},
            "tags": {},
        }
        other = item | {"description": "something else"}
        return [SimpleNamespace(**(item | self.changes)), SimpleNamespace(**other)]


def test_modals_bill() -> None:
    workspace = FakeWorkspace()
    hour = 3600 * NS
    bills = ModalBilling("llama70b", workspace).bills(10 * hour + 1, 12 * hour + 5)
    assert workspace.asked["start"] == dt.datetime(1970, 1, 1, 11, tzinfo=dt.UTC)
    assert workspace.asked["end"] == dt.datetime(1970, 1, 1, 12, tzinfo=dt.UTC)
    assert bills == [
        Bill(11 * hour, 12 * hour, "llama70b", "GPU", 1_400_000_000),
        Bill(11 * hour, 12 * hour, "llama70b", "CPU", 100_000_000),
    ]
    assert ModalBilling(None, workspace).bills(0, 10) == []
    with pytest.raises(ProtocolError):
        ModalBilling(None, FakeWorkspace(interval_start="yesterday")).bills(0, 2 * hour)


# -- prices --


def test_the_table_says_what_the_server_says() -> None:
    """One truth in two places until server/ reads this table: they must not drift apart."""
    from server.capacity import cold_start_s, usd_per_second
    from server.profiles import PROFILES

    table = price_table("")
    assert set(table.profiles) == set(PROFILES)
    for name, profile in PROFILES.items():
        assert table.profiles[name].price.nano_per_s == pytest.approx(usd_per_second(profile) * 1e9, abs=1)
        assert table.profiles[name].tok_s == profile.speed.tok_s
        assert table.profiles[name].window_s == profile.scaledown_window_s
        assert table.profiles[name].boot_s == pytest.approx(cold_start_s(profile), abs=1)
    assert table.profile("a100x2-bf16").gpu_only.dollars_per_hour == pytest.approx(4.9968)


def test_a_file_overrides_entry_by_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"profiles": {"h200-fp8": {"per_hour": 3.6}}}))
    assert price_table(file).profile("h200-fp8").price.nano_per_s == 1_000_000
    assert price_table(file).profile("8b") == price_table("").profile("8b")
    monkeypatch.setenv("LLAMA70B_PRICES", str(file))
    assert price_from_env(environ={"LLAMA70B_PROFILE": "h200-fp8"}) == price_table(file).profile("h200-fp8").price
    file.write_text('{"profiles": {"x": {}}}')
    with pytest.raises(ConfigurationError, match="cannot be used"):
        price_table(str(file) + "/../prices.json")


def test_what_the_environment_says() -> None:
    assert price_from_env(environ={}) is None
    assert price_from_env(environ={"LLAMA70B_PROFILE": "my-own"}) is None
    assert price_from_env(environ={"LLAMA70B_PRICE_PER_HOUR": "3.6"}) == Price(1_000_000, "LLAMA70B_PRICE_PER_HOUR")
    assert price_from_env(model="llama-3.1-8b", environ={"LLAMA70B_PRICE_PER_HOUR": "3.6"}) is None
    assert deployment_from_env(environ={"LLAMA70B_WINDOW": "300"}).window_s == 300
    assert deployment_from_env(environ={}).price is None
    for bad in ({"LLAMA70B_PRICE_PER_HOUR": "-1"}, {"LLAMA70B_PRICE_PER_HOUR": "a lot"}, {"LLAMA70B_WINDOW": "inf"}):
        with pytest.raises(ConfigurationError):
            deployment_from_env(environ=bad)


def test_the_price_of_an_api() -> None:
    by_name = {api.provider: api for api in price_table("").apis}
    assert by_name["Groq"].nano(1000, 300) == pytest.approx(0.00083e9, rel=0.01)
    assert not by_name["Together"].offered(dt.date(2026, 11, 1))
    assert by_name["Groq"].offered(dt.date(2026, 11, 1))
    assert size_of("meta-llama/Llama-3.1-8B-Instruct") == "8b"
    assert size_of("meta-llama/Llama-3.3-70B-Instruct") == size_of("whatever") == "70b"


def test_the_cost_told_with_an_answer() -> None:
    cost = answer_cost(Timing(total_s=156, first_token_s=151, cold_start_s=150, attempts=2), 5.0)
    assert cost["usd"] == pytest.approx(0.21667, abs=1e-5)
    assert cost["boot_usd"] + cost["busy_usd"] == pytest.approx(cost["usd"])
    assert cost["estimate"] is True


def test_an_empty_up_time_is_borne_all_the_same() -> None:
    cycle = Cycle("e", T0, T0, T0, (at(0, 0, 0),))
    assert allocate(cycle, 5).bill == 0
    assert allocate(cycle, 5, bill=7).shares[0].total == 7
