"""What English words can be: the guard that keeps logical words out of terms, names, mass nouns, number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama70b.syllogism._kinds import Reason
from llama70b.syllogism._lexicon import INVARIANT_NOUNS, MASS_NOUNS, MASS_SUFFIXES, SINGULAR_IN_S
from llama70b.syllogism._logic_words import (
    ATTITUDES,
    BOUNDING,
    DATING,
    FINITE_AUXILIARIES,
    FORBIDDEN,
    HEDGES,
    IDIOMS,
    MEASURES,
    NUMBERED,
    ORDINALS,
    PREPOSITIONS,
    RELATIVES,
    SPOILERS,
    UNITS,
)
from llama70b.syllogism._morphology import head_index, looks_plural, looks_singular
from llama70b.syllogism._parse import Unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

Words = tuple[str, ...]

_NATIONALITY_ENDINGS = ("an", "ish", "ese", "ic", "ch", "ek", "sh", "i", "al", "ss", "ist", "aic", "ine")
_PARTICLES = frozenset("of the de van von da di el al bin ibn".split())
_POSSESSIVES = frozenset("my our your".split())
_NO_LAST = frozenset("a an the of with from to by for at into".split())


def low(words: Sequence[str]) -> Words:
    """Return the words in lower case."""
    return tuple(word.lower() for word in words)


def guard(words: Sequence[str]) -> None:
    """Refuse words that still have a logical role.

    Raises:
        Unreadable: With the reason and the word.
    """
    lowered = low(words)
    if not words or (lowered[-1] in _NO_LAST and not is_letter(words[-1])):
        raise Unreadable(Reason.NO_STATEMENT, words[-1] if words else "")
    if lowered.count("as") > 1:
        raise Unreadable(Reason.RELATION, "as ... as")
    for phrase, reason in SPOILERS.items():
        if any(lowered[index : index + len(phrase)] == phrase for index in range(len(lowered))):
            raise Unreadable(reason, " ".join(phrase))
    for hedge in HEDGES:
        if any(lowered[index : index + len(hedge)] == hedge for index in range(len(lowered))):
            raise Unreadable(Reason.FREQUENCY, " ".join(hedge))
    in_relative = False
    measured = _measured(words, lowered)
    for index, word in enumerate(words):
        if index in measured:
            continue
        in_relative = in_relative or lowered[index] in RELATIVES
        _guard_word(word, lowered[:index], lowered[index + 1 :], in_relative=in_relative)


def _measured(words: Sequence[str], lowered: Words) -> set[int]:
    """Return the places of a comparison with a fixed measure: "heavier than water", "over 5,000 metres", "in 1920".

    Compared with water or with a number it is a property like another; compared with other things it is a relation.
    """
    found: set[int] = set()
    for index, word in enumerate(lowered):
        following = lowered[index + 1] if index + 1 < len(lowered) else ""
        after = lowered[index + 2] if index + 2 < len(lowered) else ""
        ends = not after or after in PREPOSITIONS | RELATIVES | UNITS or after in ("old", "high", "tall", "long")
        number = following[:1].isdigit() or FORBIDDEN.get(following) is Reason.NUMBER
        if word == "than" and index and (following in MASS_NOUNS or number) and ends:
            found |= {index - 1, index, index + 1}
            if index > 1 and lowered[index - 2] == "more":
                found.add(index - 2)
        named = (
            (word in DATING and (index or after == ""))
            or (word in BOUNDING and after in UNITS)
            or word in NUMBERED
            or (index and words[index][0].isupper() and len(word) > 1)
        )
        floor = word == "the" and following in ORDINALS and after in NUMBERED
        aged = word == "over" and number and not after  # "over eighteen"
        found |= {index} if (word, following) == ("first", "aid") else set()
        if aged or floor or lowered[index : index + 3] in IDIOMS or (following[:1].isdigit() and named):
            found.add(index + 1)
    return found


def _guard_word(word: str, before: Words, after: Words, *, in_relative: bool) -> None:
    lower = word.lower()
    previous, following = before[-1] if before else "", after[0] if after else ""
    if lower in RELATIVES and (not previous or not following or previous in ATTITUDES):
        raise Unreadable(Reason.ATTITUDE if previous else Reason.PRONOUN, word)
    here = lower == "this" and previous in PREPOSITIONS and bool(following)
    # "with four legs": the number is part of the property, it counts no subject
    counted = FORBIDDEN.get(lower) is Reason.NUMBER and (
        (previous in ("with", "having") and following) or previous == "by"
    )
    if word == "I" and looks_plural(previous) and not following:
        raise Unreadable(Reason.PRONOUN, word)  # "dogs I | like bark"
    here = here or _is_speaker(lower, previous, following)
    here = here or (lower == "mine" and previous in ("the", "a"))
    here = here or (lower == "others" and previous in ("to", "for", "from") and not following)  # "a danger to others"
    if (
        lower in FORBIDDEN and not here and not counted and not is_letter(word)
    ):  # "in this school" is the same school throughout
        raise Unreadable(FORBIDDEN[lower], word)
    if lower in ATTITUDES and following == "to":
        raise Unreadable(Reason.ATTITUDE, f"{lower} to")
    if lower in FINITE_AUXILIARIES and not in_relative and (*before, lower) not in (("can",), ("can", "be")):
        raise Unreadable(Reason.NO_STATEMENT, word)
    if lower == "bar" and previous and following in ("the", "those", "one", "a"):
        raise Unreadable(Reason.EXCEPTION, word)
    if following == "of" and lower in MEASURES:
        raise Unreadable(Reason.QUANTITY, f"{lower} of")
    if word[0].isdigit() or not any(map(str.isalpha, word)):
        raise Unreadable(Reason.NUMBER if any(map(str.isdigit, word)) else Reason.NO_STATEMENT, word)


def _is_speaker(word: str, previous: str, following: str) -> bool:
    """Whether "I", "we" or "you" opens a clause on the noun before it: "everyone I know"; not "dogs I think bark"."""
    inside = previous.isalpha() and following.isalpha() and previous not in FORBIDDEN
    opinion = following in ATTITUDES - {"know", "have", "need", "want"} or following in FORBIDDEN
    return word in ("i", "we", "you") and inside and not opinion


def is_letter(word: str) -> bool:
    return len(word) == 1 and word.isupper()


def is_name(words: Sequence[str]) -> bool:
    """Whether words, not at the start of a sentence, are a proper name: all capitalised, and no nationality."""
    if not words[0][0].isupper() or not words[-1][0].isupper():
        return False
    if not all(word[0].isupper() or word.lower() in _PARTICLES for word in words):
        return False
    return len(words) > 1 or not words[0].lower().endswith(_NATIONALITY_ENDINGS)


def is_singular_subject(words: Sequence[str]) -> bool:
    """Whether a bare subject of a singular verb names one individual: Socrates, the Eiffel Tower, my dog."""
    lowered = low(words)
    if lowered[0] in _POSSESSIVES or words[0].endswith("'s"):
        return len(words) > 1 and looks_singular(words[-1])
    if lowered[0] == "the":  # "the Eiffel Tower", also inside a sentence
        return len(words) > 1 and all(word[0].isupper() or word.lower() in _PARTICLES for word in words[1:])
    if not all(word[0].isupper() or (index and word.lower() in _PARTICLES) for index, word in enumerate(words)):
        return False
    return not is_mass(words) and (len(words) > 1 or not is_letter(words[0]))


def is_mass(words: Sequence[str]) -> bool:
    """Whether a noun phrase stands without an article although singular: water, happiness."""
    last = words[head_index(words)].lower()
    return last in MASS_NOUNS or last.endswith(MASS_SUFFIXES) or (last in SINGULAR_IN_S and last.endswith("ics"))


def subject_number(words: Sequence[str]) -> str | None:
    """Return ``singular`` or ``plural`` of a noun phrase, ``None`` when it may be either."""
    head = words[head_index(words)]
    if head.lower() == "those":
        return "plural"
    if head.lower() in INVARIANT_NOUNS or is_letter(head):
        return None
    return "plural" if looks_plural(head) else "singular"
