"""The tables of the report, as rows of text, for Markdown and HTML alike. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its heading.

    Attributes:
        key: Short name, for files and links.
        title: The heading.
        intro: What it shows, and how to read it.
        columns: Names of the columns; the first one holds words, the others numbers.
        rows: Cells as text.
        plot: Key of the plot that belongs to it.
    """

    key: str
    title: str
    intro: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    plot: str | None = None


def tables(report: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a report; those with nothing to show are left out."""
    arms = report["arms"]
    made = [
        _accuracy(report),
        _content(arms),
        _formalisation(arms),
        _lock(arms),
        _groups("levels", "Distance of the wording", "by_level", arms, _LEVELS, names=_LEVEL_NAMES),
        _groups("strata", "Valid forms and fallacies", "by_stratum", arms, _STRATA),
        _tests(report["tests"]),
        _costs(arms),
        _unanswered(arms),
        _map(report),
    ]
    return [table for table in made if table.rows]


_LEVELS = (
    "Accuracy by level of paraphrase: 0 canonical sentences, 1 everyday quantifiers, 2 'only', negated sentences, "
    "conditionals, verb phrases and questions around the argument."
)
_LEVEL_NAMES = {"0": "level 0", "1": "level 1", "2": "level 2"}
_STRATA = "Accuracy on valid forms and on each kind of invalid one."


def about(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was run, as names and values."""
    run = report["run"]
    settings = run["settings"]
    generated = run["generated"]
    source = f"generated (seed {generated['seed']}, {generated['language']})" if generated else "from a file"
    models = [
        f"{arm['endpoint']}: {', '.join(arm['served'])}" for arm in report["arms"] if arm["served"] and arm["calls"]
    ]
    sampling = (
        f"temperature {settings['temperature']:g}, seed {settings['seed']}; a written-out answer has at most "
        f"{settings['max_tokens']} tokens, each of an agent's {settings['agent_tokens']}; "
        f"tool use {settings['tool_use']}"
    )
    return [
        ("Items", f"{run['items']}, {run['valid']} valid and {run['invalid']} invalid; {source}"),
        ("Existential import", f"{settings['import_']}; stated in every prompt"),
        ("Endpoints", "; ".join(f"{name}: {model}" for name, model in run["models"].items()) or "none"),
        ("As served", "; ".join(dict.fromkeys(models)) or "nothing was asked"),
        ("Sampling", sampling),
        ("Versions", ", ".join(f"{name} {value}" for name, value in run["versions"].items())),
        ("Started", run["started"]),
        ("Last answer", _date(run["finished"])),
        *(("Note", text) for text in run["notes"]),
    ]


def _date(seconds: float | None) -> str:
    return "none" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def percent(value: float | None, digits: int = 0) -> str:
    """Return a share in percent, a dash for none."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _interval(share: Mapping[str, Any]) -> str:
    if share["share"] is None:
        return "–"
    return f"{percent(share['share'])} [{100 * share['low']:.0f}–{100 * share['high']:.0f}]"


def _accuracy(report: Mapping[str, Any]) -> Table:
    total = report["run"]["items"]
    rows = [
        (
            arm["label"],
            f"{arm['asked']}" if arm["asked"] == total else f"{arm['asked']} of {total}",
            _interval(arm["accuracy"]),
            _interval(arm["accuracy_valid"]),
            _interval(arm["accuracy_invalid"]),
            str(arm["unanswered"]),
            _interval(arm["accuracy_answered"]),
            percent(arm["says_valid"]["share"]),
        )
        for arm in report["arms"]
    ]
    columns = ("arm", "asked", "right", "right on valid", "right on invalid", "unanswered", "right of answered",
               "says valid")  # fmt: skip
    rows += [(name, NOT_RUN, *["–"] * (len(columns) - 2)) for name in report["not_run"]]
    intro = (
        "Percent right with 95 % Wilson intervals. No answer counts as wrong in the first three shares; it is never "
        "guessed. An arm that always says the same is right on about half: look at valid and invalid apart."
    )
    return Table("accuracy", "Accuracy", intro, columns, tuple(rows), "accuracy")


def _content(arms: Sequence[Mapping[str, Any]]) -> Table:
    cells = ("valid believable", "valid unbelievable", "invalid believable", "invalid unbelievable")
    rows = tuple(
        (
            arm["label"],
            *(percent(_of_hundred(arm["content"]["cells"][cell])) for cell in cells),
            _points(arm["content"]["bias"], sign=True),
            _points(arm["content"]["total"]),
        )
        for arm in arms
        if any(value is not None for value in arm["content"]["cells"].values())
    )
    intro = (
        "Accuracy by whether the conclusion is true in the real world. Belief bias: accuracy where logic and belief "
        "agree (valid and believable, invalid and unbelievable) minus where they do not. Content effect (TCE): mean "
        "absolute difference between neighbouring cells, which a constant answer does not bring to 0. Both in "
        "percentage points; 0 is what logic asks for."
    )
    return Table("content", "Content effect", intro, ("arm", *cells, "belief bias", "TCE"), rows, "content")


def _of_hundred(value: float | None) -> float | None:
    return None if value is None else value / 100


def _points(value: float | None, *, sign: bool = False) -> str:
    return "–" if value is None else f"{value:+.1f}" if sign else f"{value:.1f}"


def _formalisation(arms: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            arm["label"],
            str(arm["formalisation"]["asked"]),
            _interval(arm["formalisation"]),
            str(arm["formalisation"]["asked"] - arm["formalisation"]["right"]),
            str(arm["right_despite_wrong_reading"]),
        )
        for arm in arms
        if arm["formalisation"]
    )
    intro = (
        "Of the arguments that were read, how many were read exactly as the generator meant them (E and I up to "
        "conversion). A right verdict from a wrong reading is luck."
    )
    columns = ("arm", "read", "read exactly", "misread", "right despite a wrong reading")
    return Table("formalisation", "Formalisation", intro, columns, rows)


def _lock(arms: Sequence[Mapping[str, Any]]) -> Table:
    names = ("called_the_tool", "agrees", "silent", "disagrees", "corrected")
    rows = tuple((arm["label"], *(str(arm["lock"][name]) for name in names)) for arm in arms if arm["lock"])
    intro = (
        "What the agents' model said in its own words beside the checker's verdict. A model that disagrees is "
        "corrected: the answer shown has the checker's verdict."
    )
    columns = ("arm", "called the tool", "agrees", "no clear verdict", "disagrees", "corrected")
    return Table("lock", "Verdict lock", intro, columns, rows)


def _groups(
    key: str,
    title: str,
    field: str,
    arms: Sequence[Mapping[str, Any]],
    intro: str,
    *,
    names: Mapping[str, str] | None = None,
) -> Table:
    groups = sorted({name for arm in arms for name in arm[field]}, key=lambda name: (name != "valid form", name))
    rows = tuple((arm["label"], *(_fraction(arm[field].get(name)) for name in groups)) for arm in arms if arm[field])
    return Table(key, title, intro, ("arm", *((names or {}).get(name, name) for name in groups)), rows)


def _fraction(share: Mapping[str, Any] | None) -> str:
    return "–" if share is None else f"{share['right']}/{share['asked']}"


def _tests(tests: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            f"{test['one']} – {test['other']}",
            str(test["items"]),
            str(test["only_one_right"]),
            str(test["only_other_right"]),
            _p(test["p"]),
            _p(test["p_holm"]),
        )
        for test in tests
    )
    intro = (
        "McNemar's exact test on the items both arms were asked: how often only the one or only the other was right. "
        "The last column is corrected for the number of tests (Holm)."
    )
    columns = ("arms", "items", "only first right", "only second right", "p", "p (Holm)")
    return Table("tests", "Paired tests", intro, columns, rows)


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"  # noqa: PLR2004 - four digits are shown


def _costs(arms: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            arm["label"],
            str(arm["calls"]),
            _number(arm["prompt_tokens"]),
            _number(arm["completion_tokens"]),
            f"{arm['busy_seconds']:.1f}",
            _seconds(arm["seconds_median"]),
            _seconds(arm["seconds_p95"]),
            _dollars(arm["dollars_estimate"], 4),
            _dollars(arm["dollars_per_1000_estimate"], 2),
        )
        for arm in arms
        if arm["calls"]
    )
    intro = (
        "Tokens as the server counted them; seconds with at least one question in flight, and per item. The cost is an "
        "estimate, dollars per hour times those seconds: start-up and idle tail are not in it."
    )
    columns = ("arm", "requests", "tokens read", "tokens written", "seconds busy", "s/item (median)", "s/item (p95)",
               "$ (estimate)", "$/1000 items (estimate)")  # fmt: skip
    return Table("costs", "Tokens, time, cost", intro, columns, rows)


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}".replace(",", " ")


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _dollars(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _unanswered(arms: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple((f"{arm['label']}: {why}", str(count)) for arm in arms for why, count in arm["why_unanswered"].items())
    return Table("unanswered", "Why there was no answer", "Each question without an answer.", ("reason", "items"), rows)


def _map(report: Mapping[str, Any]) -> Table:
    labels = [arm["label"] for arm in report["arms"] if any(arm["label"] in row["arms"] for row in report["map"])]
    rows = tuple(
        (
            row["pair"] + (" *" if row["has_a_valid_conclusion"] else ""),
            f"{row['human_percent']:.1f}",
            *("/".join(map(str, row["arms"][name])) if name in row["arms"] else "–" for name in labels),
        )
        for row in report["map"]
    )
    intro = (
        "Right of asked on each pair of premises, letters and figure in the order of the text (1 = A-B B-C, 2 = B-A "
        "C-B, 3 = A-B C-B, 4 = B-A B-C); a star marks the 27 pairs that have a valid conclusion. "
        "Arms that were asked about less than half of the pairs are not drawn; the CSV has all. "
        f"People, percent: {report['human']['source']} {report['human']['caution']}"
    )
    return Table("map", "Pairs of premises", intro, ("pair", "people %", *labels), rows if labels else (), "map")
