"""The checker against independent oracles: brute force over all worlds, and z3."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from typing import TYPE_CHECKING

import pytest
import z3

from llama70b.syllogism import (
    CheckResult,
    Import,
    Model,
    Quantifier,
    Statement,
    Term,
    TermKind,
    Verdict,
    check,
    conclusions,
    verbalise,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.unit.syllogism.conftest import Oracle

A, E, I, O = Quantifier  # noqa: E741
S, M, P = (Term(name) for name in "SMP")
FIGURES = {1: ((M, P), (S, M)), 2: ((P, M), (S, M)), 3: ((M, P), (M, S)), 4: ((P, M), (M, S))}
IMPORTS: tuple[Import, ...] = ("all_terms", "none")

VALID = {
    "none": {
        "AAA-1", "EAE-1", "AII-1", "EIO-1", "EAE-2", "AEE-2", "EIO-2", "AOO-2",
        "IAI-3", "AII-3", "OAO-3", "EIO-3", "AEE-4", "IAI-4", "EIO-4",
    },
    "all_terms": {"AAI-1", "EAO-1", "EAO-2", "AEO-2", "AAI-3", "EAO-3", "AAI-4", "EAO-4", "AEO-4"},
}  # fmt: skip
VALID["all_terms"] |= VALID["none"]

NAMES = {
    "AAA-1": "Barbara", "EAE-1": "Celarent", "AII-1": "Darii", "EIO-1": "Ferio", "AAI-1": "Barbari",
    "EAO-1": "Celaront", "EAE-2": "Cesare", "AEE-2": "Camestres", "EIO-2": "Festino", "AOO-2": "Baroco",
    "EAO-2": "Cesaro", "AEO-2": "Camestros", "IAI-3": "Disamis", "AII-3": "Datisi", "OAO-3": "Bocardo",
    "EIO-3": "Ferison", "AAI-3": "Darapti", "EAO-3": "Felapton", "AEE-4": "Calemes", "IAI-4": "Dimatis",
    "EIO-4": "Fresison", "AAI-4": "Bamalip", "EAO-4": "Fesapo", "AEO-4": "Calemos",
}  # fmt: skip


def forms() -> Iterator[tuple[str, list[Statement], Statement]]:
    for figure, (major, minor) in FIGURES.items():
        for x, y, z in itertools.product(Quantifier, repeat=3):
            mood = x.letter + y.letter + z.letter
            yield f"{mood}-{figure}", [Statement(x, *major), Statement(y, *minor)], Statement(z, S, P)


def holds_in(statement: Statement, model: Model) -> bool:
    """Evaluate a statement in a model the checker gave, by its own definition."""

    def member(term: Term, has: frozenset[str]) -> bool:
        return (term.name in has) != term.negated

    people = [frozenset(term.name for term in one.has) for one in model.individuals]
    said = [member(statement.predicate, one) for one in people if member(statement.subject, one)]
    truth = {A: all(said), E: not any(said), I: any(said), O: not all(said)}
    return truth[statement.quantifier]


def assert_sound(result: CheckResult) -> None:
    """Check every part of a result against its meaning."""
    denial = result.conclusion.contradictory
    if result.verdict in (Verdict.UNDETERMINED, Verdict.CONTRADICTED):
        assert result.countermodel is not None
        assert all(holds_in(statement, result.countermodel) for statement in (*result.premises, denial))
    else:
        assert result.countermodel is None
    if result.verdict is Verdict.UNDETERMINED:
        assert result.model is not None
        assert all(holds_in(statement, result.model) for statement in (*result.premises, result.conclusion))
        assert result.needed_premises == ()
        return
    assert result.model is None
    kept = [result.premises[position] for position in result.needed_premises]
    # Classes that only a left-out premise names stay granted: the needed premises are minimal within the argument.
    if result.import_ == "none":
        assert check(kept, result.conclusion, import_="none").verdict is result.verdict
        for position in range(len(kept)):
            without = kept[:position] + kept[position + 1 :]
            assert check(without, result.conclusion, import_="none").verdict is not result.verdict


@pytest.mark.parametrize("import_", IMPORTS)
def test_all_256_forms_agree_with_brute_force(import_: Import, oracle: Callable[..., Oracle]) -> None:
    judge = oracle("SMP", import_=import_)
    valid = set()
    for name, premises, conclusion in forms():
        result = check(premises, conclusion, import_=import_)
        assert result.verdict is judge.verdict(premises, conclusion), name
        assert_sound(result)
        if result.verdict is Verdict.ENTAILED:
            valid.add(name)
            assert result.form == NAMES[name]
        else:
            assert result.form == name
        assert result.figure == int(name[-1])
    assert valid == VALID[import_]
    assert len(valid) == {"none": 15, "all_terms": 24}[import_]


def test_the_two_conventions_differ_on_the_nine_subalternate_forms_and_say_so() -> None:
    differing = set()
    for name, premises, conclusion in forms():
        here, there = (check(premises, conclusion, import_=import_) for import_ in IMPORTS)
        assert here.other_verdict is (there.verdict if there.verdict is not here.verdict else None)
        assert there.other_verdict is (here.verdict if there.verdict is not here.verdict else None)
        assert bool(here.assumptions) == (here.verdict is not there.verdict)
        if here.verdict is Verdict.ENTAILED and there.verdict is not Verdict.ENTAILED:
            differing.add(name)
    assert differing == VALID["all_terms"] - VALID["none"]


@pytest.mark.parametrize("import_", IMPORTS)
def test_countermodels_are_as_small_as_can_be(import_: Import, oracle: Callable[..., Oracle]) -> None:
    judge = oracle("SMP", import_=import_)
    sizes: dict[int, int] = {}
    for name, premises, conclusion in forms():
        result = check(premises, conclusion, import_=import_)
        if result.countermodel is not None:
            size = len(result.countermodel.individuals)
            assert size == judge.smallest_countermodel(premises, conclusion), name
            sizes[size] = sizes.get(size, 0) + 1
    if import_ == "all_terms":
        assert sizes == {1: 32, 2: 174, 3: 26}


@pytest.mark.parametrize(("import_", "pairs", "total"), [("all_terms", 27, 48), ("none", 22, 30)])
def test_the_64_premise_pairs(import_: Import, pairs: int, total: int) -> None:
    a, b, c = (Term(name) for name in "abc")
    orders = [((a, b), (b, c)), ((b, a), (c, b)), ((a, b), (c, b)), ((b, a), (b, c))]
    found = [
        conclusions([Statement(x, *first), Statement(y, *second)], import_=import_)
        for first, second in orders
        for x, y in itertools.product(Quantifier, repeat=2)
    ]
    assert sum(map(bool, found)) == pairs
    assert sum(map(len, found)) == total
    assert all({s.subject.name, s.predicate.name} == {"a", "c"} for follows in found for s in follows)


def test_conclusions_are_exactly_the_entailed_candidates() -> None:
    premises = [Statement(A, S, M), Statement(E, M, P)]
    follows = conclusions(premises)
    for quantifier, (x, y) in itertools.product(Quantifier, ((S, P), (P, S))):
        candidate = Statement(quantifier, x, y)
        assert (candidate in follows) == (check(premises, candidate).verdict is Verdict.ENTAILED)


def test_nothing_is_concluded_from_contradictory_premises() -> None:
    assert conclusions([Statement(A, S, M), Statement(O, S, M)]) == ()


def random_statement(rng: random.Random, terms: Sequence[Term], *, negate: bool) -> Statement:
    x, y = rng.sample(list(terms), 2)
    flip = [negate and rng.random() < 0.3 for _ in range(2)]
    x, y = (term.complement if flipped else term for term, flipped in zip((x, y), flip, strict=True))
    return Statement(rng.choice(list(Quantifier)), x, y)


@pytest.mark.parametrize("import_", IMPORTS)
def test_random_arguments_with_negated_terms_agree_with_brute_force(
    import_: Import, oracle: Callable[..., Oracle]
) -> None:
    rng = random.Random(6)
    judge = oracle("abc", import_=import_)
    terms = [Term(name) for name in "abc"]
    for _ in range(400):
        premises = [random_statement(rng, terms, negate=True) for _ in range(rng.randint(1, 4))]
        conclusion = random_statement(rng, terms, negate=True)
        named = {term.name for statement in (*premises, conclusion) for term in statement.terms}
        if named != set("abc"):
            continue
        result = check(premises, conclusion, import_=import_)
        assert result.verdict is judge.verdict(premises, conclusion), [str(s) for s in (*premises, conclusion)]
        assert_sound(result)


@pytest.mark.parametrize("import_", IMPORTS)
@pytest.mark.parametrize("singular", ["a", "ab", "abc"])
def test_singular_terms_have_exactly_one_bearer(import_: Import, singular: str, oracle: Callable[..., Oracle]) -> None:
    rng = random.Random(len(singular))
    judge = oracle("abc", singular=singular, import_=import_)
    terms = [Term(name, singular=name in singular) for name in "abc"]
    seen = set()
    for _ in range(250):
        premises = [random_statement(rng, terms, negate=True) for _ in range(rng.randint(1, 4))]
        conclusion = random_statement(rng, terms, negate=True)
        if {term.name for statement in (*premises, conclusion) for term in statement.terms} != set("abc"):
            continue
        result = check(premises, conclusion, import_=import_)
        assert result.verdict is judge.verdict(premises, conclusion), [str(s) for s in (*premises, conclusion)]
        if result.countermodel is not None:
            for name in singular:
                assert sum(any(t.name == name for t in one.has) for one in result.countermodel.individuals) == 1
        assert_sound(result)
        seen.add(result.verdict)
    assert seen == set(Verdict)


def z3_verdict(premises: Sequence[Statement], conclusion: Statement, import_: Import) -> Verdict:
    things = z3.DeclareSort("Thing")
    x = z3.Const("x", things)
    names = sorted({term.name for statement in (*premises, conclusion) for term in statement.terms})
    classes = {name: z3.Function(name, things, z3.BoolSort()) for name in names}

    def member(term: Term) -> z3.BoolRef:
        applied = classes[term.name](x)
        return z3.Not(applied) if term.negated else applied

    def formula(statement: Statement) -> z3.BoolRef:
        s, p = member(statement.subject), member(statement.predicate)
        match statement.quantifier:
            case Quantifier.ALL:
                return z3.ForAll([x], z3.Implies(s, p))
            case Quantifier.NO:
                return z3.ForAll([x], z3.Implies(s, z3.Not(p)))
            case Quantifier.SOME:
                return z3.Exists([x], z3.And(s, p))
            case Quantifier.SOME_NOT:
                return z3.Exists([x], z3.And(s, z3.Not(p)))

    def consistent(*more: z3.BoolRef) -> bool:
        solver = z3.Solver()
        solver.add(*(formula(premise) for premise in premises), *more)
        if import_ == "all_terms":
            solver.add(*(z3.Exists([x], classes[name](x)) for name in names))
        answer = solver.check()
        assert answer in (z3.sat, z3.unsat)
        return bool(answer == z3.sat)

    if not consistent():
        return Verdict.INCONSISTENT_PREMISES
    if not consistent(z3.Not(formula(conclusion))):
        return Verdict.ENTAILED
    return Verdict.UNDETERMINED if consistent(formula(conclusion)) else Verdict.CONTRADICTED


@pytest.mark.parametrize("import_", IMPORTS)
def test_all_256_forms_agree_with_z3(import_: Import) -> None:
    for name, premises, conclusion in forms():
        assert check(premises, conclusion, import_=import_).verdict is z3_verdict(premises, conclusion, import_), name


@pytest.mark.parametrize("import_", IMPORTS)
def test_random_sorites_with_negated_terms_agree_with_z3(import_: Import) -> None:
    rng = random.Random(2026)
    terms = [Term(f"t{number}") for number in range(6)]
    verdicts = []
    for _ in range(60):
        premises = [
            Statement(rng.choices(list(Quantifier), (5, 3, 1, 1))[0], *pair)
            for pair in itertools.pairwise(
                term.complement if rng.random() < 0.3 else term for term in rng.sample(terms, rng.randint(3, 6))
            )
        ]
        rng.shuffle(premises)
        used = [term for premise in premises for term in premise.terms]
        conclusion = Statement(rng.choice(list(Quantifier)), rng.choice(used), rng.choice(used))
        result = check(premises, conclusion, import_=import_)
        assert result.verdict is z3_verdict(premises, conclusion, import_), [str(s) for s in (*premises, conclusion)]
        assert_sound(result)
        verdicts.append(result.verdict)
    assert {Verdict.ENTAILED, Verdict.UNDETERMINED, Verdict.CONTRADICTED} <= set(verdicts)


@pytest.mark.parametrize("length", [3, 47, 60, 2000])
def test_a_long_sorites_needs_all_its_premises_and_no_other(length: int) -> None:
    terms = [Term(f"t{number}") for number in range(length + 1)]
    chain = [Statement(A, x, y) for x, y in itertools.pairwise(terms)]
    random.Random(1).shuffle(chain)
    distractor = Statement(A, terms[0], Term("aside"))
    result = check([distractor, *chain], Statement(A, terms[0], terms[-1]))
    assert result.verdict is Verdict.ENTAILED
    assert result.needed_premises == tuple(range(1, length + 1))
    assert check(chain[1:], Statement(A, terms[0], terms[-1])).verdict is Verdict.UNDETERMINED
    assert check(chain, Statement(E, terms[0], terms[-1])).verdict is Verdict.CONTRADICTED


def test_cyclic_implications_make_classes_equal() -> None:
    cycle = [Statement(A, S, M), Statement(A, M, P), Statement(A, P, S)]
    assert check(cycle, Statement(A, P, M), import_="none").verdict is Verdict.ENTAILED


def test_inconsistent_premises_are_flagged_and_reduced_to_the_clash() -> None:
    result = check([Statement(A, S, M), Statement(A, M, P), Statement(O, S, M)], Statement(A, S, P))
    assert result.verdict is Verdict.INCONSISTENT_PREMISES
    assert result.needed_premises == (0, 2)
    assert "cannot all be true" in result.derivation


ROSES, FLOWERS = (Term(name, kind=TermKind.NOUN) for name in ("roses", "flowers"))
FADING = Term("fade quickly", kind=TermKind.VERB)


def test_the_roses() -> None:
    result = check([Statement(A, ROSES, FLOWERS), Statement(I, FLOWERS, FADING)], Statement(I, ROSES, FADING))
    assert result.verdict is Verdict.UNDETERMINED
    assert result.form == "IAI-1"
    assert str(result.countermodel) == (
        "a rose that is a flower and does not fade quickly; a flower that fades quickly and is not a rose"
    )
    assert str(result.model) == "a rose that fades quickly and is a flower"
    assert str(result.countermodel) in result.derivation


def test_derivations_walk_from_premise_to_premise() -> None:
    socrates = Term("Socrates", singular=True, kind=TermKind.NAME)
    men, mortal = Term("men", kind=TermKind.NOUN), Term("mortal", kind=TermKind.ADJECTIVE)
    result = check([Statement(A, men, mortal), Statement(A, socrates, men)], Statement(A, socrates, mortal))
    assert result.derivation == (
        "Socrates is one definite individual. By premise 2 it is a man. By premise 1 it is mortal. "
        "So Socrates is mortal. This is Barbara (mood AAA, figure 1)."
    )
    darapti = check([Statement(A, men, mortal), Statement(A, men, ROSES)], Statement(I, ROSES, mortal))
    assert darapti.form == "Darapti"
    assert darapti.other_verdict is Verdict.UNDETERMINED
    assert "every class named is taken to have a member" in darapti.derivation


def test_obverted_premises_still_find_their_form() -> None:
    premises = [Statement(A, M, P.complement), Statement(A, S, M)]
    assert check(premises, Statement(A, S, P.complement)).form == "Celarent"
    assert check(premises, Statement(E, S, P)).form == "Celarent"


def test_results_are_json_and_values_compare_by_meaning() -> None:
    result = check([Statement(A, ROSES, FLOWERS)], Statement(I, FLOWERS, ROSES))
    loaded = json.loads(json.dumps(result.to_dict()))
    assert loaded["verdict"] == "entailed"
    assert loaded["other_verdict"] == "undetermined"
    assert loaded["needed_premises"] == [{"number": 1, "words": "All roses are flowers."}]
    assert loaded["countermodel"] is None
    assert Term("roses", kind=TermKind.NOUN) == Term("roses")
    assert Statement(A, ROSES, FLOWERS, source="x") == Statement(A, ROSES, FLOWERS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.premises[0].subject.name = "x"  # type: ignore[misc]


def test_an_unknown_convention_is_named() -> None:
    with pytest.raises(ValueError, match="import_ is 'some'"):
        check([], Statement(A, S, P), import_="some")  # type: ignore[arg-type]


def test_everything_is_said_in_words() -> None:
    assert verbalise(Statement(O, FADING, Term("red", kind=TermKind.ADJECTIVE))) == (
        "Some things that fade quickly are not red."
    )
    assert [x.letter for x in Quantifier] == list("AEIO")
