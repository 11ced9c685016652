"""Advice from the observed gaps: how long to stay warm, when to never sleep, which profile, whether the 8B pays.

Every time an endpoint has nothing to do it is a ski rental: staying up costs C a second, going to sleep costs
R = C B + v B k when the next request comes (B boot, v what a second of waiting is worth, k requests that wait for one
boot). Source of the formulas: notes/routing_usage 7.1; the windows Modal takes are 2 to 3600 s.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from llama70b.cost.closed_form import Container, sibling_break_even, sibling_saving, steady_state
from llama70b.cost.cycles import Cycle, merged
from llama70b.cost.prices import PriceTable
from llama70b.ledger._rows import NS

LEAST_GAPS, PLENTY_OF_GAPS = 30, 200
LEAST_WINDOW_S, MOST_WINDOW_S = 2.0, 3600.0
_HOUR_S, _DAY_S, _WEEK_S = 3600.0, 86_400.0, 604_800.0
_RESAMPLES = 400
_HOURS_A_WEEK = 168
_LEAST_WEEKS = 2.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What a decision about waiting and paying goes by.

    Attributes:
        dollars_per_hour: Of the container while it is up.
        boot_s: A cold start, measured if possible.
        value_per_hour: Dollars that an hour of somebody's waiting is worth: yours to set, it decides much.
        waiting: Requests that wait for one boot, 1 or more.
    """

    dollars_per_hour: float
    boot_s: float
    value_per_hour: float
    waiting: float = 1.0

    @property
    def hold(self) -> float:
        """C: dollars a second of staying up."""
        return self.dollars_per_hour / _HOUR_S

    @property
    def restart(self) -> float:
        """R: dollars for going to sleep and being woken."""
        return self.boot_s * (self.hold + self.value_per_hour / _HOUR_S * self.waiting)

    @property
    def break_even_s(self) -> float:
        """R / C: the window that is never worse than twice the best, whatever comes."""
        return self.restart / self.hold if self.hold else MOST_WINDOW_S


def gap_cost(gap_s: float, window_s: float, terms: Terms) -> float:
    """Return dollars for one gap: the time held, and the restart if it outlasted the window."""
    return terms.hold * min(gap_s, window_s) + (terms.restart if gap_s > window_s else 0.0)


def best_window(gaps_s: Sequence[float], terms: Terms) -> float:
    """Return the window with the least cost over some gaps: 2 s, 3600 s or one of the gaps; O(n log n)."""
    ordered = sorted(gaps_s)
    held = list(accumulate(ordered, initial=0.0))
    count = len(ordered)

    def cost(window: float) -> float:
        within = bisect_right(ordered, window)
        return terms.hold * (held[within] + window * (count - within)) + terms.restart * (count - within)

    inside = {gap for gap in ordered if LEAST_WINDOW_S < gap < MOST_WINDOW_S}
    # Rounded up to whole seconds, as Modal takes them; of equals the shortest.
    return min(sorted({LEAST_WINDOW_S, MOST_WINDOW_S, *(float(math.ceil(gap)) for gap in inside)}), key=cost)


@dataclass(frozen=True, slots=True)
class WindowAdvice:
    """What the gaps say about the scaledown window.

    Attributes:
        gaps: How many were seen.
        current_s: The window now.
        break_even_s: R / C, which needs no evidence.
        recommended_s: The window advised; None if the evidence does not carry any.
        why: In one sentence.
        saving_per_day: Dollars a day, waiting included at its value, compared with now; mean.
        saving_low: Lower end of its 90 % bootstrap interval.
        saving_high: Upper end.
        dollars_per_day: Change of the bill alone, negative is less.
        waiting_s_per_day: Change of the waiting, negative is less.
        held_out: Saving a day on the last third, with the window fitted to the first two.
    """

    gaps: int
    current_s: float
    break_even_s: float
    recommended_s: float | None
    why: str
    saving_per_day: float = 0.0
    saving_low: float = 0.0
    saving_high: float = 0.0
    dollars_per_day: float = 0.0
    waiting_s_per_day: float = 0.0
    held_out: float = 0.0


