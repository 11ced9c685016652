"""Phrases around a class that say no more than "is": "falls into the category of", "is classified as". Data only."""

from __future__ import annotations

from itertools import product

_COLLECTIONS = "class classes set sets group groups category categories family families classification realm".split()
"""Nouns that, before "of", only say that a class is meant."""
_MEMBERS = "a member|members|a part|part|an element|elements|an instance|instances|an example|examples".split("|")
_KINDS = (
    "kind type sort form species variety subset subclass subtype subgroup category class instance example case "
    "subcategory specimen representative"
).split()
_CALLED = (
    "considered classified categorized categorised described regarded called known counted defined referred-to labeled "
    "labelled termed viewed seen recognized recognised characterized characterised "
    "grouped deemed"
).split()
_AS = ("as", "as being", "to be", "under", "among", "in", "with", "")


def _plural(noun: str) -> str:
    if noun == "species":
        return noun
    return noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("s") else "s")


def _collections() -> list[str]:
    return [f"the {noun} of {every}".strip() for noun in _COLLECTIONS for every in ("", "all", "all the", "the")]


def _table(phrases: list[str], note: str) -> dict[tuple[str, ...], str]:
    return {tuple(phrase.split()): note for phrase in phrases}


_INSIDE = ("in", "within", "included in", "contained in", "contained within", "found in", "placed in", "inside")
_OWN_AS = {"called": ("",), "termed": ("",), "grouped": ("among", "with", "under", "in")}
_DEEMED = frozenset({"considered", "deemed", "labeled", "labelled", "classified", "categorized", "categorised"})

WRAPPERS: dict[tuple[str, ...], str] = {
    **_table([f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} of" for kind in _KINDS], ""),
    **_table([f"{_plural(kind)} of" for kind in _KINDS], ""),
    **_table([f"{member} of {of}" for member, of in product(_MEMBERS, _collections())], ""),
    **_table([f"{inside} {of}" for inside, of in product(_INSIDE, _collections())], ""),
    **_table([f"a subset of {of}" for of in _collections()], ""),
    **_table(
        [
            *("nothing but", "one of the", "among the", "found among the", "included among the", "included among"),
            *("counted among", "counted among the", "numbered among", "numbered among the", "ranked among the"),
        ],
        "",
    ),
    **_table(
        [
            f"{called.replace('-', ' ')} {as_}".strip()
            for called in _CALLED
            for as_ in _OWN_AS.get(called, _AS[:3])
            if as_ or called in _OWN_AS
        ],
        "described",
    ),
    **_table([called for called in _CALLED if called in _DEEMED & {"considered", "deemed"}], "described"),
    **_table(
        [
            f"{called} {as_} {of}"
            for called, as_, of in product(sorted(_DEEMED | {"grouped", "placed", "counted"}), _AS[3:7], _collections())
        ],
        "described",
    ),
}
"""What follows a copula and wraps a class -> code of the assumption it deserves, or none."""

_BELONG = (
    "belong to",
    "fall into",
    "fall under",
    "fall within",
    "fall in",
    "come under",
    "form part of",
    "make up part of",
)

VERB_WRAPPERS: list[tuple[str, ...]] = sorted(
    (
        tuple(phrase.split())
        for phrase in (
            *(f"{belong} {of}" for belong, of in product(_BELONG, _collections())),
            *("qualify as", "count as", "fall under", "form a subset of", "constitute", "represent"),
            *("rank among", "rank among the", "count among", "count among the", "classify as", "count as being"),
        )
    ),
    key=len,
    reverse=True,
)
"""Verbs, in the base form, that do the same."""

NAMINGS = tuple(
    tuple(phrase.split())
    for phrase in sorted(
        (
            f"{adverb} {called}".strip()
            for adverb in ("", "also", "commonly", "better", "otherwise", "collectively")
            for called in ("known as", "called", "referred to as", "termed", "we call")
        ),
        key=len,
        reverse=True,
    )
)
"""What stands between a description and the class it names: "aquatic creatures known as fish"."""
