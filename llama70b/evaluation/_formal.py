"""Compare how an argument was read with what it says by construction. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from llama70b.syllogism import Quantifier, Statement

_ENDING = 3


def same_reading(read: Sequence[Statement], meant: Sequence[Statement]) -> bool:
    """Whether every statement was read as the one that is meant, in the same order.

    "No S are P" and "no P are S" count as the same statement, and so do a statement and its obverse. Terms are
    compared by their words up to the ending ("rarity", "rarities"), and must be told apart in the same way.

    Args:
        read: Premises and conclusion as read.
        meant: Premises and conclusion as designed.
    """
    if len(read) != len(meant):
        return False
    names: dict[str, str] = {}
    for one, other in zip(read, meant, strict=True):
        pairs = _matched(one.obverted, other.obverted)
        if pairs is None:
            return False
        for name, wanted in pairs:
            if names.setdefault(name, wanted) != wanted:
                return False
    return len(set(names.values())) == len(names)


def _matched(read: Statement, meant: Statement) -> list[tuple[str, str]] | None:
    """Return the pairs of term names under which the two say the same."""
    if read.quantifier is not meant.quantifier:
        return None
    orders = [read.terms]
    if read.quantifier in (Quantifier.NO, Quantifier.SOME):
        orders.append((read.predicate, read.subject))
    for terms in orders:
        pairs = list(zip(terms, meant.terms, strict=True))
        if all(term.negated is wanted.negated and _alike(term.name, wanted.name) for term, wanted in pairs):
            return [(term.name, wanted.name) for term, wanted in pairs]
    return None


def _alike(name: str, wanted: str) -> bool:
    if name == wanted:
        return True
    if not wanted.isascii():
        return False
    stem = max(len(wanted) - _ENDING, 2)
    return name[:stem] == wanted[:stem] and abs(len(name) - len(wanted)) <= _ENDING
