"""An independent oracle, and the lists of sentences.

The oracle knows nothing of closures: it enumerates every world over a few classes (a world is the set of kinds of
individuals there are; a kind is which classes an individual is in) and evaluates the statements in each.
"""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llama70b.syllogism import Import, Quantifier, Statement, Term, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DATA = Path(__file__).parent / "data"
Kind = tuple[bool, ...]
World = tuple[Kind, ...]


class Oracle:
    """Truth in all worlds over named classes."""

    def __init__(self, names: Sequence[str], singular: Sequence[str] = (), import_: Import = "all_terms") -> None:
        self.names = list(names)
        self.singular = [self.names.index(name) for name in singular]
        self.import_ = import_
        self.kinds = list(itertools.product((False, True), repeat=len(names)))

    def worlds(self) -> Iterator[World]:
        for size in range(1, len(self.kinds) + 1):
            for world in itertools.combinations(self.kinds, size):
                if any(sum(kind[index] for kind in world) != 1 for index in self.singular):
                    continue
                if self.import_ == "all_terms" and not all(
                    any(kind[i] for kind in world) for i in range(len(self.names))
                ):
                    continue
                yield world

    def true(self, statement: Statement, world: World) -> bool:
        def member(term: Term, kind: Kind) -> bool:
            return kind[self.names.index(term.name)] != term.negated

        said = [member(statement.predicate, kind) for kind in world if member(statement.subject, kind)]
        match statement.quantifier:
            case Quantifier.ALL:
                return all(said)
            case Quantifier.NO:
                return not any(said)
            case Quantifier.SOME:
                return any(said)
            case Quantifier.SOME_NOT:
                return not all(said)

    def verdict(self, premises: Sequence[Statement], conclusion: Statement) -> Verdict:
        values = {
            self.true(conclusion, world)
            for world in self.worlds()
            if all(self.true(premise, world) for premise in premises)
        }
        if not values:
            return Verdict.INCONSISTENT_PREMISES
        if values == {True}:
            return Verdict.ENTAILED
        return Verdict.CONTRADICTED if values == {False} else Verdict.UNDETERMINED

    def smallest_countermodel(self, premises: Sequence[Statement], conclusion: Statement) -> int | None:
        """Size of a smallest world with true premises and a false conclusion."""
        for world in self.worlds():  # in order of size
            if all(self.true(premise, world) for premise in premises) and not self.true(conclusion, world):
                return len(world)
        return None


@pytest.fixture
def oracle() -> Callable[..., Oracle]:
    return Oracle


@pytest.fixture(scope="session")
def rows() -> Callable[[str], list[dict[str, str]]]:
    """Read a tab-separated list of sentences."""

    def read(name: str) -> list[dict[str, str]]:
        with (DATA / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))

    return read


@pytest.fixture(scope="session")
def items() -> Callable[[str], list[dict[str, Any]]]:
    """Read a list of arguments."""

    def read(name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((DATA / name).read_text(encoding="utf-8"))
        return found

    return read
