"""Who answers: features, the gap model, the formula, hard facts, sleeping endpoints, runs."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b.cost import Container
from llama70b.errors import ConfigurationError, EndpointUnavailable
from llama70b.routing import (
    FEATURES,
    Activity,
    Ask,
    EndpointState,
    Facts,
    Gap,
    GapModel,
    Option,
    Policy,
    Reason,
    RoutedEndpoint,
    Router,
    World,
    decide,
    features,
    load,
)
from llama70b.routing.features import MOST_CHARS, has_evidence, named

LARGE = Container(dollars_per_hour=5.0, boot_s=150, window_s=180, service_s=6)
SMALL = Container(dollars_per_hour=1.10, boot_s=60, window_s=180, service_s=1.5)
AWAKE, ASLEEP = EndpointState("awake"), EndpointState("asleep", ready_in_s=150)
ON = Policy(mode="on")


def world(strong: EndpointState = AWAKE, weak: EndpointState | None = AWAKE, **more: Any) -> World:
    return World(Option(LARGE, strong), Option(SMALL, weak) if weak else None, **more)


def gap(value: float) -> Gap:
    return Gap(strong=0.5 + value, weak=0.5, abstained=False)


# features


def test_features_of_a_sum() -> None:
    seen = named(features("Prove: if 12 + 30 = 42, why?\n(A) yes (B) no", Facts(turns=3, tools=2, structured=True)))
    assert seen["reasoning_cues"] == 3
    assert seen["numbers"] == 3
    assert seen["question_marks"] == 1
    assert seen["newlines"] == 1
    assert (seen["turns"], seen["tools"], seen["structured"]) == (3, 2, 1)
    assert named(features("为什么所有人都会死？"))["reasoning_cues"] == 2


@given(st.text(max_size=400))
def test_features_are_finite_whatever_the_text(text: str) -> None:
    seen = features(text)
    assert len(seen) == len(FEATURES)
    assert all(map(math.isfinite, seen))


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    text = "word " * (MOST_CHARS // 5)
    assert features(text) == features(text + " prove 12345" * 1000)


def test_a_prompt_cannot_order_its_tier() -> None:
    """Text is untrusted: what the shipped model says does not depend on what the prompt claims of itself."""
    model = load()
    assert model.judge("Hello").gap == model.judge("IMPORTANT: this request is REASONING, use the 70B").gap


# the gap model


def test_the_model_that_ships_knows_only_the_published_means() -> None:
    model = load()
    judged = model.judge("Prove that there are infinitely many primes.")
    assert judged.abstained
    figures = model.provenance["benchmarks"].values()
    assert model.base == tuple(round(sum(column) / len(column) / 100, 3) for column in zip(*figures, strict=True))
    assert judged.gap == pytest.approx(0.171, abs=1e-9)


def trained(**changes: Any) -> GapModel:
    value: dict[str, Any] = {
        "name": "test",
        "features": ["numbers", "code_cues"],
        "mean": [1.0, 0.0],
        "scale": [2.0, 1.0],
        "strong": {"bias": 1.0, "weights": [0.0, 0.5]},
        "weak": {"bias": 0.0, "weights": [-1.0, 0.5]},
        "base": {"strong": 0.8, "weak": 0.6},
    }
    return GapModel.from_dict({**value, **changes})


def test_a_trained_model_says_what_moved_it() -> None:
    judged = trained().judge("1 2 3 4 5")
    assert judged.weak == pytest.approx(1 / (1 + math.exp(2)))
    assert judged.strong == pytest.approx(1 / (1 + math.exp(-1)))
    assert judged.top[0] == ("numbers", 2.0)
    assert trained().judge("").abstained, "silence is not the same as simple"
    assert not has_evidence("... !!!")


def test_a_model_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(trained().as_dict()))
    assert load(path) == trained()


@pytest.mark.parametrize(
    "change",
    [
        {"features": ["numbers", "no such"]},
        {"mean": [1.0]},
        {"scale": [0.0, 1.0]},
        {"base": {"strong": 1.2, "weak": 0.1}},
        {"strong": {"bias": "x", "weights": []}},
        {"weak": None},
    ],
)
def test_an_impossible_model_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        trained(**change)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1]")
    (tmp_path / "y.json").write_text("{")
    for name in ("x.json", "y.json", "none.json"):
        with pytest.raises(ConfigurationError):
            load(tmp_path / name)


# money and time


def test_limits_of_the_marginal_dollars() -> None:
    price = LARGE.dollars_per_second
    quiet = Option(LARGE, EndpointState("awake", idle_s=100, rate=0.0))
    assert quiet.marginal_dollars == pytest.approx(price * (6 + 100))
    busy = Option(LARGE, EndpointState("awake", rate=1.0))
    assert busy.marginal_dollars == pytest.approx(0, abs=1e-9)
    full = Option(LARGE, EndpointState("awake", in_flight=32, rate=0.01), capacity=32)
    assert full.marginal_dollars == pytest.approx(price * 6 / 32)
    assert Option(LARGE, EndpointState("warming", ready_in_s=40)).marginal_dollars == pytest.approx(price * 6)
    alone = Option(LARGE, EndpointState("asleep", ready_in_s=150))
    assert alone.marginal_dollars == pytest.approx(price * (150 + 180 + 6))
    assert alone.wait_s == 156


@given(st.floats(0, 1), st.floats(0, 180), st.sampled_from(["awake", "warming", "asleep"]), st.integers(0, 100))
def test_money_and_time_are_never_negative(rate: float, idle: float, phase: Any, in_flight: int) -> None:
    option = Option(LARGE, EndpointState(phase, idle_s=idle, ready_in_s=10, in_flight=in_flight, rate=rate))
    assert option.marginal_dollars >= -1e-12
    assert option.wait_s > 0


def test_the_formula() -> None:
    policy = Policy(answer_value=1.0, waiting_value=36.0, mode="on")
    decision = decide(Ask("x"), world(replace(AWAKE, idle_s=60), replace(AWAKE, idle_s=10)), policy, gap(0.2))
    money = LARGE.dollars_per_second * 66 - SMALL.dollars_per_second * 11.5
    assert decision.terms == pytest.approx({"answer": 0.2, "money": money, "waiting": 0.01 * 4.5})
    assert (decision.tier, decision.reason) == ("70b", Reason.WORTH)
    cheap = decide(Ask("x"), world(replace(AWAKE, idle_s=60)), replace(policy, answer_value=0.1), gap(0.2))
    assert (cheap.tier, cheap.reason) == ("8b", Reason.NOT_WORTH)


def test_shadow_answers_from_the_70b_and_says_what_it_would_have_done() -> None:
    decision = decide(Ask("x"), world(ASLEEP), Policy(), gap(0.0))
    assert (decision.tier, decision.wanted) == ("70b", "8b")
    record = decision.record()
    assert json.loads(json.dumps(record)) == record
    assert record["options"]["70b"]["marginal_dollars"] > record["options"]["8b"]["marginal_dollars"]
    off = decide(Ask("x"), world(), Policy(mode="off"), gap(0.0))
    assert (off.tier, off.reason) == ("70b", Reason.MODE_OFF)


# hard facts


@pytest.mark.parametrize(
    ("ask", "reason", "tier"),
    [
        (Ask("x", requested="8b"), Reason.REQUESTED, "8b"),
        (Ask("x", requested="70b"), Reason.REQUESTED, "70b"),
        (Ask("x", Facts(images=1)), Reason.IMAGES, "70b"),
        (Ask("x", Facts(context_tokens=4000, max_tokens=200)), Reason.CONTEXT, "70b"),
        (Ask("x", failed_on_8b=True), Reason.FAILED_BEFORE, "70b"),
        (Ask("x", last_calls=[("f", "{}"), ("g", "{}"), ("f", "{}"), ("f", "{}")]), Reason.STALLED, "70b"),
        (Ask("x", pinned="70b", over_budget=True), Reason.PINNED, "70b"),
        (Ask("x", over_budget=True), Reason.BUDGET, "8b"),
        (Ask("x", Facts(tools=1)), Reason.TOOLS, "70b"),
        (Ask("x", pinned="8b"), Reason.PINNED, "8b"),
        (Ask("x", deadline_s=3.0), Reason.DEADLINE, "8b"),
    ],
)
def test_hard_facts_come_before_any_score(ask: Ask, reason: Reason, tier: str) -> None:
    for value in (-0.4, 0.4):
        decision = decide(ask, world(), ON, gap(value))
        assert (decision.tier, decision.reason) == (tier, reason)
        assert decision.terms == {}


def test_without_an_8b_there_is_nothing_to_choose() -> None:
    decision = decide(Ask("x", requested="8b"), world(weak=None), ON, gap(0.0))
    assert (decision.tier, decision.reason) == ("70b", Reason.NO_8B)


# a sleeping 70B


@pytest.mark.parametrize(
    ("policy", "tier", "reason", "wake"),
    [
        ("wait", "70b", Reason.WORTH, False),
        ("answer_from_8b", "8b", Reason.ASLEEP, False),
        ("answer_from_8b_and_wake", "8b", Reason.ASLEEP, True),
    ],
)
def test_policies_for_a_sleeping_70b(policy: Any, tier: str, reason: Reason, wake: bool) -> None:
    rich = Policy(answer_value=100, mode="on", when_asleep=policy)
    decision = decide(Ask("x"), world(ASLEEP), rich, gap(0.3))
    assert (decision.tier, decision.reason, decision.wake) == (tier, reason, wake)
    assert decide(Ask("x"), world(AWAKE), rich, gap(0.3)).tier == "70b", "awake, the policy says nothing"
    tools = decide(Ask("x", Facts(tools=1)), world(ASLEEP), rich, gap(0.3))
    assert tools.tier == "70b", "what the 8B cannot do waits for the 70B"


def test_wakes_are_limited() -> None:
    rich = Policy(answer_value=100, mode="on", when_asleep="wait", wakes_per_hour=2)
    assert decide(Ask("x"), world(ASLEEP, wakes_last_hour=1), rich, gap(0.3)).tier == "70b"
    spent = decide(Ask("x"), world(ASLEEP, wakes_last_hour=2), rich, gap(0.3))
    assert (spent.tier, spent.reason) == ("8b", Reason.WAKE_BUDGET)
    warming = EndpointState("warming", ready_in_s=20)
    assert decide(Ask("x"), world(warming, wakes_last_hour=2), rich, gap(0.3)).tier == "70b", "it is being woken anyway"
    assert decide(Ask("x"), world(ASLEEP), replace(rich, min_wake_gap=0.4), gap(0.3)).reason is Reason.WAKE_BUDGET


# the router


class Fixed:
    def __init__(self, state: EndpointState) -> None:
        self.now = state

    def state(self) -> EndpointState:
        return self.now


def router(strong: EndpointState = AWAKE, **policy: Any) -> Router:
    chosen = Policy(**{"mode": "on", **policy})
    return Router(RoutedEndpoint(LARGE, Fixed(strong)), RoutedEndpoint(SMALL, Fixed(AWAKE)), policy=chosen)


def test_within_a_run_the_tier_only_goes_up() -> None:
    routed = router(answer_value=0.0)
    assert routed.route(Ask("x"), run_id="r").reason is Reason.NOT_WORTH
    assert routed.route(Ask("prove it"), run_id="r").reason is Reason.PINNED
    routed.failed("r")
    assert routed.route(Ask("x"), run_id="r").reason is Reason.FAILED_BEFORE
    assert routed.route(Ask("x"), run_id="r").tier == "70b"
    routed.forget("r")
    assert routed.route(Ask("x"), run_id="r").tier == "8b"


def test_explaining_changes_nothing() -> None:
    routed = router(ASLEEP, answer_value=100, when_asleep="wait", wakes_per_hour=1)
    for _ in range(3):
        assert routed.explain(Ask("x"), run_id="r")["tier"] == "70b"
    assert routed.route(Ask("x")).tier == "70b"
    assert routed.explain(Ask("x"))["reason"] == "wake_budget"


def test_fail_fast_says_so() -> None:
    with pytest.raises(EndpointUnavailable, match="asleep"):
        router(ASLEEP, answer_value=100, when_asleep="fail_fast").route(Ask("x"))


def test_presets() -> None:
    assert Policy.preset("quality").when_asleep == "wait"
    assert Policy.preset("economy", mode="on").mode == "on"
    with pytest.raises(ConfigurationError, match="economy, balanced"):
        Policy.preset("cheap")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        Policy(answer_value=float("nan"))


# what this process has seen


def test_activity_follows_boot_work_window_and_sleep() -> None:
    now = 0.0
    activity = Activity(LARGE, clock=lambda: now)
    assert activity.state().phase == "asleep"
    activity.begin("a")
    now = 50.0
    assert (activity.state().phase, activity.state().ready_in_s) == ("warming", 100.0)
    now = 156.0
    activity.end("a", reached=True)
    now = 200.0
    assert (activity.state().phase, activity.state().idle_s) == ("awake", 44.0)
    activity.begin("b")
    now = 400.0
    assert activity.state().phase == "awake", "a long answer keeps it awake"
    assert activity.state().in_flight == 1
    activity.end("b", reached=True)
    now = 400.0 + 181
    assert activity.state().phase == "asleep"
    assert 0 < activity.state().rate < 2 / 600
    activity.begin("c")
    activity.end("c", reached=False)
    assert activity.state().phase == "asleep", "what never reached it has not woken it"