def fitted_window(gaps_s: Sequence[float], terms: Terms) -> float:
    """Return the best window over the gaps, drawn to the break-even window where they are few.

    At 30 gaps it is the break-even window, at 200 and more the best; between, their weighted geometric mean.
    """
    best = best_window(gaps_s, terms)
    trust = min(1.0, max(0.0, (len(gaps_s) - LEAST_GAPS) / (PLENTY_OF_GAPS - LEAST_GAPS)))
    safe = min(MOST_WINDOW_S, max(LEAST_WINDOW_S, terms.break_even_s))
    return float(round(math.exp(trust * math.log(best) + (1 - trust) * math.log(safe))))


def advise_window(
    gaps_s: Sequence[float], terms: Terms, *, current_s: float, days: float, seed: int = 0
) -> WindowAdvice:
    """Recommend a scaledown window, or say why not.

    Args:
        gaps_s: In the order they came.
        terms: Prices, boot time and the value of waiting.
        current_s: The window now.
        days: Over how many days the gaps came.
        seed: Of the bootstrap.
    """
    count = len(gaps_s)
    none = WindowAdvice(count, current_s, terms.break_even_s, None, "")
    if count < LEAST_GAPS:
        return replace(none, why=f"{count} pauses are too few to go by ({LEAST_GAPS} are needed)")
    window = fitted_window(gaps_s, terms)

    def savings(gaps: Sequence[float], at: float) -> list[float]:
        return [gap_cost(gap, current_s, terms) - gap_cost(gap, at, terms) for gap in gaps]

    each = savings(gaps_s, window)
    rng = random.Random(seed)  # noqa: S311 - a bootstrap
    sums = sorted(sum(rng.choices(each, k=count)) / days for _ in range(_RESAMPLES))
    cut = count * 2 // 3
    held_out = sum(savings(gaps_s[cut:], fitted_window(gaps_s[:cut], terms))) / (days / 3)
    restarts = [sum(gap > at for gap in gaps_s) for at in (window, current_s)]
    held = [sum(min(gap, at) for gap in gaps_s) for at in (window, current_s)]
    seen = replace(
        none,
        recommended_s=window,
        saving_per_day=sum(each) / days,
        saving_low=sums[round(0.05 * (_RESAMPLES - 1))],
        saving_high=sums[round(0.95 * (_RESAMPLES - 1))],
        dollars_per_day=terms.hold * (held[0] - held[1] + terms.boot_s * (restarts[0] - restarts[1])) / days,
        waiting_s_per_day=terms.boot_s * terms.waiting * (restarts[0] - restarts[1]) / days,
        held_out=held_out,
    )
    if window == current_s:
        return replace(seen, recommended_s=None, why="the present one is the best for these pauses")
    if seen.saving_low <= 0:
        return replace(seen, recommended_s=None, why="the saving is not certain: its 90 % interval holds 0")
    if held_out <= 0:
        return replace(seen, recommended_s=None, why="fitted to the first two thirds, it saves nothing on the last")
    return replace(seen, why=f"by {count} pauses, and it saves on the last third too")


@dataclass(frozen=True, slots=True)
class WarmHour:
    """An hour of the week in which never sleeping is cheaper.

    Attributes:
        hour: 0 to 167, Monday 0:00 UTC first.
        saving_per_week: Dollars, waiting included at its value.
    """

    hour: int
    saving_per_week: float

    def __str__(self) -> str:
        """Like `Mon 09:00`."""
        return f"{('Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun')[self.hour // 24]} {self.hour % 24:02d}:00"


def warm_hours(found: Sequence[Cycle], terms: Terms, *, weeks: float) -> list[WarmHour]:
    """Return the hours of the week (UTC) in which a container should always be up.

    One is when the restarts that this saves cost more than the seconds it adds: E[restarts] R > C (3600 - E[seconds
    up]), in all weeks together and in either half of them alone: of 168 hours some would seem to pay by chance.
    Nothing is said of less than two weeks.

    Args:
        found: Up-times, of one endpoint, oldest first.
        terms: Prices, boot time and the value of waiting.
        weeks: Over how many weeks they came.
    """
    if weeks < _LEAST_WEEKS or not found:
        return []
    middle = (found[0].from_ns + found[-1].to_ns) // 2
    halves = ([cycle for cycle in found if cycle.from_ns < middle], [c for c in found if c.from_ns >= middle])
    whole = _hourly_savings(found, terms, weeks)
    parts = [_hourly_savings(half, terms, weeks / 2) for half in halves]
    return [
        WarmHour(hour, saving)
        for hour, saving in enumerate(whole)
        if saving > 0 and all(part[hour] > 0 for part in parts)
    ]


