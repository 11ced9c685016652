"""Which of the two answers: hard facts first, then one formula whose every term the record shows.

    the 70B, if and only if   V * gap >= (m70 - m8) + v * (W70 - W8)

V: dollars a corrected answer is worth; gap: P(70B right) - P(8B right); m: marginal dollars; v: dollars an hour of
somebody's waiting is worth; W: expected seconds until the answer (notes/routing_usage 4). Pure: what is known comes in,
a decision goes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from llama70b.errors import ConfigurationError
from llama70b.routing.features import Facts
from llama70b.routing.gap import Gap
from llama70b.routing.state import Option

Tier = Literal["70b", "8b"]
Mode = Literal["off", "shadow", "on"]
WhenAsleep = Literal["wait", "answer_from_8b", "answer_from_8b_and_wake", "fail_fast"]
Preset = Literal["economy", "balanced", "quality", "latency"]

_HOUR_S = 3600.0
_STALL_OF, _STALL = 6, 3


class Reason(StrEnum):
    """Why a tier was chosen."""

    MODE_OFF = "mode_off"
    NO_8B = "no_8b"
    REQUESTED = "requested"
    IMAGES = "images"
    CONTEXT = "context_exceeds_8b"
    TOOLS = "tools_not_certified"
    STRUCTURED = "structured_not_certified"
    PINNED = "pinned"
    FAILED_BEFORE = "8b_failed_before"
    STALLED = "8b_stalled"
    BUDGET = "budget"
    DEADLINE = "deadline"
    WORTH = "worth_it"
    NOT_WORTH = "not_worth_it"
    ASLEEP = "70b_asleep"
    WAKE_BUDGET = "wake_budget"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user wants.

    Attributes:
        answer_value: V, dollars a corrected answer is worth.
        waiting_value: v, dollars an hour of waiting is worth.
        mode: `off`: always the 70B; `shadow`: always the 70B, but say what would have been done; `on`.
        when_asleep: What to do when the 70B is chosen and sleeps.
        min_wake_gap: Least gap for which a sleeping 70B may be woken.
        wakes_per_hour: Most wake-ups an hour that routing may cause; None for no limit.
        tools_on_8b: Whether the 8B may be given tools.
        structured_on_8b: Whether it may be asked for structured output; vLLM constrains either model's.
    """

    answer_value: float = 0.50
    waiting_value: float = 10.0
    mode: Mode = "shadow"
    when_asleep: WhenAsleep = "answer_from_8b"
    min_wake_gap: float = 0.05
    wakes_per_hour: int | None = 6
    tools_on_8b: bool = False
    structured_on_8b: bool = True

    def __post_init__(self) -> None:
        for name, least in (("answer_value", 0.0), ("waiting_value", 0.0), ("min_wake_gap", -1.0)):
            if not getattr(self, name) >= least:
                raise ConfigurationError(f"policy.{name} is {getattr(self, name)!r}: give a number, {least:g} or more")

    @classmethod
    def preset(cls, name: Preset, **changes: Any) -> Policy:
        """Return a named policy with changes.

        Args:
            name: `economy` ($0.05 an answer, $1 an hour of waiting), `balanced` ($0.50, $10), `quality` ($5, $10),
                `latency` ($0.50, $60).
            changes: Fields to set otherwise.

        Raises:
            ConfigurationError: There is no such preset.
        """
        if name not in _PRESETS:
            raise ConfigurationError(f"there is no preset {name!r}", hint=f"one of {', '.join(_PRESETS)}")
        return cls(**{**_PRESETS[name], **changes})


