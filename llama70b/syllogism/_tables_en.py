"""The English grammar as data: determiners, pronouns, emphasis, contractions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from llama70b.syllogism._kinds import Quantifier

A, E, I, O = Quantifier.ALL, Quantifier.NO, Quantifier.SOME, Quantifier.SOME_NOT  # noqa: E741 - their names since 1200


@dataclass(frozen=True, slots=True)
class Determiner:
    """A quantifying phrase before a noun.

    Attributes:
        words: The phrase.
        force: The form it gives to an affirmative sentence.
        singular: A count noun after it is singular ("every"); ``None``: the noun decides.
        wide: A plain "not" after it may deny the whole ("all X are not Y"), so the sentence is ambiguous.
        note: Code of an assumption it brings.
    """

    words: tuple[str, ...]
    force: Quantifier
    singular: bool | None = None
    wide: bool = False
    note: str = ""


def _rows(
    force: Quantifier, phrases: str, *, singular: bool | None, wide: bool = False, note: str = ""
) -> list[Determiner]:
    return [
        Determiner(tuple(phrase.split()), force, singular, wide, note)
        for phrase in phrases.replace("\n", "|").split("|")
        if phrase.strip()
    ]


_OF_A_SET = tuple(
    f"{member} of the {collection} of"
    for member in ("member", "element")
    for collection in ("set", "class", "group", "category", "family")
)
_OF_SETS = tuple(phrase.replace(" of the", "s of the", 1) for phrase in _OF_A_SET)


def _membership(force: Quantifier, one: str, several: str, *, wide: bool = False) -> list[Determiner]:
    """Return "every member of the class of" and its like."""
    phrases = [f"{word} {phrase}" for word in one.split("|") for phrase in _OF_A_SET]
    phrases += [f"{word} {phrase}" for word in several.split("|") for phrase in _OF_SETS]
    return [
        replace(determiner, words=(*determiner.words, *more))
        for determiner in _rows(force, "|".join(phrases), singular=None, wide=wide)
        for more in ((), ("all",))
    ]


DETERMINERS = sorted(
    [
        *_membership(A, "every", "all|all the", wide=True),
        *_membership(A, "each|any", "any"),
        *_membership(E, "no|not a single|not one", "no|none of the"),
        *_membership(I, "at least one|some", "some|certain|some of the"),
        *_membership(O, "not every", "not all"),
        *_rows(A, "each", singular=True),
        *_rows(
            A,
            (
                "every|every kind of|every type of|every instance of a|every instance of an|each type of|each "
                "kind of|every sort of|every single|each and every|every last"
            ),
            singular=True,
            wide=True,
        ),
        *_rows(
            A,
            """all|all the|all of the|all of|every one of the|every single one of the|each of the|each one of the
            each and every one of the|any and all|all and any|each and every one of
            all kinds of|all types of|all sorts of|
              all instances of|the entire set of|the whole set of
            the entire class of|absolutely all|the entirety of|the set of all|the class of all|the group of all
            all things in the set of|the whole of the|all known|all existing
            each of|every one of|each one of|every single one of""",
            singular=None,
            wide=True,
        ),
        *_rows(A, "any|any given|any single", singular=None),
        *_rows(A, "any of the|any one of the|any of", singular=None),
        *_rows(
            E,
            """no|none of the|none of|not a single one of the|not one of the|not any|no single|absolutely no|
              zero percent of
            none among the|not any of the|no one of the
            no known|not even one of the|not one of|not a single one of|not any of""",
            singular=None,
        ),
        *_rows(E, "not a single|not one|not one single|not a|not even one|not even a single|not an", singular=True),
        *_rows(
            I,
            """some|some of the|some of|at least some|at least some of the|a part of|a part of the|part of the
            some part of the|some portion of|some portion of the|a portion of|a portion of the|a subset of
            a subset of the|certain|certain of the|one or more|one or more of the
            some among the|some amount of|some kinds of|some types of|a section of the|a section of
            a share of the|a share of|some subset of|some subset of the|some fraction of the|a fraction of the
            some number of|a certain number of|a certain number of the|a certain portion of|a certain portion of the
            some known|some existing|a certain subset of|a certain group of|a group of|a selection of""",
            singular=None,
        ),
        *_rows(I, "at least one|at least a single|a certain", singular=True),
        *_rows(I, "at least one of the|a certain one of the|at least one of", singular=None),
        *_rows(
            I,
            """a few|a few of the|a few of|at least a few|at least a few of the|several|several of the|
              several of|various
            a number of|a number of the|a small number of|a small number of the|a handful of|a handful of the
            multiple|some few|a small portion of|a small portion of the""",
            singular=None,
            note="vague_some",
        ),
        *_rows(
            O,
            """not all|not all the|not all of the|not all of|not every one of the|not each of the|
              not each and every one of the
            not absolutely all|not all known""",
            singular=None,
        ),
        *_rows(O, "not every|not each|not every single|not each and every", singular=True),
    ],
    key=lambda determiner: -len(determiner.words),
)

PRONOUNS = {
    "everything": "every thing",
    "anything": "any thing",
    "nothing": "no thing",
    "something": "some thing",
    "everyone": "every person",
    "everybody": "every person",
    "anyone": "any person",
    "anybody": "any person",
    "nobody": "no person",
    "noone": "no person",
    "no-one": "no person",
    "someone": "some person",
    "somebody": "some person",
    "no one": "no person",
    "not everything": "not every thing",
    "not everyone": "not every person",
    "not everybody": "not every person",
    "not anything": "not any thing",
    "not anyone": "not any person",
    "whoever": "any person who",
    "whatever": "any thing that",
    "all that": "all things that",
    "all who": "all people who",
    "all those who": "all people who",
    "all those that": "all things that",
    "all those which": "all things that",
    "those who": "people who",
    "those that": "things that",
    "those which": "things that",
    "none of those who": "no people who",
    "none of those that": "no things that",
    "some of those who": "some people who",
    "some of those that": "some things that",
    "some who": "some people who",
    "some that": "some things that",
    "none who": "no people who",
    "none that": "no things that",
    "not all who": "not all people who",
    "not all that": "not all things that",
    "not all those who": "not all people who",
    "not all those that": "not all things that",
    "each one that": "every thing that",
    "each thing": "every thing",
}
"""A subject pronoun, at the start of a clause -> determiner and noun."""


UNIVERSAL_SUFFIXES = tuple(
    tuple(phrase.split())
    for phrase in (
        "without exception|without any exception|without any exceptions|without a single exception|in every case|"
        "in all cases|with no exception|with no exceptions|by definition|at all times"
    ).split("|")
)
"""Emphasis that only a universal statement can bear."""

UNIVERSAL_PREFIXES = tuple(
    tuple(phrase.split())
    for phrase in (
        "without exception ,|no matter what ,|without a single exception ,|without any exception ,|in every case ,|"
        "in all cases ,|"
        "by definition ,|without exception"
    ).split("|")
)

PLAIN_SUFFIXES = tuple(
    tuple(phrase.split())
    for phrase in "in that world|in this world|in that case|in this case|"
    "as well|too|indeed|also|at all|in fact|of course|for sure|after all|therefore|then|thus|hence".split("|")
)

CONTRACTIONS = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"\bcan't\b|\bcannot\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"\bshan't\b", "shall not"),
        (r"\bain't\b", "are not"),
        (r"n't\b", " not"),
        (r"\b(that|it|there|here|who|what|everything|nothing|something|he|she|everyone|someone)'s\b", r"\1 is"),
        (r"\b(they|we|you|who|there)'re\b", r"\1 are"),
        (r"\bno-one\b", "no one"),
    )
)