def _hourly_savings(found: Sequence[Cycle], terms: Terms, weeks: float) -> list[float]:
    """Return the dollars a week that staying up saves, for every hour of the week."""
    restarts, up = [0.0] * _HOURS_A_WEEK, [0.0] * _HOURS_A_WEEK
    for cycle in found:
        restarts[_hour_of_week(cycle.from_ns)] += 1
    for begin, end in merged((cycle.from_ns, cycle.to_ns) for cycle in found):
        at, hour_ns = begin, int(_HOUR_S) * NS
        while at < end:
            stop = min(end, at - at % hour_ns + hour_ns)
            up[_hour_of_week(at)] += (stop - at) / NS
            at = stop
    return [
        restarts[hour] / weeks * terms.restart - terms.hold * max(0.0, _HOUR_S - up[hour] / weeks)
        for hour in range(_HOURS_A_WEEK)
    ]


def _hour_of_week(at_ns: int) -> int:
    return (at_ns // (int(_HOUR_S) * NS) + 3 * 24) % _HOURS_A_WEEK  # 1970-01-01 was a Thursday


@dataclass(frozen=True, slots=True)
class SiblingAdvice:
    """Whether a separately billed 8B pays.

    Attributes:
        rate_per_hour: Requests to both together.
        share: What the 8B takes, or would.
        saving_per_day: Dollars that it saves against the 70B alone; negative: it costs.
        break_even_per_hour: Requests an hour above which it no longer saves at this share.
        keep: Whether to have it, by the money alone.
    """

    rate_per_hour: float
    share: float
    saving_per_day: float
    break_even_per_hour: float

    @property
    def keep(self) -> bool:
        """Whether it pays."""
        return self.saving_per_day > 0


def advise_sibling(large: Container, small: Container, *, rate: float, share: float) -> SiblingAdvice:
    """Say whether the 8B pays, by the closed form.

    Args:
        large: The 70B's container.
        small: The 8B's.
        rate: Requests a second to both together.
        share: What the 8B takes.
    """
    return SiblingAdvice(
        rate * _HOUR_S,
        share,
        sibling_saving(large, small, rate, share),
        sibling_break_even(large, small, share) * _HOUR_S,
    )


@dataclass(frozen=True, slots=True)
class ProfileAdvice:
    """What a profile would cost with the same requests.

    Attributes:
        name: The profile's.
        dollars_per_day: The bill.
        wait_s: Mean seconds of waiting for a cold start, over all requests.
        answer_s: Mean seconds of an answer.
        total_per_day: The bill, and all waiting at its value.
    """

    name: str
    dollars_per_day: float
    wait_s: float
    answer_s: float
    total_per_day: float


def compare_profiles(
    table: PriceTable, *, rate: float, answer_tokens: float, window_s: float, value_per_hour: float,
    boots: Mapping[str, float] | None = None,
) -> list[ProfileAdvice]:  # fmt: skip
    """Compare the 70B's profiles by the closed form, best first.

    Args:
        table: Prices and speeds.
        rate: Requests a second.
        answer_tokens: Mean length of an answer; time to read the prompt is not in it.
        window_s: Scaledown window.
        value_per_hour: Dollars that an hour of waiting is worth.
        boots: Measured cold starts by profile, where they are known.
    """
    found = []
    for name, profile in table.profiles.items():
        if profile.size != "70b":
            continue
        answer = answer_tokens / profile.tok_s
        boot = (boots or {}).get(name, profile.boot_s)
        state = steady_state(Container(profile.price.dollars_per_hour, boot, window_s, answer), rate)
        waiting = rate * _DAY_S * (state.mean_wait_s + answer) / _HOUR_S * value_per_hour
        found.append(
            ProfileAdvice(name, state.dollars_per_day, state.mean_wait_s, answer, state.dollars_per_day + waiting)
        )
    return sorted(found, key=lambda advice: advice.total_per_day)