_PRESETS: dict[str, dict[str, Any]] = {
    "economy": {"answer_value": 0.05, "waiting_value": 1.0},
    "balanced": {"answer_value": 0.50, "waiting_value": 10.0},
    "quality": {"answer_value": 5.0, "waiting_value": 10.0, "when_asleep": "wait"},
    "latency": {"answer_value": 0.50, "waiting_value": 60.0},
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as far as routing needs to know it.

    Attributes:
        text: The user's turn.
        facts: What is known beside it.
        requested: The tier somebody asked for.
        pinned: The tier this agent run has used so far.
        failed_on_8b: Whether the 8B's last answer of this run was unusable.
        last_calls: The run's tool calls so far, (name, arguments), oldest first.
        over_budget: Whether a budget is spent, so that the cheaper one must do.
        deadline_s: Seconds until the answer is of no use.
    """

    text: str
    facts: Facts = field(default_factory=Facts)
    requested: Tier | None = None
    pinned: Tier | None = None
    failed_on_8b: bool = False
    last_calls: Sequence[tuple[str, str]] = ()
    over_budget: bool = False
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class World:
    """Both endpoints, now.

    Attributes:
        strong: The 70B.
        weak: The 8B; None if there is none.
        weak_context: Window of the 8B in tokens.
        wakes_last_hour: Wake-ups that routing has caused.
    """

    strong: Option
    weak: Option | None
    weak_context: int = 4096
    wakes_last_hour: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Who answers, and why.

    Attributes:
        tier: Who answers.
        reason: Why.
        wanted: Who would answer if the mode were `on` (differs in shadow mode).
        gap: What the gap model said.
        wake: Whether the 70B is to be woken meanwhile.
        refuse: Whether to fail at once, because the 70B is wanted and sleeps (`fail_fast`).
        terms: The formula's terms, in dollars; empty where a hard fact decided.
        overrides: Hard facts that held, in the order looked at.
        ask: What was asked.
        world: What was known.
        policy: What the user wants.
    """

    tier: Tier
    reason: Reason
    wanted: Tier
    gap: Gap
    wake: bool
    refuse: bool
    terms: dict[str, float]
    overrides: tuple[Reason, ...]
    ask: Ask = field(repr=False)
    world: World = field(repr=False)
    policy: Policy = field(repr=False)

    def record(self, **more: Any) -> dict[str, Any]:
        """Return what an answer's metadata and the ledger keep; plain JSON values."""
        options = {"70b": self.world.strong, "8b": self.world.weak}
        return {
            "tier": self.tier,
            "reason": str(self.reason),
            "wanted": self.wanted,
            "mode": self.policy.mode,
            "requested": self.ask.requested,
            "gap": round(self.gap.gap, 4),
            "p_70b": round(self.gap.strong, 4),
            "p_8b": round(self.gap.weak, 4),
            "abstained": self.gap.abstained,
            "top_features": [list(pair) for pair in self.gap.top],
            "overrides": [str(reason) for reason in self.overrides],
            "terms": {name: round(value, 6) for name, value in self.terms.items()},
            "wake": self.wake,
            "options": {
                tier: {
                    "state": option.state.phase,
                    "source": option.state.source,
                    "marginal_dollars": round(option.marginal_dollars, 6),
                    "wait_s": round(option.wait_s, 2),
                }
                for tier, option in options.items()
                if option is not None
            },
            **more,
        }


def decide(ask: Ask, world: World, policy: Policy, gap: Gap) -> Decision:
    """Choose.

    Args:
        ask: The request.
        world: Both endpoints.
        policy: What the user wants.
        gap: What the gap model says of the request.
    """
    terms: dict[str, float] = {}
    held = tuple(overrides(ask, world, policy))
    wake = refuse = False
    if held:
        reason = held[0]
        wanted = _tier_of(reason, ask)
    else:
        assert world.weak is not None  # else NO_8B holds
        terms = _terms(world.strong, world.weak, policy, gap)
        worth = terms["answer"] >= terms["money"] + terms["waiting"]
        wanted, reason = ("70b", Reason.WORTH) if worth else ("8b", Reason.NOT_WORTH)
    # Whoever asked for the 70B by name waits for it; a formula's wish is subject to the policy.
    if wanted == "70b" and world.weak is not None and reason is not Reason.REQUESTED and policy.mode == "on":
        wanted, reason, wake, refuse = _asleep(reason, world, policy, gap)
    tier: Tier = wanted if policy.mode == "on" else "70b"
    if policy.mode == "off":
        reason = Reason.MODE_OFF
    return Decision(tier, reason, wanted, gap, wake, refuse, terms, held, ask, world, policy)


def overrides(ask: Ask, world: World, policy: Policy) -> list[Reason]:
    """Return the hard facts that decide before any score, the strongest first."""
    found: list[tuple[bool, Reason]] = [
        (world.weak is None, Reason.NO_8B),
        (ask.requested is not None, Reason.REQUESTED),
        (ask.facts.images > 0, Reason.IMAGES),
        (ask.facts.context_tokens + (ask.facts.max_tokens or 0) > world.weak_context, Reason.CONTEXT),
        (ask.failed_on_8b, Reason.FAILED_BEFORE),
        (stalled(ask.last_calls), Reason.STALLED),
        (ask.pinned == "70b", Reason.PINNED),
        (ask.over_budget, Reason.BUDGET),
        (ask.facts.tools > 0 and not policy.tools_on_8b, Reason.TOOLS),
        (ask.facts.structured and not policy.structured_on_8b, Reason.STRUCTURED),
        (ask.pinned == "8b", Reason.PINNED),
        (_too_late(ask, world), Reason.DEADLINE),
    ]
    return [reason for holds, reason in found if holds]


def stalled(calls: Sequence[tuple[str, str]]) -> bool:
    """Return whether the same tool call came three times among the last six."""
    recent = list(calls)[-_STALL_OF:]
    return any(recent.count(call) >= _STALL for call in recent)


def _too_late(ask: Ask, world: World) -> bool:
    """Whether only the 8B can be in time."""
    if ask.deadline_s is None or world.weak is None:
        return False
    return world.weak.wait_s <= ask.deadline_s < world.strong.wait_s


def _tier_of(reason: Reason, ask: Ask) -> Tier:
    match reason:
        case Reason.REQUESTED:
            assert ask.requested is not None
            return ask.requested
        case Reason.PINNED:
            assert ask.pinned is not None
            return ask.pinned
        case Reason.BUDGET | Reason.DEADLINE:
            return "8b"
        case _:
            return "70b"


def _terms(strong: Option, weak: Option, policy: Policy, gap: Gap) -> dict[str, float]:
    return {
        "answer": policy.answer_value * gap.gap,
        "money": strong.marginal_dollars - weak.marginal_dollars,
        "waiting": policy.waiting_value / _HOUR_S * (strong.wait_s - weak.wait_s),
    }


def _asleep(reason: Reason, world: World, policy: Policy, gap: Gap) -> tuple[Tier, Reason, bool, bool]:
    """Apply the policy for a 70B that is wanted and sleeps; (tier, reason, wake, refuse)."""
    phase = world.strong.state.phase
    if phase == "awake":
        return "70b", reason, False, False
    # A hard fact says that the 8B will not do, so the 70B is waited for, or the caller is told at once.
    must = reason is not Reason.WORTH
    within = policy.wakes_per_hour is None or world.wakes_last_hour < policy.wakes_per_hour
    may_wake = phase == "warming" or (within and gap.gap >= policy.min_wake_gap)
    match policy.when_asleep:
        case "fail_fast":
            return "70b", reason, False, True
        case "wait" if may_wake or must:
            return "70b", reason, False, False
        case _ if must:
            return "70b", reason, False, False
        case "wait":
            return "8b", Reason.WAKE_BUDGET, False, False
        case "answer_from_8b":
            return "8b", Reason.ASLEEP, False, False
        case "answer_from_8b_and_wake":
            return "8b", Reason.ASLEEP, may_wake and phase == "asleep", False
