"""Names of the categorical syllogisms: mood and traditional figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama70b.syllogism._types import Statement, Term

UNCONDITIONAL = {
    1: {"AAA": "Barbara", "EAE": "Celarent", "AII": "Darii", "EIO": "Ferio"},
    2: {"EAE": "Cesare", "AEE": "Camestres", "EIO": "Festino", "AOO": "Baroco"},
    3: {"IAI": "Disamis", "AII": "Datisi", "OAO": "Bocardo", "EIO": "Ferison"},
    4: {"AEE": "Calemes", "IAI": "Dimatis", "EIO": "Fresison"},
}
"""Figure -> mood (major, minor, conclusion) -> name of the 15 forms valid without existential import."""

WITH_IMPORT = {
    1: {"AAI": "Barbari", "EAO": "Celaront"},
    2: {"EAO": "Cesaro", "AEO": "Camestros"},
    3: {"AAI": "Darapti", "EAO": "Felapton"},
    4: {"AAI": "Bamalip", "EAO": "Fesapo", "AEO": "Calemos"},
}
"""The 9 forms valid only when the terms have members."""

_FIGURES = {(False, True): 1, (True, True): 2, (False, False): 3, (True, False): 4}
"""Whether the middle term is the predicate of the major and of the minor premise -> figure."""


def mood_and_figure(premises: Sequence[Statement], conclusion: Statement) -> tuple[str, int] | None:
    """Return mood and figure of a two-premise syllogism, or ``None`` for any other argument.

    A negated predicate is obverted first, so "all M are non-P" counts as "no M are P". Either order of the premises.
    """
    if len(premises) != 2:  # noqa: PLR2004 - a syllogism has two
        return None
    goal = conclusion.obverted
    first, second = (premise.obverted for premise in premises)
    for major, minor in ((first, second), (second, first)):
        figure = _figure(major, minor, goal)
        if figure:
            return major.quantifier.letter + minor.quantifier.letter + goal.quantifier.letter, figure
    return None


def _figure(major: Statement, minor: Statement, goal: Statement) -> int | None:
    middle = _other(major, goal.predicate)
    if (
        middle is None
        or middle != _other(minor, goal.subject)
        or middle in goal.terms
        or goal.subject == goal.predicate
    ):
        return None
    return _FIGURES[major.predicate == middle, minor.predicate == middle]


def _other(statement: Statement, term: Term) -> Term | None:
    match statement.terms:
        case (subject, predicate) if subject == term:
            return predicate
        case (subject, predicate) if predicate == term:
            return subject
        case _:
            return None


def name(mood: str, figure: int) -> str | None:
    """Return the name of one of the 24 valid forms."""
    return UNCONDITIONAL[figure].get(mood) or WITH_IMPORT[figure].get(mood)
