"""What a predicate says, and the parts of it that are no recursive phrases: verb phrases, wrappers, refusals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llama70b.syllogism._kinds import Reason, TermKind
from llama70b.syllogism._lexicon import PARTICIPLES
from llama70b.syllogism._logic_words import (
    APPEARANCES,
    COMPARING_VERBS,
    FORBIDDEN,
    GROUP_NOUNS,
    PERFECTS,
    PREPOSITIONS,
    RELATIONAL_VERBS,
    RELATIVES,
)
from llama70b.syllogism._morphology import head_index, looks_plural, looks_singular
from llama70b.syllogism._parse import LASTING, Certainty, Note, Unreadable
from llama70b.syllogism._types import Term
from llama70b.syllogism._words_en import Words, guard, is_letter, is_mass, low
from llama70b.syllogism._wrappers_en import WRAPPERS

if TYPE_CHECKING:
    from collections.abc import Sequence

NEUTRAL_HEADS = frozenset("thing things object objects entity entities item items something anything those".split())
"""Heads that add nothing to what modifies them."""


PERSON_HEADS = frozenset("people person persons individual individuals someone somebody anyone anybody human".split())
"""Heads that add only that it is a person; dropped, visibly, when the terms of an argument need it."""


ADVERBS = frozenset("also indeed actually really truly definitely certainly surely clearly obviously therefore thus "
                    "hence consequently accordingly undoubtedly likewise simply then".split())  # fmt: skip
"""Adverbs that change nothing about what is claimed."""


DEGREES = frozenset({"very", "too", "so", "rather", "relatively", "comparatively", "precious"})


ALWAYS = frozenset({"always", "invariably", "inherently"})
"""Adverbs that quantify a bare subject: "roses are always red"."""


WRAPPER_LENGTHS = sorted({len(phrase) for phrase in WRAPPERS}, reverse=True)


NO_COMPLEMENTS = {
    ("becoming",): Reason.TENSE,
    ("getting",): Reason.TENSE,
    ("turning",): Reason.TENSE,
    ("like",): Reason.RELATION,
    ("far", "from"): Reason.NEGATION,
}
"""Openings of a complement that names no class."""


STRONG_NEGATIONS = tuple(
    tuple(phrase.split())
    for phrase in "never|in no way|by no means|under no circumstances|in no case|not in any way|not ever".split("|")
)


@dataclass(frozen=True, slots=True)
class Predication:
    """What a predicate says.

    Attributes:
        term: The class, not negated.
        negated: It is denied.
        strong: The negation is one that cannot fall under an "all" before it ("never", "no").
        floated: "are all": the predicate brings the quantifier of a bare subject.
        certainty: How sure it is that the predicate starts where it does.
        notes: What it takes for granted.
        progressive: "is running": what goes on now, not what a class is like.
    """

    term: Term
    negated: bool = False
    strong: bool = False
    floated: bool = False
    certainty: Certainty = Certainty.FUNCTION_WORD
    notes: tuple[Note, ...] = ()
    progressive: bool = False

    def as_term(self) -> Term:
        """Return the class of the things it is true of."""
        return replace(self.term, negated=self.term.negated != self.negated)


def refuse_little(words: Sequence[str], *, singular: bool) -> None:
    """Refuse "little water", which is hardly any; "little dogs" are small."""
    lowered = low(words)
    start = next((index for index, word in enumerate(lowered) if word not in DEGREES), 0)
    hardly_any = (not singular or is_mass(words)) and not looks_plural(words[head_index(words)])
    if lowered[start] == "little" and len(words) > start + 1 and hardly_any:
        raise Unreadable(Reason.QUANTITY, " ".join(words[: start + 1]))


def refuse_perfect_or_group(words: Sequence[str]) -> None:
    lowered = low(words)
    if lowered[0] in ("have", "has") and lowered[1:2] in (("not",), ("been",), ("to",)):
        raise Unreadable(Reason.TENSE if lowered[1] != "to" else Reason.MODALITY, " ".join(words[:2]))
    if lowered[0] in ("have", "has") and is_perfect(lowered):
        raise Unreadable(Reason.TENSE, " ".join(words[:2]))
    if lowered[0] == "are":
        refuse_group(words[1:])


def perfect_of(words: Sequence[str], *, lasting: bool) -> Predication | None:
    """Read "have passed the exam", "has not been tagged" as a property that lasts; None if it is no perfect.

    Args:
        words: The predicate.
        lasting: Say that it is taken so; not in a relative clause, which only names the class.
    """
    lowered = low(words)
    if lowered[0] not in ("have", "has"):
        return None
    denied = lowered[1:2] in (("not",), ("never",))
    rest = tuple(words[2:] if denied else words[1:])
    if not rest or not (rest[0].lower() == "been" or is_perfect(("have", *low(rest)))):
        return None
    if len(rest) == 1 and rest[0].lower() == "been":
        return None
    guard(rest[1:] if rest[0].lower() == "been" else rest)
    term = Term(" ".join(("have", *rest)), kind=TermKind.VERB)
    return Predication(term, negated=denied, notes=(Note(LASTING),) if lasting else ())


def is_perfect(lowered: Words) -> bool:
    """Whether "have" makes a past tense: "have flown", "have arrived"; not "have horned heads"."""
    second, third = lowered[1:2], lowered[2:3]
    if not second or second[0] in PERFECTS:
        return bool(second)
    participle = second[0] in PARTICIPLES or (second[0].endswith("ed") and not second[0].endswith("eed"))
    return participle and (not third or third[0] in PREPOSITIONS | {"a", "an", "the"} or third[0].endswith("ly"))


def refuse_group(words: Sequence[str]) -> None:
    """Refuse "are a species": said of all of them together."""
    rest = tuple(word for word in words if word.lower() not in ADVERBS | {"not"})
    if len(rest) > 1 and rest[0].lower() in ("a", "an") and unwrap(rest) is None:
        head = rest[head_index(rest)]
        if head.lower() in GROUP_NOUNS:
            raise Unreadable(Reason.COLLECTIVE, " ".join(rest))


def prefix_length(lowered: Words) -> int:
    """Return how many words a strong negation at the start takes: "never", "in no way"."""
    return next((len(phrase) for phrase in STRONG_NEGATIONS if lowered[: len(phrase)] == phrase), 0)


def is_participle(word: str) -> bool:
    """Whether "can be" and this word is an ability; "red" is no participle."""
    return word in PARTICIPLES | {"used", "met"} or (
        len(word) > 4 and word.endswith(("ed", "en", "own", "orn", "ought"))  # noqa: PLR2004
    )


_TIMES = frozenset(
    "day week month year night morning evening afternoon weekend summer winter spring autumn time".split()
)


_COMPARED = frozenset("higher lower greater better worse larger smaller longer shorter stronger".split())


def without_bound(words: Words) -> Words:
    """Drop, for the guard only, words of a verb phrase that belong to the property and bind nothing outside it.

    "Lose their leaves", "practise every day", "jog regularly", "expand when heated", "help others".
    """
    lowered = low(words)
    kept: list[str] = []
    for index, word in enumerate(words):
        following = lowered[index + 1] if index + 1 < len(words) else ""
        last = index == len(words) - 1
        dropped = index > 0 and (
            (lowered[index] in ("their", "its", "his", "her") and bool(following))
            or (lowered[index] == "every" and following in _TIMES - {"time"})
            or (lowered[index] == "equal" and following.endswith("s"))
            or (lowered[index] in ("regularly", "longer", "faster", "better", "earlier", "harder", "higher") and last)
            or (lowered[index] == "when" and following.endswith("ed") and index + 2 == len(words))
            or (lowered[index] == "others" and last and index == 1)
            or (lowered[index] == "a" and following == "lot")
            or (lowered[index] == "lot" and lowered[index - 1] == "a" and index > 1)
            or (lowered[index] in _COMPARED and not last and "than" not in lowered)
            or (lowered[index] == "while" and following.endswith("ing") and index + 2 == len(words))
        )
        if not dropped:
            kept.append(word)
    return tuple(kept)


def is_plain_verb(words: Sequence[str]) -> bool:
    """Whether "save" and "last" are verbs here: "save fuel", "last forever"; not "save Rex bark"."""
    lowered = low(words)
    if lowered[0] in ("save", "saves"):
        return len(words) == 2 and not words[1][0].isupper()  # noqa: PLR2004
    return lowered[0] in ("last", "lasts") and lowered[1:2] in (("forever",), ("long",))


def is_bound(words: Words) -> bool:
    """Whether a verb phrase holds such words."""
    return without_bound(words) != words


def verb_phrase(words: Sequence[str], *, negative: bool = False) -> Term:
    """Read a verb phrase in its base form as a class.

    Raises:
        Unreadable: It holds a logical word.
    """
    words = tuple(word for word in words if not (negative and word.lower() in ("any", "ever")))
    if not words:
        raise Unreadable(Reason.NO_STATEMENT)
    if len(words) > 1 and words[-1].lower() in ADVERBS:
        words = words[:-1]
    lowered = low(words)
    kept = without_bound(words)
    if kept != words and not (lowered[0] == "have" and FORBIDDEN.get(lowered[1]) is Reason.NUMBER):
        guard(kept)
    elif lowered[0] == "have" and len(words) > 2 and FORBIDDEN.get(lowered[1]) is Reason.NUMBER:  # noqa: PLR2004
        guard((kept[0], *kept[2:]))
    elif is_plain_verb(words):
        guard(words[1:])  # "have four legs": the number is part of the property, it counts no subject
    else:
        guard(words)
    if lowered[0] in ("become", "remain"):
        raise Unreadable(Reason.TENSE, words[0])
    if lowered[0] in APPEARANCES:
        raise Unreadable(Reason.ATTITUDE, words[0])
    if lowered[0] in COMPARING_VERBS:
        raise Unreadable(Reason.RELATION, words[0])
    if lowered[0] in RELATIONAL_VERBS and len(words) > 1 and (lowered[1] in ("a", "an") or words[1][0].isupper()):
        raise Unreadable(Reason.RELATION, " ".join(words))
    return Term(" ".join((lowered[0], *words[1:])), kind=TermKind.VERB)


def unwrap(words: Sequence[str]) -> tuple[Words, str] | None:
    """Strip "a kind of", "described as" and the like; return the rest and the note it deserves."""
    lowered = low(words)
    for length in WRAPPER_LENGTHS:
        phrase = lowered[:length]
        if len(words) > length and phrase in WRAPPERS:
            return tuple(words[length:]), WRAPPERS[phrase]
    return None


def refuse_definite(words: Words) -> None:
    """Refuse "the king" and "John's father": identity or a relation, not membership in a class."""
    lowered = low(words)
    for opening, reason in NO_COMPLEMENTS.items():
        if lowered[: len(opening)] == opening:
            raise Unreadable(reason, " ".join(opening))
    if lowered[0] == "the":
        raise Unreadable(Reason.DEFINITE, " ".join(words[:2]))
    if words[0].endswith("'s") and words[0][0].isupper() and len(words[0]) > 3 and looks_singular(words[-1]):  # noqa: PLR2004
        raise Unreadable(Reason.RELATION, " ".join(words[:2]))


def is_letter_subject(words: Sequence[str]) -> bool:
    return words[0] == "A" and len(words) == 1


def is_noun_complement(words: Sequence[str]) -> bool:
    lowered = low(words)
    if lowered[0] in NEUTRAL_HEADS | PERSON_HEADS or lowered[0].startswith("non-") or is_letter(words[-1]):
        return True
    if lowered[0] in PREPOSITIONS or any(word in RELATIVES for word in lowered[1:]):
        return any(word in RELATIVES for word in lowered[1:])
    return looks_plural(words[head_index(words)]) or lowered[-1] in NEUTRAL_HEADS
