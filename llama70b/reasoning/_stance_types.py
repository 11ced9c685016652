"""The values the readers of free-text verdicts share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Stance(StrEnum):
    """What an answer in free text says about a conclusion."""

    FOLLOWS = "follows"
    DOES_NOT_FOLLOW = "does_not_follow"
    CONTRADICTED = "contradicted"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict found in an answer.

    Attributes:
        stance: What it says.
        quote: The sentence it was read from.
        conditional: It holds only under a supposition ("if all flowers faded, we could conclude ...").
        weak: It gives a reason rather than a verdict.
    """

    stance: Stance
    quote: str
    conditional: bool = False
    weak: bool = False


def signed(sign: int) -> Stance:
    """Return the stance of a sign."""
    return Stance.FOLLOWS if sign > 0 else Stance.DOES_NOT_FOLLOW


_QUANTIFIERS = {
    "all": "all", "every": "all", "each": "all",
    "no": "no", "none": "no",
    "some": "some", "any": "some", "at least one": "some", "a few": "some", "certain": "some",
}  # fmt: skip
_QUANTIFIER = re.compile(rf"\b(?:{'|'.join(_QUANTIFIERS)})\b")
_OPPOSITE = {"some": "no", "no": "some", "all": "some_not", "some_not": "all"}
_PRONOUNS = re.compile(r"\b(?:they|them|it|this|these|those|so|anything)\b")
_STOP = frozenset(["things", "that", "are", "is", "the", "a", "an", "of", "not", "do", "does", "at", "least", "one"])


@dataclass(frozen=True, slots=True)
class Claim:
    """The conclusion a question asks about, for telling it from other statements in an answer.

    Attributes:
        words: The sentence, lower case, no full stop.
        quantifier: `all`, `no`, `some` or `some_not`, None for a sentence about one named thing.
        subject: Stems of the subject's words.
        predicate: Stems of the predicate's words.
    """

    words: str
    quantifier: str | None
    subject: tuple[str, ...]
    predicate: tuple[str, ...]

    @classmethod
    def of(cls, words: str, subject: str, predicate: str, quantifier: str | None) -> Claim:
        """Build it from a sentence and its two terms."""
        return cls(words.lower().rstrip(". "), quantifier, _stems(subject), _stems(predicate))

    def both(self, text: str) -> bool:
        """Whether a text speaks of the subject and of the predicate."""
        return self._speaks_of(self.subject, text) and self._speaks_of(self.predicate, text)

    def aim(self, text: str, *, lenient: bool) -> str:
        """Say whether a statement is this claim: `same`, `opposite` (its contradictory) or `other`.

        Args:
            text: The statement in somebody's words.
            lenient: Take it for the same unless its quantifier is another one. Whoever denies being able to conclude
                something else ("that the groups overlap") denies this too; whoever asserts something else does not
                assert this.
        """
        quantifier = _quantifier(text)
        fits = self.both(text) or (self._speaks_of(self.predicate, text) and bool(_PRONOUNS.search(text)))
        if quantifier and self.quantifier and quantifier != self.quantifier:
            return "opposite" if fits and quantifier == _OPPOSITE.get(self.quantifier) else "other"
        if lenient or fits:
            return "other" if fits and not lenient and re.search(r"\b(?:may|might|could|possibly)\b", text) else "same"
        return "other"

    @staticmethod
    def _speaks_of(stems: tuple[str, ...], text: str) -> bool:
        words = [word[:4] for word in re.findall(r"[\w\u4e00-\u9fff]+", text.lower())]
        return any(stem in words or (not stem.isascii() and stem in text) for stem in stems)


def _stems(words: str) -> tuple[str, ...]:
    # Four letters bridge "fade", "fades", "fading", "faded"; Chinese words are taken whole.
    return tuple(
        word[:4] if word.isascii() else word for word in re.findall(r"\w+", words.lower()) if word not in _STOP
    )


def _quantifier(text: str) -> str | None:
    found = _QUANTIFIER.search(text)
    if found is None:
        return None
    kind = _QUANTIFIERS[found.group()]
    denied = re.search(r"\b(?:are|is|do|does|will|can|did)? ?(?:not|never)\b", text[found.end() :])
    return "some_not" if kind == "some" and denied else kind
