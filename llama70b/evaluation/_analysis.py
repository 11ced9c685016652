"""From items and answers to the numbers of the report: one JSON-able object, from which all its forms are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from llama70b.endpoint import DEFAULT_MODEL
from llama70b.evaluation._arms import ARMS
from llama70b.evaluation._human import CAUTION, FIGURES, HUMAN_PERCENT, SOURCE, human
from llama70b.evaluation._items import Design, Item
from llama70b.evaluation._journal import NO_ENDPOINT, Key, Record, Run
from llama70b.evaluation._shapes import shapes
from llama70b.evaluation._stats import busy_seconds, content_effect, holm, mcnemar, percentiles, share

_HOUR_S = 3600
BASELINE = "bare"
EXPECTED = "70b"
"""The endpoint this is all about: it has its place in every report, also where it was not run."""


def label(arm: str, endpoint: str) -> str:
    """Return the name of an arm at an endpoint."""
    return ARMS[arm].title if endpoint == NO_ENDPOINT else f"{ARMS[arm].title} · {endpoint}"


def analyse(run: Run, records: Mapping[Key, Record]) -> dict[str, Any]:
    """Compute everything the report shows.

    Args:
        run: Items and settings.
        records: The answers.

    Returns:
        A JSON-able object; `docs/evaluation.md` names its parts.

    Raises:
        MissingExtra: scipy is not installed.
    """
    items = {item.id: item for item in run.items}
    lanes: dict[tuple[str, str], list[tuple[Item, Record]]] = {}
    for record in records.values():
        if record.item in items and record.arm in ARMS:
            lanes.setdefault((record.arm, record.endpoint), []).append((items[record.item], record))
    order = list(ARMS)
    keys = sorted(lanes, key=lambda key: (order.index(key[0]), key[1]))
    places = [*run.models, *([] if DEFAULT_MODEL in run.models.values() else [EXPECTED])]
    possible = [(arm.name, place) for arm in ARMS.values() for place in (places if arm.needs_model else [NO_ENDPOINT])]
    return {
        "run": {
            **run.to_dict(),
            "items": len(items),
            "valid": sum(item.valid for item in items.values()),
            "invalid": sum(not item.valid for item in items.values()),
            "languages": sorted({item.language for item in items.values()}),
            "finished": max((record.started + record.seconds for record in records.values()), default=None),
        },
        "arms": [_arm(arm, place, lanes[arm, place], run) for arm, place in keys],
        "not_run": [label(*key) for key in possible if key not in lanes],
        "tests": _tests(lanes),
        "map": _map({key: lanes[key] for key in keys}),
        "human": {"source": SOURCE, "caution": CAUTION},
    }


def right(item: Item, record: Record) -> bool:
    """Whether an answer is right; no answer is not."""
    said = record.outcome.answer if record.outcome else None
    return said == ("valid" if item.valid else "invalid")


def _arm(arm: str, place: str, answers: Sequence[tuple[Item, Record]], run: Run) -> dict[str, Any]:
    outcomes = [record.outcome for _, record in answers if record.outcome]
    answered = [(item, record) for item, record in answers if record.outcome and record.outcome.answer]
    read = [outcome for outcome in outcomes if outcome.exact is not None]
    believed = [(i.valid, i.plausible, right(i, r)) for i, r in answers if i.plausible is not None]
    return {
        "arm": arm,
        "endpoint": place,
        "label": label(arm, place),
        "about": ARMS[arm].about,
        "model": run.models.get(place),
        "served": sorted({outcome.model for outcome in outcomes if outcome.model}),
        "asked": len(answers),
        "accuracy": _share(answers),
        "accuracy_valid": _share((i, r) for i, r in answers if i.valid),
        "accuracy_invalid": _share((i, r) for i, r in answers if not i.valid),
        "accuracy_answered": _share(answered),
        "says_valid": share(sum(_said(record) == "valid" for _, record in answered), len(answered)).to_dict(),
        "unanswered": len(answers) - len(answered),
        "errors": sum(record.error is not None for _, record in answers),
        "why_unanswered": dict(Counter(_why(record) for _, record in answers if _said(record) is None).most_common()),
        "content": content_effect(believed).to_dict(),
        "by_vocabulary": _by(answers, lambda _, design: design.vocabulary),
        "by_level": _by(answers, lambda _, design: str(design.level)),
        "by_stratum": _by(answers, lambda item, design: "valid form" if item.valid else design.stratum),
        "formalisation": share(sum(outcome.exact is True for outcome in read), len(read)).to_dict() if read else None,
        "right_despite_wrong_reading": sum(
            right(item, record) and record.outcome is not None and record.outcome.exact is False
            for item, record in answers
        ),
        "lock": _lock([outcome.details for outcome in outcomes]) if arm.endswith("_agent") else None,
        **_costs([record for _, record in answers], run.prices.get(place)),
    }


def _share(answers: Iterable[tuple[Item, Record]]) -> dict[str, Any]:
    judged = [right(item, record) for item, record in answers]
    return share(sum(judged), len(judged)).to_dict()


def _said(record: Record) -> str | None:
    return record.outcome.answer if record.outcome else None


def _why(record: Record) -> str:
    if record.error is not None:
        return "error: " + record.error.partition(":")[0]
    return (record.outcome.unanswered if record.outcome else None) or "no reason given"


def _by(answers: Sequence[tuple[Item, Record]], group: Callable[[Item, Design], str]) -> dict[str, Any]:
    groups: dict[str, list[tuple[Item, Record]]] = {}
    for item, record in answers:
        if item.design is not None:
            groups.setdefault(group(item, item.design), []).append((item, record))
    return {name: _share(groups[name]) for name in sorted(groups)}


def _lock(details: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say how often the model's own words agreed with the checker, and how often they had to be replaced."""
    said = Counter(str(one.get("agreement")) for one in details)
    return {
        "agrees": said["agrees"],
        "disagrees": said["disagrees"],
        "silent": said["silent"],
        "corrected": sum(bool(one.get("corrected")) for one in details),
        "called_the_tool": sum(bool(one.get("tool_calls")) for one in details),
    }


