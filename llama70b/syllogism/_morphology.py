"""Just enough English inflection to align terms and to put them back into sentences.

Alignment never picks *the* lemma of a word: it compares sets of possible lemmas, so "wumpuses" meets "wumpus" without
a dictionary, and an unknown word at worst fails to meet its own plural, which is then refused as a fourth term.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from llama70b.syllogism._lexicon import (
    INVARIANT_NOUNS,
    IRREGULAR_PLURALS,
    PARTICIPLES,
    PLURAL_IRREGULARS,
    SINGULAR_IN_S,
    UNINFLECTED_ADVERBS,
    VOWEL_SOUND_EXCEPTIONS,
)
from llama70b.syllogism._logic_words import PREPOSITIONS, RELATIVES

if TYPE_CHECKING:
    from collections.abc import Sequence

_VOWELS = "aeiou"
_SIBILANTS = ("s", "x", "z", "ch", "sh")
_THIRD_PERSON = {"be": "is", "have": "has", "do": "does", "go": "goes", "can": "can"}
_BASE_FORM = {third: base for base, third in _THIRD_PERSON.items()}


@lru_cache(maxsize=4096)
def lemmas(word: str) -> frozenset[str]:
    """Return every base form that a word may be an inflection of (plural noun or third-person verb), itself included.

    Args:
        word: One lower-case word; of a hyphenated one only the last part is inflected.
    """
    head, hyphen, last = word.rpartition("-")
    found = {last}
    if last in PLURAL_IRREGULARS:
        found.add(PLURAL_IRREGULARS[last])
    if last in _BASE_FORM:
        found.add(_BASE_FORM[last])
    if last.endswith("s") and last not in SINGULAR_IN_S and not last.endswith("ss") and len(last) > 2:  # noqa: PLR2004
        found.add(last[:-1])
        if last.endswith("es"):
            found.add(last[:-2])
        if last.endswith("ies"):
            found.add(last[:-3] + "y")
        if last.endswith("ves"):
            found |= {last[:-3] + "f", last[:-3] + "fe"}
        if last.endswith(("sses", "zzes")):
            found.add(last[:-3])
    return frozenset(head + hyphen + form for form in found)


def looks_plural(word: str) -> bool:
    """Whether a noun may be read as a plural."""
    last = word.lower().rpartition("-")[2]
    if last in PLURAL_IRREGULARS or last in INVARIANT_NOUNS:
        return True
    return (
        last.endswith("s") and last not in SINGULAR_IN_S and not last.endswith(("ss", "us", "is"))
    ) or last in _US_PLURALS


_US_PLURALS = frozenset({"emus", "gnus", "menus", "gurus", "skis", "taxis", "bikinis", "tofus", "haikus"})


def looks_singular(word: str) -> bool:
    """Whether a noun may be read as a singular."""
    last = word.lower().rpartition("-")[2]
    return last in INVARIANT_NOUNS or (last not in PLURAL_IRREGULARS and not looks_plural(last))


def pluralise(noun: str) -> str:
    """Return the plural of the last word of a noun phrase; a plural is returned as it is."""
    head, space, last = noun.rpartition(" ")
    stem, hyphen, last = last.rpartition("-")
    lower = last.lower()
    if looks_plural(lower):
        plural = last
    elif lower in IRREGULAR_PLURALS:
        plural = _like(last, IRREGULAR_PLURALS[lower])
    elif lower.endswith("y") and len(lower) > 1 and lower[-2] not in _VOWELS:
        plural = last[:-1] + "ies"
    else:
        plural = last + ("es" if lower.endswith(_SIBILANTS) else "s")
    return head + space + stem + hyphen + plural


def singularise(noun: str) -> str:
    """Return the likeliest singular of the last word of a noun phrase, for wording only."""
    head, space, last = noun.rpartition(" ")
    stem, hyphen, last = last.rpartition("-")
    lower = last.lower()
    if lower in PLURAL_IRREGULARS:
        singular = _like(last, PLURAL_IRREGULARS[lower])
    elif not looks_plural(lower) or lower in INVARIANT_NOUNS:
        singular = last
    elif lower.endswith("ies") and len(lower) > 4:  # noqa: PLR2004 - "pies", "ties", "lies" keep their "ie"
        singular = last[:-3] + "y"
    elif lower.endswith(("xes", "ches", "shes", "sses", "zzes", "uses")):
        singular = last[:-2]
    else:
        singular = last[:-1]
    return head + space + stem + hyphen + singular


def third_person(verb_phrase: str) -> str:
    """Return a base-form verb phrase with its first verb in the third person singular."""
    before, verb, after = _split_verb(verb_phrase)
    if verb in _THIRD_PERSON:
        inflected = _THIRD_PERSON[verb]
    elif verb.endswith("y") and verb[-2:-1] not in _VOWELS:
        inflected = verb[:-1] + "ies"
    else:
        inflected = verb + ("es" if verb.endswith((*_SIBILANTS, "o")) else "s")
    return before + inflected + after


def base_form(verb: str, *, known: frozenset[str]) -> str | None:
    """Return the base form of a third-person verb, or ``None`` when it does not look like one.

    Args:
        verb: One lower-case word.
        known: Verbs to prefer when several base forms are possible ("fades": fade, not fad).
    """
    if verb in _BASE_FORM:
        return _BASE_FORM[verb]
    if len(verb) < 3 or not verb.endswith("s") or verb.endswith(("ss", "us", "is")):  # noqa: PLR2004 - "s"
        return None
    candidates = lemmas(verb) - {verb}
    for form in sorted(candidates):
        if form in known:
            return form
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    return verb[:-2] if verb.endswith(("sses", "xes", "ches", "shes", "zzes", "oes")) else verb[:-1]


def with_article(noun: str) -> str:
    """Return a singular noun phrase with its indefinite article."""
    first = noun.split(" ", 1)[0].lower()
    vowel = first[:1] in _VOWELS
    if first.startswith(VOWEL_SOUND_EXCEPTIONS):
        vowel = not vowel
    if len(first) == 1:
        vowel = first in "aefhilmnorsx"
    return ("an " if vowel else "a ") + noun


def _split_verb(phrase: str) -> tuple[str, str, str]:
    words = phrase.split(" ")
    index = 0
    # "quickly fade", "often": leading adverbs stay before the verb.
    while index < len(words) - 1 and (words[index].endswith("ly") or words[index] in UNINFLECTED_ADVERBS):
        index += 1
    before = " ".join(words[:index]) + (" " if index else "")
    after = (" " if index < len(words) - 1 else "") + " ".join(words[index + 1 :])
    return before, words[index], after


def _like(model: str, word: str) -> str:
    return word.capitalize() if model[:1].isupper() and not model.isupper() else word


def head_index(words: Sequence[str]) -> int:
    """Return the position of the head noun: the last word before a preposition, relative or post-modifier."""
    lowered = [word.lower() for word in words]
    for index in range(1, len(words)):
        following = lowered[index + 1] if index + 1 < len(words) else ""
        if lowered[index] in PREPOSITIONS or lowered[index] in RELATIVES:
            described = index > 1 and lowered[index - 1] in _BEFORE_PREPOSITION  # "foods rich in sugar"
            return index - 2 if described else index - 1
        if lowered[index] == "here":
            return index - 1
        if following == "than" and lowered[index] != "other":
            return index - 1
        participle = lowered[index].endswith(("ed", "ing")) or lowered[index] in PARTICIPLES
        if participle and following in _POST_MODIFIER_STARTS:
            return index - 1
    return len(words) - 1


_POST_MODIFIER_STARTS = PREPOSITIONS | {"a", "the", "an"}


_BEFORE_PREPOSITION = frozenset(
    """rich fond good prone full free capable responsible suitable eligible available aware afraid proud guilty high low
    close subject visible necessary dependent interested familiar poor native common unique immune allergic sensitive
    resistant safe dangerous harmful useful ready fit relevant loyal kind devoted open used skilled bad""".split()
)
"""Adjectives that stand behind their noun with a preposition."""


def one_of(name: str) -> str:
    """Return the words for one member of a plural class: "person who smokes", "king of France"."""
    words = name.split(" ")
    for index, word in enumerate(words):
        if word in RELATIVES and 0 < index < len(words) - 1:
            before, clause = one_of(" ".join(words[:index])), words[index + 1 :]
            if clause[0] != "are":
                return f"{before} {word} {third_person(' '.join(clause))}"
            rest = " ".join(clause[1:])
            plural = looks_plural(clause[head_index(clause[1:]) + 1]) if len(clause) > 1 else False
            return f"{before} {word} is {with_article(one_of(rest)) if plural else rest}"
    head = head_index(words)
    return " ".join((*words[:head], singularise(words[head]), *words[head + 1 :]))
