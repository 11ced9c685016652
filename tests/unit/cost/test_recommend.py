"""Advice: the best window for given gaps, silence without evidence, money said right, the 8B removed when it costs."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b.cost import Container, Cycle, Deployment, Price, price_table, sibling_saving
from llama70b.cost.recommend import (
    Terms,
    advise_sibling,
    advise_window,
    best_window,
    compare_profiles,
    fitted_window,
    gap_cost,
    warm_hours,
)
from llama70b.ledger import NS, Row
from llama70b.report.advice import ModalAutoscaler, advise
from llama70b.report.words import advice_lines

TERMS = Terms(5.0, 150, 10.0)
MONDAY = 1_799_020_800 * NS


def test_break_even_is_the_notes() -> None:
    for value, expected in ((0, 150), (10, 450), (20, 750), (30, 1050)):
        assert Terms(5.0, 150, value).break_even_s == pytest.approx(expected)


@given(st.lists(st.floats(0.1, 10_000), min_size=1, max_size=60), st.floats(0, 60), st.floats(1, 600))
def test_no_window_is_better_than_the_best(gaps: list[float], value: float, boot: float) -> None:
    terms = Terms(5.0, boot, value)
    best = best_window(gaps, terms)

    def cost(window: float) -> float:
        return sum(gap_cost(gap, window, terms) for gap in gaps)

    rounding = len(gaps) * terms.hold  # windows are whole seconds, gaps are not
    for window in (2, 10, 60, 180, 450, 1000, 3600, *(gap for gap in gaps if 2 <= gap <= 3600)):
        assert cost(best) <= cost(window) + rounding


def test_memoryless_gaps_have_no_window_between() -> None:
    rng = random.Random(1)
    often = [rng.expovariate(1 / 100) for _ in range(3000)]  # mean 100 s, break-even 450 s: hold on
    seldom = [rng.expovariate(1 / 2000) for _ in range(3000)]
    assert best_window(often, TERMS) > 400
    assert best_window(seldom, TERMS) < 30


def test_few_gaps_are_drawn_to_break_even() -> None:
    gaps = [10.0] * 29 + [5000.0]
    assert fitted_window(gaps, TERMS) == 450
    assert fitted_window(gaps * 7, TERMS) == 10
    assert 10 < fitted_window(gaps * 3, TERMS) < 450


def test_silent_below_30_gaps() -> None:
    advice = advise_window([10.0] * 29, TERMS, current_s=180, days=7)
    assert advice.recommended_s is None
    assert "29 pauses are too few" in advice.why
    assert advice.break_even_s == pytest.approx(450)


def test_silent_when_the_saving_is_not_certain() -> None:
    rng = random.Random(5)
    gaps = [rng.choice((10.0, 179.0, 185.0, 4000.0)) for _ in range(60)]
    advice = advise_window(gaps, TERMS, current_s=186, days=3)
    assert advice.recommended_s is None
    assert advice.saving_low <= 0 or advice.held_out <= 0 or "best for these" in advice.why


def test_the_money_is_said_right() -> None:
    gaps = [20.0, 2000.0] * 200  # 20 s pauses, and one of half an hour after each
    advice = advise_window(gaps, TERMS, current_s=180, days=10)
    assert advice.recommended_s == 20
    assert advice.dollars_per_day == pytest.approx(-160 * 200 / 10 * TERMS.hold)  # 160 s less, 20 times a day
    assert advice.waiting_s_per_day == 0
    assert advice.saving_per_day == pytest.approx(-advice.dollars_per_day)
    assert 0 < advice.saving_low <= advice.saving_per_day <= advice.saving_high
    assert advice.held_out > 0


def _cycle(start_s: float, length_s: float) -> Cycle:
    begin = MONDAY + round(start_s * NS)
    row = Row("x", begin, NS, "e", "llama")
    return Cycle("e", begin, begin + 150 * NS, begin + round(length_s * NS), (row,))


def test_warm_hours() -> None:
    terms = Terms(5.0, 150, 30.0)
    week = 7 * 86_400
    # Monday 9 to 10: woken eight times, up for 40 minutes of it; Tuesday 9 to 10: once.
    busy = [_cycle(number * week + 9 * 3600 + n * 440, 300) for number in range(4) for n in range(8)]
    quiet = [_cycle(number * week + 33 * 3600, 336) for number in range(4)]
    (hour,) = warm_hours(busy + quiet, terms, weeks=4)
    assert (hour.hour, str(hour)) == (9, "Mon 09:00")
    assert hour.saving_per_week == pytest.approx(8 * terms.restart - terms.hold * 1200, rel=0.01)
    assert warm_hours(busy, terms, weeks=1) == []


LARGE, SMALL = Container(5.0, 150, 180, 6), Container(1.1, 60, 180, 1.5)


@pytest.mark.parametrize("per_hour", [1, 6, 12, 20, 30, 60, 120, 300])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_the_8b_goes_when_the_closed_form_says_so(per_hour: int, share: float) -> None:
    advice = advise_sibling(LARGE, SMALL, rate=per_hour / 3600, share=share)
    assert advice.keep == (sibling_saving(LARGE, SMALL, per_hour / 3600, share) > 0)
    assert advice.keep == (per_hour < advice.break_even_per_hour)


def test_profiles_best_first() -> None:
    advice = compare_profiles(price_table(""), rate=6 / 3600, answer_tokens=200, window_s=180, value_per_hour=10)
    assert {one.name for one in advice} == {name for name, of in price_table("").profiles.items() if of.size == "70b"}
    assert [one.total_per_day for one in advice] == sorted(one.total_per_day for one in advice)


def _deployment(model: str) -> Deployment:
    if "8b" in model:
        return Deployment(Price.per_hour(1.1), 180, 60, "8b", "test")
    return Deployment(Price.per_hour(5.0), 180, 150, "70b", "test")


def _rows(per_hour: float, model: str, url: str, hours: float, *, seed: int, service: float = 6) -> list[Row]:
    rng, at, ready, idle, rows = random.Random(seed), 0.0, -1e9, -1e9, []
    boot = 60 if "8b" in model else 150
    while (at := at + rng.expovariate(per_hour / 3600)) < hours * 3600:
        if at >= idle + 180:
            ready = idle = at + boot
        begins = max(at, ready)
        idle = max(idle, begins + service)
        values: dict[str, Any] = {"completion_tokens": 100, "prompt_tokens": 500}
        start, total, cold = (round(x * NS) for x in (at, begins + service - at, begins - at))
        rows.append(Row(f"{model}{at}", MONDAY + start, total, url, model, cold_ns=cold, **values))
    return rows


def _both(per_hour: float) -> list[Row]:
    rows = _rows(per_hour / 2, "llama-70b", "https://large", 200, seed=1)
    rows += _rows(per_hour / 2, "llama-8b", "https://small", 200, seed=2, service=1.5)
    return sorted(rows, key=lambda row: row.started_ns)


@pytest.mark.parametrize(("per_hour", "keep"), [(6, True), (120, False)])
def test_from_the_rows_to_the_sentence(per_hour: float, keep: bool) -> None:
    advice = advise(_both(per_hour), deployment_of=_deployment)
    assert advice.sibling is not None
    assert advice.sibling.keep is keep
    assert advice.sibling.rate_per_hour == pytest.approx(per_hour, rel=0.1)
    text = "\n".join(advice_lines(advice))
    assert ("The 8B pays" in text) is keep
    assert ("Remove the 8B: it costs $" in text) is not keep
    assert "--value-of-waiting" in text
    large, small = advice.endpoints
    assert (large.boot_s, small.boot_s) == (pytest.approx(150), pytest.approx(60))
    assert advice.as_dict()["sibling"]["keep"] is keep


def test_nothing_is_said_of_what_has_no_price() -> None:
    rows = _rows(6, "llama-70b", "https://large", 50, seed=1)

    def unknown(_: str) -> Deployment:
        return Deployment(None, 180, 150, "70b", "nobody")

    advice = advise(rows, deployment_of=unknown)
    assert (advice.endpoints, advice.unpriced) == ((), ("https://large",))
    assert "nobody said what its container costs" in advice_lines(advice)[0]
    assert advice_lines(advise([], deployment_of=unknown)) == ["Nothing can be said yet: there are no runs."]


def test_apply_asks_modal_for_the_window() -> None:
    asked: list[tuple[str, ...] | dict[str, int]] = []

    class Autoscaler:
        @staticmethod
        def update(**settings: int) -> None:
            asked.append(settings)

    class Function:
        autoscaler = Autoscaler

        @classmethod
        def from_name(cls, *names: str) -> type["Function"]:
            asked.append(names)
            return cls

    class Modal:
        pass

    Modal.Function = Function  # type: ignore[attr-defined]
    ModalAutoscaler("llama70b", "serve", Modal).set_window(247)
    assert asked == [("llama70b", "serve"), {"scaledown_window": 247}]
