"""The closed kinds of the calculus: quantifiers, verdicts, kinds of term words, languages."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Import = Literal["all_terms", "none"]
"""Existential import: every class named in the argument has a member, or only what the premises say exists."""

Language = Literal["en", "zh"]


class Quantifier(StrEnum):
    """The four categorical forms of the square of opposition."""

    ALL = "all"
    NO = "no"
    SOME = "some"
    SOME_NOT = "some_not"

    @property
    def letter(self) -> str:
        """The traditional vowel: A, E, I or O."""
        return _LETTERS[self]

    @property
    def universal(self) -> bool:
        """Whether the form only rules out (A, E) rather than claims existence (I, O)."""
        return self in (Quantifier.ALL, Quantifier.NO)

    @property
    def contradictory(self) -> Quantifier:
        """The form that is true exactly when this one is false."""
        return _CONTRADICTORY[self]

    @property
    def obverse(self) -> Quantifier:
        """The form that says the same of the complement of the predicate."""
        return _OBVERSE[self]


_LETTERS = {Quantifier.ALL: "A", Quantifier.NO: "E", Quantifier.SOME: "I", Quantifier.SOME_NOT: "O"}
_CONTRADICTORY = {
    Quantifier.ALL: Quantifier.SOME_NOT,
    Quantifier.SOME_NOT: Quantifier.ALL,
    Quantifier.NO: Quantifier.SOME,
    Quantifier.SOME: Quantifier.NO,
}
_OBVERSE = {
    Quantifier.ALL: Quantifier.NO,
    Quantifier.NO: Quantifier.ALL,
    Quantifier.SOME: Quantifier.SOME_NOT,
    Quantifier.SOME_NOT: Quantifier.SOME,
}


class TermKind(StrEnum):
    """What the words of a term are, so that they can be put back into a sentence."""

    NOUN = "noun"
    """A count noun phrase in the plural: ``roses``."""
    MASS = "mass"
    """A mass noun phrase: ``water``."""
    ADJECTIVE = "adjective"
    """What follows a copula without being a noun: ``mortal``, ``in the garden``."""
    VERB = "verb"
    """A verb phrase in its base form: ``fade quickly``."""
    NAME = "name"
    """A proper name: ``Socrates``."""


class Verdict(StrEnum):
    """What the premises say about the conclusion."""

    ENTAILED = "entailed"
    CONTRADICTED = "contradicted"
    UNDETERMINED = "undetermined"
    INCONSISTENT_PREMISES = "inconsistent_premises"


class Reason(StrEnum):
    """Why a stretch of text was refused. The sentences are in ``_explain``."""

    EMPTY = "empty"
    NO_STATEMENT = "no_statement"
    NO_PREMISES = "no_premises"
    SEVERAL_CONCLUSIONS = "several_conclusions"
    QUANTITY = "quantity"
    NUMBER = "number"
    CONDITIONAL = "conditional"
    EXCEPTION = "exception"
    EXCLUSIVE = "exclusive"
    BOOLEAN = "boolean"
    NEGATION = "negation"
    MODALITY = "modality"
    FREQUENCY = "frequency"
    TENSE = "tense"
    ATTITUDE = "attitude"
    RELATION = "relation"
    PRONOUN = "pronoun"
    DEFINITE = "definite"
    COLLECTIVE = "collective"
    QUANTIFIER_IN_TERM = "quantifier_in_term"
    EXISTENCE = "existence"
    AMBIGUOUS = "ambiguous"
    FOUR_TERMS = "four_terms"
    COMPOUND_TERM = "compound_term"
    SAME_TERM = "same_term"
