"""Statements as literals and demands over numbered classes: the bridge from words to the closure."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from llama70b.syllogism._closure import Theory, satisfy, smallest_model
from llama70b.syllogism._kinds import Quantifier
from llama70b.syllogism._results import Individual, Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama70b.syllogism._kinds import Import
    from llama70b.syllogism._types import Statement, Term


Pair = tuple[int, int]
"""Two literals: an implication, or what one individual must have."""


class Problem:
    """The premises of one argument over numbered classes, and the existence these are granted.

    Args:
        premises: The premises, referred to by position.
        conclusion: The conclusion, if there is one; its classes come first.
        import_: Convention of existential import. A class is granted a member, its complement is not.
    """

    __slots__ = ("_index", "_theories", "classes", "facts", "granted", "singular", "size")

    def __init__(self, premises: Sequence[Statement], conclusion: Statement | None, import_: Import) -> None:
        classes: dict[str, Term] = {}
        for statement in (conclusion, *premises) if conclusion else premises:
            for term in statement.terms:
                known = classes.get(term.name)
                if known is None or (term.singular and not known.singular):
                    classes[term.name] = term.positive
        self.classes = tuple(classes.values())
        self.size = len(self.classes)
        self._index = {name: index for index, name in enumerate(classes)}
        self.singular = tuple(index for index, term in enumerate(self.classes) if term.singular)
        self.facts = [(premise.quantifier.universal, self.pair(premise)) for premise in premises]
        self._theories: dict[tuple[Pair, ...], Theory] = {}
        self.granted = _granted(self.size, import_)

    def under(self, import_: Import) -> Problem:
        """Return the same problem under a convention; closures already computed are shared."""
        other = copy(self)
        other.granted = _granted(self.size, import_)
        return other

    def term(self, literal: int) -> Term:
        """Return the term of a literal."""
        return self.classes[literal] if literal < self.size else self.classes[literal - self.size].complement

    def opposite(self, literal: int) -> int:
        """Return the literal of the complement."""
        return literal - self.size if literal >= self.size else literal + self.size

    def pair(self, statement: Statement) -> Pair:
        """Return the literals of the subject and of what is said of it: the negative forms deny the predicate."""
        subject = self._index[statement.subject.name] + (self.size if statement.subject.negated else 0)
        denied = statement.quantifier in (Quantifier.NO, Quantifier.SOME_NOT)
        negative = statement.predicate.negated != denied
        return subject, self._index[statement.predicate.name] + (self.size if negative else 0)

    def satisfiable(self, *more: Statement, kept: Sequence[int] | None = None) -> bool:
        """Whether premises and further statements can be true together.

        Args:
            more: Statements over the same classes.
            kept: Positions of the premises to use; by default all.
        """
        return self._solve(more, kept)[1] is not None

    def model(self, *more: Statement) -> Model | None:
        """Return a smallest world in which all premises and further statements are true."""
        theory, groups = self._solve(more, None)
        if groups is None:
            return None
        worlds = smallest_model(theory, groups, self.singular)
        return Model(tuple(self._individual(position, members) for position, members in enumerate(worlds)))

    def _solve(self, more: Sequence[Statement], kept: Sequence[int] | None) -> tuple[Theory, list[int] | None]:
        facts = self.facts if kept is None else [self.facts[position] for position in kept]
        extra = tuple(self.pair(statement) for statement in more if statement.quantifier.universal)
        theory = self._theories.get(extra) if kept is None else None
        if theory is None:
            theory = Theory(self.size, (*(pair for universal, pair in facts if universal), *extra))
            if kept is None:
                self._theories[extra] = theory
        demands: list[tuple[int, ...]] = [pair for universal, pair in facts if not universal]
        demands.extend(self.pair(statement) for statement in more if not statement.quantifier.universal)
        return theory, satisfy(theory, (*self.granted, *demands), self.singular)

    def _individual(self, position: int, members: int) -> Individual:
        has = tuple(term for index, term in enumerate(self.classes) if members >> index & 1)
        lacks = tuple(term for index, term in enumerate(self.classes) if not members >> index & 1)
        name = next((term.name for term in has if term.singular), None)
        return Individual(name or _letter(position), has, lacks)


def _granted(size: int, import_: Import) -> tuple[tuple[int], ...]:
    return tuple((index,) for index in range(size)) if import_ == "all_terms" else ()


def _letter(position: int) -> str:
    return chr(ord("a") + position) if position < 26 else f"a{position}"  # noqa: PLR2004 - letters of the alphabet
