"""Figures and advice in words."""

from __future__ import annotations

from collections.abc import Iterator

from llama70b.cost.recommend import SiblingAdvice
from llama70b.report.advice import Advice, EndpointAdvice

_MINUTE, _HOUR = 60.0, 3600.0
_CENT = 0.01
_SHOWN = 6


def money(dollars: float | None, *, change: bool = False) -> str:
    """Return an amount, with as many digits as it needs; of a change, with its sign."""
    if dollars is None:
        return "–"
    sign = "-" if dollars < 0 else "+" if change else ""
    amount = abs(dollars)
    if amount and amount < _CENT:
        return f"{sign}${amount:.2g}" if amount >= 1e-4 else f"{sign}${amount:.6f}"  # noqa: PLR2004 - before 1e-05
    return f"{sign}${amount:,.2f}"


def hours(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.1f} min"
    return f"{seconds / _HOUR:,.1f} h"


def advice_lines(advice: Advice) -> list[str]:
    """Return the advice, a sentence each."""
    lines = [line for one in advice.endpoints for line in _endpoint(one)]
    lines += [
        f"{endpoint}: nobody said what its container costs; set LLAMA70B_PROFILE or LLAMA70B_PRICE_PER_HOUR, or --price"
        for endpoint in advice.unpriced
    ]
    lines += list(_profiles(advice))
    if advice.sibling is not None:
        lines.append(_sibling(advice.sibling))
    if advice.sibling_if is not None and not advice.sibling_if.keep:
        lines.append(f"An 8B that took half of the requests would not pay: {_sibling_money(advice.sibling_if)}.")
    elif advice.sibling_if is not None:
        lines.append(f"An 8B that took half of the requests would pay: {_sibling_money(advice.sibling_if)}.")
    if not lines:
        return ["Nothing can be said yet: there are no runs."]
    lines.append(
        f"Assumed: an hour of somebody's waiting is worth {money(advice.value_per_hour)} (--value-of-waiting)."
    )
    return lines


def _endpoint(one: EndpointAdvice) -> Iterator[str]:
    window, name = one.window, one.model.rsplit("/", 1)[-1]
    boot = f"a cold start of {hours(one.boot_s)}" + ("" if one.boots_seen else " (planned; none was seen yet)")
    if window.recommended_s is not None:
        yield (
            f"{name}: set the scaledown window to {window.recommended_s:g} s (now {window.current_s:g} s). Saves "
            f"{money(window.saving_per_day)} a day, waiting included (90 %: {money(window.saving_low)} to "
            f"{money(window.saving_high)}): the bill changes by {money(window.dollars_per_day, change=True)} and the "
            f"waiting by {window.waiting_s_per_day / _MINUTE:+.1f} min a day; {window.gaps} pauses seen."
        )
    else:
        yield (
            f"{name}: no other window is advised, {window.why}. With {boot}, break-even is {window.break_even_s:.0f} s "
            f"(now {window.current_s:g} s)."
        )
    if one.warm:
        saved = sum(hour.saving_per_week for hour in one.warm)
        shown = ", ".join(str(hour) for hour in one.warm[:_SHOWN]) + (" ..." if len(one.warm) > _SHOWN else "")
        yield f"{name}: keep one container up {len(one.warm)} h a week (UTC {shown}): {money(saved)} a week less."


def _profiles(advice: Advice) -> Iterator[str]:
    if advice.profiles:
        shown = "; ".join(
            f"{one.name} {money(one.dollars_per_day)} a day, {one.wait_s:.0f} s wait, {one.answer_s:.1f} s to answer"
            for one in advice.profiles[:3]
        )
        yield f"Profiles at this rate, by list price and closed form, best first: {shown}."


def _sibling(one: SiblingAdvice) -> str:
    if one.keep:
        return f"The 8B pays: {_sibling_money(one)}."
    return f"Remove the 8B: {_sibling_money(one)}."


def _sibling_money(one: SiblingAdvice) -> str:
    verb = "saves" if one.keep else "costs"
    return (
        f"it {verb} {money(abs(one.saving_per_day))} a day at {one.rate_per_hour:.1f} requests an hour with "
        f"{one.share:.0%} of them; break-even is {one.break_even_per_hour:.0f} an hour"
    )
