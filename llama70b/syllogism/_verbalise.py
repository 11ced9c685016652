"""Canonical words of terms and statements, in English or Chinese.

The grammar reads every sentence made here back as the same statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama70b.syllogism._kinds import Quantifier, TermKind
from llama70b.syllogism._morphology import head_index, looks_plural, one_of, third_person, with_article

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama70b.syllogism._kinds import Language
    from llama70b.syllogism._types import Statement, Term

_QUANTIFIERS_EN = {Quantifier.ALL: "All", Quantifier.NO: "No", Quantifier.SOME: "Some", Quantifier.SOME_NOT: "Some"}
_FRAMES_ZH = {
    Quantifier.ALL: "所有{s}都是{p}。",
    Quantifier.NO: "没有{s}是{p}。",
    Quantifier.SOME: "有些{s}是{p}。",
    Quantifier.SOME_NOT: "有些{s}不是{p}。",
}


def term_words(term: Term) -> str:
    """Return the words for the class: "roses", "things that fade quickly", "things that are not red"."""
    return _class_zh(term) if term.language == "zh" else _class_en(term)


def statement_words(statement: Statement, *, stop: bool = True) -> str:
    """Return the canonical sentence.

    Args:
        statement: What to say.
        stop: End with a full stop.
    """
    words = _statement_zh(statement) if statement.language == "zh" else _statement_en(statement)
    return words if stop else words[:-1]


def says(term: Term, *, language: Language | None = None) -> str:
    """Return the clause that says one individual is in the class: "is a rose", "does not fade quickly".

    Args:
        term: The class; its negation gives the negative clause.
        language: Of the sentence it goes into; by default that of the term.
    """
    if (language or term.language) == "zh":
        return ("不是" if term.negated else "是") + _predicate_zh(term.positive)
    if term.kind is TermKind.VERB:
        return f"does not {term.name}" if term.negated else third_person(term.name)
    return ("is not " if term.negated else "is ") + _one(term.positive)


def join(clauses: Sequence[str], *, language: Language) -> str:
    """Join clauses with commas and a final "and"."""
    if language == "zh":
        return "，".join(clauses)
    if len(clauses) < 3:  # noqa: PLR2004 - "a", "a and b"; from three on, commas
        return " and ".join(clauses)
    return ", ".join(clauses[:-1]) + " and " + clauses[-1]


def is_count_noun(term: Term) -> bool:
    """Whether one member of the class can be called "a ..."."""
    if term.kind is not None:
        return term.kind is TermKind.NOUN
    words = term.name.split(" ")
    return looks_plural(words[head_index(words)])


def _one(term: Term) -> str:
    return with_article(one_of(term.name)) if is_count_noun(term) else term.name


def _class_en(term: Term) -> str:
    match term.kind:
        case TermKind.VERB:
            return f"things that do not {term.name}" if term.negated else f"things that {term.name}"
        case TermKind.ADJECTIVE if not term.negated:
            return f"things that are {term.name}"
        case _:
            return f"things that are not {term.name}" if term.negated else term.name


def _predicate_en(term: Term) -> str:
    return term.name if term.kind is TermKind.ADJECTIVE and not term.negated else _class_en(term)


def _statement_en(statement: Statement) -> str:
    subject, predicate = statement.subject, statement.predicate
    negative = statement.quantifier in (Quantifier.NO, Quantifier.SOME_NOT)
    if subject.singular and not subject.negated:
        return f"{subject.name} is {'not ' if negative else ''}{_said_of_one(predicate)}."
    denial = "not " if statement.quantifier is Quantifier.SOME_NOT else ""
    uncountable = subject.kind is TermKind.MASS and not subject.negated
    said = f"is {denial}{_said_of_one(predicate)}" if uncountable else f"are {denial}{_predicate_en(predicate)}"
    return f"{_QUANTIFIERS_EN[statement.quantifier]} {_class_en(subject)} {said}."


def _said_of_one(term: Term) -> str:
    if term.kind is TermKind.VERB or term.negated:
        return "something that " + says(term, language="en")
    return _one(term)


def _class_zh(term: Term) -> str:
    if term.negated:
        return f"不是{term.name}的东西"
    return term.name if _bare_zh(term) else f"{term.name}的东西"


def _predicate_zh(term: Term) -> str:
    if term.negated:
        return _class_zh(term)
    return term.name if _bare_zh(term) else f"{term.name}的"


def _bare_zh(term: Term) -> bool:
    return term.kind not in (TermKind.ADJECTIVE, TermKind.VERB)


def _statement_zh(statement: Statement) -> str:
    subject, predicate = statement.subject, statement.predicate
    if subject.singular and not subject.negated:
        denial = "不" if statement.quantifier in (Quantifier.NO, Quantifier.SOME_NOT) else ""
        return f"{subject.name}{denial}是{_predicate_zh(predicate)}。"
    return _FRAMES_ZH[statement.quantifier].format(s=_class_zh(subject), p=_predicate_zh(predicate))