def _costs(records: Sequence[Record], price: float | None) -> dict[str, Any]:
    outcomes = [record.outcome for record in records if record.outcome]
    busy = busy_seconds((record.started, record.started + record.seconds) for record in records)
    latency = percentiles([record.seconds for record in records if record.outcome])
    prompt, completion = ([getattr(o, f"{kind}_tokens") for o in outcomes] for kind in ("prompt", "completion"))
    dollars = None if price is None else price * busy / _HOUR_S
    return {
        "calls": sum(outcome.calls for outcome in outcomes),
        "prompt_tokens": None if None in prompt else sum(prompt),
        "completion_tokens": None if None in completion else sum(completion),
        "busy_seconds": round(busy, 2),
        "seconds_median": round(latency[0], 3) if latency else None,
        "seconds_p95": round(latency[1], 3) if latency else None,
        "dollars_estimate": None if dollars is None else round(dollars, 6),
        "dollars_per_1000_estimate": None if dollars is None else round(1000 * dollars / len(records), 4),
    }


def _tests(lanes: Mapping[tuple[str, str], Sequence[tuple[Item, Record]]]) -> list[dict[str, Any]]:
    """Compare the arms that were planned to be compared: each with the bare one, and each between endpoints."""
    places = sorted({place for _, place in lanes} - {NO_ENDPOINT})
    models = [arm.name for arm in ARMS.values() if arm.needs_model]
    planned = [((BASELINE, place), (arm, place)) for place in places for arm in models if arm != BASELINE]
    planned += [(("parser_only", NO_ENDPOINT), ("read_and_check", place)) for place in places]
    planned += [((arm, one), (arm, other)) for one, other in combinations(places, 2) for arm in models]
    tests: list[dict[str, Any]] = []
    for one, other in planned:
        if one not in lanes or other not in lanes:
            continue
        first = {item.id: right(item, record) for item, record in lanes[one]}
        second = {item.id: right(item, record) for item, record in lanes[other]}
        both = first.keys() & second.keys()
        only_one = sum(first[name] and not second[name] for name in both)
        only_other = sum(second[name] and not first[name] for name in both)
        tests.append(
            {
                "one": label(*one),
                "other": label(*other),
                "items": len(both),
                "only_one_right": only_one,
                "only_other_right": only_other,
                "p": mcnemar(only_one, only_other),
            }
        )
    for test, corrected in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p_holm"] = corrected
    return tests


def _map(lanes: Mapping[tuple[str, str], Sequence[tuple[Item, Record]]]) -> list[dict[str, Any]]:
    """Return a row for each of the 64 pairs of premises: people, and right and asked of every arm."""
    conclusive = {shape.pair for shape in shapes() if shape.valid}
    counts: dict[str, dict[str, list[int]]] = {}
    for (arm, place), answers in lanes.items():
        for item, record in answers:
            if item.design is not None:
                cell = counts.setdefault(item.design.pair, {}).setdefault(label(arm, place), [0, 0])
                cell[0] += right(item, record)
                cell[1] += 1
    return [
        {
            "pair": f"{mood}{figure}",
            "has_a_valid_conclusion": f"{mood}{figure}" in conclusive,
            "human_percent": human(f"{mood}{figure}"),
            "arms": counts.get(f"{mood}{figure}", {}),
        }
        for mood in HUMAN_PERCENT
        for figure in FIGURES
    ]
