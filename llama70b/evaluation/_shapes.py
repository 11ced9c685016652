"""The 256 forms in both orders of their premises: which are valid, and what is wrong with the others. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

from llama70b.syllogism import Import, Quantifier, Statement, Term, Verdict, check

LOOK_ALIKES = ("AAA-2", "AAI-2", "AII-2", "AII-4", "AOO-4", "IAI-1", "IAI-2", "OAO-1")
"""Invalid forms whose only fault is a middle term that is never distributed, and that are taken for valid most easily
(a widely used generator of puzzles labels them so [notes/syllogism 1.6])."""

SEVERAL = "several faults"
LOOK_ALIKE = "undistributed middle, look-alike"
FALLACIES = (
    LOOK_ALIKE,
    "undistributed middle",
    "illicit major",
    "illicit minor",
    "two negative premises",
    "affirmative from negative",
    "negative from affirmative",
    SEVERAL,
)
"""Strata of the invalid forms, by the one rule of the traditional syllogistic that they break."""
EXISTENTIAL = "existential fallacy"
"""Stratum of the nine forms that need a member, where the convention grants none."""

QUANTIFIERS = {quantifier.letter: quantifier for quantifier in Quantifier}
_ROLES = {1: ("MP", "SM"), 2: ("PM", "SM"), 3: ("MP", "MS"), 4: ("PM", "MS")}
_DISTRIBUTED = {"A": (True, False), "E": (True, True), "I": (False, False), "O": (False, True)}
_NEGATIVE = "EO"
_PSYCHOLOGY = {(False, True): 1, (True, False): 2, (False, False): 3, (True, True): 4}


@dataclass(frozen=True, slots=True)
class Shape:
    """One form in one order of its premises.

    Attributes:
        mood: Letters of major premise, minor premise and conclusion.
        figure: Traditional figure.
        major_first: The major premise comes first in the text.
        stratum: Name of the valid form, or the fallacy.
        valid: Under the convention asked for.
        needs_import: Valid only if every class has a member.
    """

    mood: str
    figure: int
    major_first: bool
    stratum: str
    valid: bool
    needs_import: bool

    @property
    def form(self) -> str:
        """Mood and figure."""
        return f"{self.mood}-{self.figure}"

    @property
    def pair(self) -> str:
        """The premises in Khemlani and Johnson-Laird's (2012) numbering, which follows the order of the text.

        Their figures: 1 = A-B, B-C; 2 = B-A, C-B; 3 = A-B, C-B; 4 = B-A, B-C.
        """
        (one, two), letter, other = _ROLES[self.figure], self.mood[0], self.mood[1]
        if not self.major_first:
            one, two, letter, other = two, one, other, letter
        return f"{letter}{other}{_PSYCHOLOGY[one[0] == 'M', two[0] == 'M']}"

    def statements(self, terms: dict[str, Term]) -> tuple[Statement, Statement, Statement]:
        """Return the premises in the order of the text, and the conclusion.

        Args:
            terms: Of S, M and P.
        """
        major, minor, conclusion = _statements(self.mood, self.figure, terms)
        return (major, minor, conclusion) if self.major_first else (minor, major, conclusion)


def _statements(mood: str, figure: int, terms: dict[str, Term]) -> tuple[Statement, Statement, Statement]:
    (one, two), made = _ROLES[figure], {}
    for position, (letter, roles) in enumerate(zip(mood, (one, two, "SP"), strict=True)):
        made[position] = Statement(QUANTIFIERS[letter], terms[roles[0]], terms[roles[1]])
    return made[0], made[1], made[2]


@cache
def shapes(import_: Import = "all_terms") -> tuple[Shape, ...]:
    """Return all 512 shapes: 256 forms in two orders.

    Args:
        import_: Convention of existential import, which decides what is valid.
    """
    terms = {role: Term(role) for role in "SMP"}
    found: list[Shape] = []
    for letters, figure in product(product("AEIO", repeat=3), _ROLES):
        mood = "".join(letters)
        major, minor, conclusion = _statements(mood, figure, terms)
        result = check([major, minor], conclusion, import_=import_)
        traditional = check([major, minor], conclusion)
        modern = check([major, minor], conclusion, import_="none")
        valid = result.verdict is Verdict.ENTAILED
        needs_import = traditional.verdict is Verdict.ENTAILED and modern.verdict is not Verdict.ENTAILED
        stratum = str(result.form) if valid else EXISTENTIAL if needs_import else fallacy(mood, figure)
        found += [Shape(mood, figure, first, stratum, valid, needs_import) for first in (True, False)]
    return tuple(found)


def fallacy(mood: str, figure: int) -> str:
    """Say which rule of the traditional syllogistic an invalid form breaks; several are one stratum of their own."""
    if f"{mood}-{figure}" in LOOK_ALIKES:
        return LOOK_ALIKE
    distributed: dict[str, list[bool]] = {"S": [], "M": [], "P": []}
    for letter, roles in zip(mood, _ROLES[figure], strict=False):
        for role, spread in zip(roles, _DISTRIBUTED[letter], strict=True):
            distributed[role].append(spread)
    minor_spread, major_spread = _DISTRIBUTED[mood[2]]
    negatives = sum(letter in _NEGATIVE for letter in mood[:2])
    broken = {
        "undistributed middle": not any(distributed["M"]),
        "illicit major": major_spread and not any(distributed["P"]),
        "illicit minor": minor_spread and not any(distributed["S"]),
        "two negative premises": negatives > 1,
        "affirmative from negative": negatives == 1 and mood[2] not in _NEGATIVE,
        "negative from affirmative": negatives == 0 and mood[2] in _NEGATIVE,
    }
    faults = [name for name, so in broken.items() if so]
    return faults[0] if len(faults) == 1 else SEVERAL
