"""Exact verdicts on categorical arguments with any number of premises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama70b.syllogism import _forms
from llama70b.syllogism._derive import derive, refutation_premises
from llama70b.syllogism._kinds import Import, Quantifier, Verdict
from llama70b.syllogism._problem import Problem
from llama70b.syllogism._results import CheckResult
from llama70b.syllogism._types import Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DELETION_LIMIT = 48
"""Up to this many premises the needed ones are found by deletion alone."""

IMPORT_ASSUMPTION = {
    "en": "every class that is named has at least one member (traditional logic)",
    "zh": "每个提到的类至少有一个成员（传统逻辑）",
}
NO_IMPORT_ASSUMPTION = {
    "en": "a class that is named may have no member (modern logic)",
    "zh": "提到的类可以没有成员（现代逻辑）",
}


def check(premises: Sequence[Statement], conclusion: Statement, *, import_: Import = "all_terms") -> CheckResult:
    """Decide exactly what the premises say about the conclusion.

    Args:
        premises: Any number of statements, negated and singular terms included.
        conclusion: The statement to decide.
        import_: ``all_terms``: every class named in the argument has a member (24 valid syllogisms);
            ``none``: only what the premises say exists (15). The complement of a class is never granted a member.

    Returns:
        The verdict with its form, models, needed premises and derivation.
    """
    _check_import(import_)
    given = tuple(premises)
    other: Import = "none" if import_ == "all_terms" else "all_terms"
    problem = Problem(given, conclusion, import_)
    verdict = _verdict(problem, conclusion)
    other_verdict = _verdict(problem.under(other), conclusion)
    needed = _needed(problem, given, conclusion, verdict)
    countermodel = model = None
    if verdict in (Verdict.UNDETERMINED, Verdict.CONTRADICTED):
        countermodel = problem.model(conclusion.contradictory)
    if verdict is Verdict.UNDETERMINED:
        model = problem.model(conclusion)
    shape = _forms.mood_and_figure(given, conclusion)
    differs = other_verdict is not verdict
    assumption = IMPORT_ASSUMPTION if import_ == "all_terms" else NO_IMPORT_ASSUMPTION
    return CheckResult(
        premises=given,
        conclusion=conclusion,
        import_=import_,
        verdict=verdict,
        other_verdict=other_verdict if differs else None,
        form=_form(shape, verdict) if shape else None,
        figure=shape[1] if shape else None,
        countermodel=countermodel,
        model=model,
        needed_premises=needed,
        derivation=derive(
            problem,
            given,
            conclusion,
            verdict=verdict,
            needed=needed,
            countermodel=countermodel,
            model=model,
        ),
        assumptions=(assumption[conclusion.language],) if differs else (),
    )


def conclusions(premises: Sequence[Statement], *, import_: Import = "all_terms") -> tuple[Statement, ...]:
    """Return everything of the four forms that follows and is news.

    All pairs of classes are tried, in both directions, that no single premise already relates: for a syllogism these
    are its end terms, for a sorites every pair further apart. Weaker forms are listed after stronger ones, not left
    out (48 conclusions over the 64 premise pairs with import, 30 without).

    Args:
        premises: Any number of statements.
        import_: Convention of existential import, as for `check`.

    Returns:
        The valid conclusions; none when the premises contradict each other, from which anything would follow.
    """
    _check_import(import_)
    given = tuple(premises)
    problem = Problem(given, None, import_)
    if not problem.satisfiable():
        return ()
    related = {frozenset((premise.subject.name, premise.predicate.name)) for premise in given}
    return tuple(
        candidate
        for quantifier in Quantifier
        for subject in problem.classes
        for predicate in problem.classes
        if subject is not predicate and frozenset((subject.name, predicate.name)) not in related
        if not (subject.singular and quantifier in (Quantifier.SOME, Quantifier.SOME_NOT))
        for candidate in (Statement(quantifier, subject, predicate),)
        if not problem.satisfiable(candidate.contradictory)
    )


def _check_import(import_: str) -> None:
    if import_ not in ("all_terms", "none"):
        raise ValueError(f"import_ is {import_!r}; it must be 'all_terms' (default) or 'none'")


def _verdict(problem: Problem, conclusion: Statement) -> Verdict:
    # What is satisfiable with the denial is satisfiable without it: the commonest case needs no third test.
    if problem.satisfiable(conclusion.contradictory):
        return Verdict.UNDETERMINED if problem.satisfiable(conclusion) else Verdict.CONTRADICTED
    return Verdict.ENTAILED if problem.satisfiable() else Verdict.INCONSISTENT_PREMISES


def _form(shape: tuple[str, int], verdict: Verdict) -> str:
    mood, figure = shape
    named = _forms.name(mood, figure) if verdict is Verdict.ENTAILED else None
    return named or f"{mood}-{figure}"


def _needed(
    problem: Problem, premises: tuple[Statement, ...], conclusion: Statement, verdict: Verdict
) -> tuple[int, ...]:
    """Return a minimal set of premises that already gives the verdict: none of them can be left out."""
    match verdict:
        case Verdict.UNDETERMINED:
            return ()
        case Verdict.ENTAILED:
            goal: tuple[Statement, ...] = (conclusion.contradictory,)
        case Verdict.CONTRADICTED:
            goal = (conclusion,)
        case Verdict.INCONSISTENT_PREMISES:
            goal = ()

    def refuted(kept: Sequence[int]) -> bool:
        return not problem.satisfiable(*goal, kept=kept)

    kept = tuple(range(len(premises)))
    if len(kept) > _DELETION_LIMIT:
        chain = refutation_premises(problem, goal)
        if chain is not None and refuted(chain):
            kept = chain
    return kept if len(kept) > _DELETION_LIMIT else _delete_one_by_one(kept, refuted)


def _delete_one_by_one(kept: tuple[int, ...], refuted: Callable[[Sequence[int]], bool]) -> tuple[int, ...]:
    for position in kept:
        without = tuple(other for other in kept if other != position)
        if refuted(without):
            kept = without
    return kept
