"""English terms: noun phrases and predicates as classes, closed against logical words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llama70b.syllogism._kinds import Reason, TermKind
from llama70b.syllogism._lexicon import MASS_NOUNS, PARTICIPLES, VERBS
from llama70b.syllogism._logic_words import (
    ATTITUDES,
    FORBIDDEN,
    PREPOSITIONS,
    RELATIVES,
)
from llama70b.syllogism._morphology import base_form, head_index, looks_plural, looks_singular, pluralise
from llama70b.syllogism._parse import Certainty, Note, Unreadable
from llama70b.syllogism._predicate_en import (
    ADVERBS,
    ALWAYS,
    NEUTRAL_HEADS,
    PERSON_HEADS,
    Predication,
    is_letter_subject,
    is_noun_complement,
    is_participle,
    is_plain_verb,
    perfect_of,
    prefix_length,
    refuse_definite,
    refuse_little,
    refuse_perfect_or_group,
    unwrap,
    verb_phrase,
    without_bound,
)
from llama70b.syllogism._tense_en import IRREGULAR_PASTS
from llama70b.syllogism._types import Term
from llama70b.syllogism._words_en import guard, is_letter, is_mass, is_name, low
from llama70b.syllogism._wrappers_en import NAMINGS, VERB_WRAPPERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_SPEAKERS = frozenset({"i", "we", "you"})


def _plural_phrase(words: Sequence[str]) -> str:
    head = head_index(words)
    return " ".join((*words[:head], _letter_safe_plural(words[head]), *words[head + 1 :]))


def _letter_safe_plural(word: str) -> str:
    return word if is_letter(word) else pluralise(word)


def noun_phrase(words: Sequence[str], *, singular: bool = False) -> tuple[Term, tuple[Note, ...]]:
    """Read a noun phrase as a class.

    Args:
        words: The phrase, with or without an article.
        singular: A determiner before it was singular ("every"), so it is a count noun and is put into the plural.

    Raises:
        Unreadable: It holds a logical word or is no class.
    """
    lowered = low(words)
    if len(words) > 1 and lowered[0] in ("the", "a", "an") and not (words[0] == "A" and lowered[1] in RELATIVES):
        return noun_phrase(words[1:], singular=singular or lowered[0] != "the")
    if len(words) > 3 and lowered[:3] in (("set", "of", "all"), ("class", "of", "all"), ("group", "of", "all")):  # noqa: PLR2004
        return noun_phrase(words[3:])
    if len(words) > 2 and lowered[1] == "of" and lowered[0] in ("set", "class", "group", "category", "collection"):  # noqa: PLR2004
        return noun_phrase(words[2:])
    refuse_little(words, singular=singular)
    named = _named(words, singular=singular)
    if named is not None:
        return named
    for position, word in enumerate(lowered):
        if word in RELATIVES and position and lowered[position - 1] in ATTITUDES:
            raise Unreadable(Reason.ATTITUDE, f"{words[position - 1]} {word}")
        if word in RELATIVES and position:
            return _relative(words[:position], words[position + 1 :], singular=singular)
    if lowered[0].startswith("non-") or (lowered[0] == "non" and len(words) > 1):
        rest = (words[0][4:], *words[1:]) if lowered[0] != "non" else words[1:]
        if len(rest) > 1 and low(rest)[-1] not in NEUTRAL_HEADS:
            raise Unreadable(Reason.NEGATION, words[0])
        term, notes = noun_phrase(tuple(word for word in rest if word), singular=singular)
        return term.complement, notes
    return _plain_noun(words, singular=singular)


def _plain_noun(words: Sequence[str], *, singular: bool) -> tuple[Term, tuple[Note, ...]]:
    """Read a noun phrase without article, relative clause or negation."""
    guard(words)
    lowered = low(words)
    if lowered[0] == "person" and 1 < len(words) < 5 and _is_described(words[1:]):  # noqa: PLR2004
        return Term(f"people who are {' '.join(words[1:])}", kind=TermKind.NOUN), ()
    if lowered[0] in NEUTRAL_HEADS | PERSON_HEADS - {
        "human",
        "people",
        "person",
        "persons",
        "individuals",
        "individual",
    }:
        return _after_neutral_head(words)
    if len(words) > 1 and lowered[-1] in NEUTRAL_HEADS:
        return Term(" ".join(words[:-1]), kind=TermKind.ADJECTIVE), ()
    head = words[head_index(words)]
    if _SPEAKERS & set(lowered[1:-1]):  # "foods we eat": its last word is no noun
        if not looks_plural(words[0]):
            raise Unreadable(Reason.PRONOUN, " ".join(words))
        return Term(" ".join(words), kind=TermKind.NOUN), ()
    if singular:
        return Term(_plural_phrase(words), kind=TermKind.NOUN), ()
    if looks_plural(head) or is_letter(head):
        return Term(" ".join(words), kind=TermKind.NOUN), ()
    return Term(" ".join(words), kind=TermKind.MASS), ()


def _is_described(words: Sequence[str]) -> bool:
    """Whether the words after "anyone" are adjectives: "anyone brave"."""
    if any(not word.islower() or word in PREPOSITIONS | RELATIVES | {"a", "an", "the"} for word in words):
        return False
    return not any(word in VERBS or base_form(word, known=VERBS) in VERBS for word in words) or len(words) == 1


def _named(words: Sequence[str], *, singular: bool) -> tuple[Term, tuple[Note, ...]] | None:
    """Read "aquatic creatures known as fish" as the class it names."""
    lowered = low(words)
    for position in range(1, len(words) - 1):
        described = words[head_index(words[:position])]
        if not (singular or looks_plural(described) or is_mass(words[:position])) or lowered[position - 1].endswith(
            "ly"
        ):
            continue  # "cats are wrongly called dogs" describes nothing
        start = position
        if lowered[start] in RELATIVES:
            start += 1 + (lowered[start + 1] in ("is", "are"))
        for phrase in NAMINGS:
            rest = tuple(words[start + len(phrase) :])
            if not rest or lowered[start : start + len(phrase)] != phrase or rest[0][0].isupper():
                continue
            article = rest[0].lower() in ("a", "an", "the")
            head = rest[head_index(rest)]
            if not (article or singular or looks_plural(head) or is_mass(rest)) or rest[0].lower() in PREPOSITIONS:
                return None
            term, notes = noun_phrase(
                rest[1:] if article else rest, singular=looks_singular(head) and not is_mass(rest)
            )
            guard(words[:position])
            return term, (*notes, Note("known_as", (" ".join(words), term.name)))
    return None


def _after_neutral_head(words: Sequence[str]) -> tuple[Term, tuple[Note, ...]]:
    if len(words) == 1 and words[0].lower() in (
        "objects",
        "items",
        "entities",
    ):  # a class like another; "things" are all
        return Term(words[0].lower(), kind=TermKind.NOUN), ()
    if len(words) == 1:
        raise Unreadable(Reason.QUANTIFIER_IN_TERM, words[0])
    if words[1].lower() in _SPEAKERS | {"people"} and len(words) > 2:  # noqa: PLR2004 - "things we eat"
        return Term(" ".join(("things", *words[1:])), kind=TermKind.NOUN), ()
    if unwrap(words[1:]) is not None:  # "things in the category of tools"
        inner = complement(words[1:])
        return inner.term, inner.notes
    return Term(" ".join(words[1:]), kind=TermKind.ADJECTIVE), ()


def _relative(head: Sequence[str], clause: Sequence[str], *, singular: bool) -> tuple[Term, tuple[Note, ...]]:
    """Read "<head> that <predicate>"."""
    last = head[-1].lower()
    bare = len(head) == 1
    found = next(iter(_relative_predicates(clause)), None)
    if bare and last in NEUTRAL_HEADS | PERSON_HEADS:
        if found is None:
            raise Unreadable(Reason.NO_STATEMENT, " ".join(clause))
        term = found.as_term()
        if last in NEUTRAL_HEADS:
            return term, found.notes
        if term.negated:
            return term, (*found.notes, Note("person", (" ".join((*head, "who", *clause)),)))
        verb = "" if term.kind is TermKind.VERB else "are "
        return Term(f"people who {verb}{term.name}", kind=TermKind.NOUN), found.notes
    if found is None or found.negated or found.term.negated:
        raise Unreadable(Reason.NEGATION if found else Reason.NO_STATEMENT, " ".join(clause))
    guard(head)
    noun = _plural_phrase(head) if singular else " ".join(head)
    verb = "" if found.term.kind is TermKind.VERB else "are "
    return Term(f"{noun} that {verb}{found.term.name}", kind=TermKind.NOUN), found.notes


def _relative_predicates(clause: Sequence[str]) -> Iterator[Predication]:
    """Yield readings of the predicate of a relative clause, where the verb is known to come first."""
    lowered = low(clause)
    if lowered[:2] == ("can", "be") and lowered[2:3] not in ((), ("not",)):
        wrapped = unwrap(clause[2:])
        if wrapped is not None:
            yield from predications(("are", *clause[2:]))
            return
    yield from predications(clause, anywhere=True)


def predications(
    words: Sequence[str], *, negative: bool = False, anywhere: bool = False, number: str | None = None
) -> Iterator[Predication]:
    """Yield the readings of a predicate that starts with the first word.

    Args:
        words: The predicate.
        negative: The sentence is negative already ("no fish have any legs").
        anywhere: The verb is known to be first, so it need not be in the lexicon.
        number: ``singular`` or ``plural`` subject, if known, for agreement.

    Raises:
        Unreadable: The first word starts a predicate, but what follows is outside the grammar.
    """
    if not words:
        return
    lowered = low(words)
    first = lowered[0]
    skipped = prefix_length(lowered)
    if skipped:
        for found in predications(words[skipped:], negative=True, anywhere=anywhere, number=number):
            if not found.negated:
                yield replace(found, negated=True, strong=True)
        return
    if first in ADVERBS | ALWAYS and len(words) > 1:
        for found in predications(words[1:], negative=negative, anywhere=anywhere, number=number):
            yield replace(found, floated=found.floated or first in ALWAYS)
        return
    perfect = perfect_of(words, lasting=not anywhere)
    if perfect is not None:
        yield perfect
        return
    refuse_perfect_or_group(words)
    yield from _finite(words, negative=negative, anywhere=anywhere, number=number)


def _finite(words: Sequence[str], *, negative: bool, anywhere: bool, number: str | None) -> Iterator[Predication]:
    """Read a predicate from its finite verb on."""
    lowered = low(words)
    first = lowered[0]
    if negative and lowered[:2] == ("could", "be"):
        first = "can"  # "no drum could be called a flute"
    match first:
        case "is" | "are":
            yield from _copula(words[1:], negative=negative)
        case "fail" | "fails" if lowered[1:2] == ("to",) and len(words) > 2:  # noqa: PLR2004
            yield from (
                replace(found, negated=True, strong=True) for found in _infinitive(words[2:], negative=negative)
            )
        case "do" | "does" if len(words) > 1 and lowered[1] in VERBS | {"not"}:
            yield _denied(words[2:]) if lowered[1] == "not" else Predication(verb_phrase(words[1:], negative=negative))
        case "can":
            yield from _ability(words, negative=negative)
        case _:
            yield from _plain_verb(words, negative=negative, anywhere=anywhere, number=number)


def _infinitive(words: Sequence[str], *, negative: bool) -> Iterator[Predication]:
    if words[0].lower() == "be":
        yield from _copula(words[1:], negative=negative)
    else:
        yield Predication(verb_phrase(words, negative=negative))


def _denied(words: Sequence[str]) -> Predication:
    """Read what follows "do not"."""
    for phrase in VERB_WRAPPERS:
        if low(words)[: len(phrase)] == phrase:
            return replace(complement(words[len(phrase) :]), negated=True)
    return Predication(verb_phrase(words, negative=True), negated=True)


def _plain_verb(words: Sequence[str], *, negative: bool, anywhere: bool, number: str | None) -> Iterator[Predication]:
    first = words[0].lower()
    base = base_form(first, known=VERBS)
    for phrase in VERB_WRAPPERS:
        if phrase[0] in (base, first) and low(words[1 : len(phrase)]) == phrase[1:] and len(words) > len(phrase):
            yield complement(words[len(phrase) :])
            return
    if (
        len(first) == 1
        or (first in FORBIDDEN and not is_plain_verb(words))
        or (first in PREPOSITIONS and first not in VERBS)
        or not first.isalpha()
    ):
        return
    if first not in VERBS | ATTITUDES and (
        first in PARTICIPLES or first in IRREGULAR_PASTS or (first.endswith("ed") and first[-3] != "e")
    ):
        return  # past, or a participle that belongs to the noun before it
    if len(words) > 2 and words[1].lower() == "no" and (base or first) in VERBS:  # noqa: PLR2004 - "eat no meat"
        if not (looks_plural(words[-1]) or is_mass(words[2:]) or (base or first) == "have"):
            raise Unreadable(Reason.RELATION, " ".join(words))
        yield Predication(verb_phrase((base or first, *words[2:])), negated=True, strong=True)
        return
    if number != "singular" and first in VERBS:
        yield Predication(verb_phrase(words, negative=negative), certainty=Certainty.KNOWN_VERB)
    elif number != "plural" and base in VERBS:
        yield Predication(verb_phrase((base, *words[1:]), negative=negative), certainty=Certainty.KNOWN_VERB)
    elif anywhere or number is not None:
        certainty = Certainty.FUNCTION_WORD if anywhere else Certainty.CONTEXT
        if number != "plural" and base is not None:
            yield Predication(verb_phrase((base, *words[1:]), negative=negative), certainty=certainty)
        elif number != "singular":
            yield Predication(verb_phrase(words, negative=negative), certainty=certainty)


def _ability(words: Sequence[str], *, negative: bool) -> Iterator[Predication]:
    """Read "can": an ability as a property; "can be" only where it is no mere possibility."""
    lowered = low(words)
    denied = lowered[1:2] in (("not",), ("never",))
    rest = words[2:] if denied else words[1:]
    if not rest:
        return
    if rest[0].lower() == "be":
        wrapped = unwrap(rest[1:])
        participle = len(rest) > 1 and is_participle(rest[1].lower())
        if (denied or negative) and not (participle and wrapped is None):
            for found in _copula(rest[1:]):
                yield replace(found, negated=denied, strong=denied, notes=(*found.notes, Note("can_be")))
        elif wrapped is not None and wrapped[1] == "described":
            yield from _copula(rest[1:])
        elif participle:
            able = verb_phrase(("can", *rest), negative=denied or negative)
            yield Predication(able, negated=denied, strong=denied)
        else:
            raise Unreadable(Reason.MODALITY, "can be")
        return
    yield Predication(verb_phrase(("can", *rest), negative=denied or negative), negated=denied, strong=denied)


def _copula(words: Sequence[str], *, negative: bool = False) -> Iterator[Predication]:
    """Read what follows "is" or "are"."""
    if negative and words and words[0].lower() == "ever":
        words = words[1:]
    lowered = low(words)
    floated = False
    while words and lowered[0] in ADVERBS | ALWAYS | {"all"}:
        floated = floated or lowered[0] in ALWAYS | {"all"}
        words, lowered = words[1:], lowered[1:]
    if not words:
        raise Unreadable(Reason.NO_STATEMENT)
    if lowered[0] == "no" and len(words) > 1:
        if lowered[1] in ("longer", "more", "less", "fewer"):
            raise Unreadable(Reason.TENSE if lowered[1] == "longer" else Reason.RELATION, " ".join(words[:2]))
        yield replace(complement(words[1:], after_no=True), negated=True, strong=True)
        return
    skipped = prefix_length(lowered)
    if skipped:
        yield replace(complement(words[skipped:]), negated=True, strong=True, floated=floated)
        return
    if lowered[0] == "not":
        rest = words[1:]
        if low(rest)[:1] == ("even",) and len(rest) > 1:
            raise Unreadable(Reason.EXCLUSIVE, "not even")
        if low(rest)[:1] in (("all",), ("always",), ("necessarily",)):
            raise Unreadable(Reason.FREQUENCY, " ".join(words[:2]))
        while rest and rest[0].lower() in ADVERBS:
            rest = rest[1:]
        if low(rest)[:1] == ("any",):
            rest = rest[1:]
        yield replace(complement(rest), negated=True, floated=floated)
        return
    yield replace(complement(words), floated=floated)


def complement(words: Sequence[str], *, after_no: bool = False) -> Predication:
    """Read the complement of a copula as a class.

    Args:
        words: What follows "is", "are", "is not" ...
        after_no: It follows "no" ("whales are no fish"), so it is a noun.

    Raises:
        Unreadable: It holds a logical word or a definite description.
    """
    words = tuple(words)
    while len(words) > 1 and words[-1].lower() in ADVERBS | {"too"}:
        words = words[:-1]
    if not words:
        raise Unreadable(Reason.NO_STATEMENT)
    lowered = low(words)
    wrapped = unwrap(words)
    if wrapped is not None:
        rest, note = wrapped
        if not note and looks_singular(rest[-1]) and len(rest) == 1 and not is_mass(rest):
            rest = ("a", *rest)  # "a kind of flower"
        inner = complement(rest)
        code = (Note(note, (" ".join(words),)),) if note else ()
        return replace(inner, notes=(*inner.notes, *code))
    refuse_definite(words)
    if lowered[0] == "not" and len(words) > 1:
        inner = complement(words[1:])
        return replace(inner, term=inner.term.complement)
    if lowered[:2] == ("able", "to") and len(words) > 2:  # noqa: PLR2004
        return Predication(verb_phrase(("can", *words[2:])))
    if lowered[:2] == ("capable", "of") and lowered[2:3] and lowered[2].endswith("ing"):
        guard(words)
        return Predication(Term(" ".join(words), kind=TermKind.ADJECTIVE))
    if lowered[0] in ("a", "an") and len(words) > 1 and not is_letter_subject(words):
        if lowered[1] in ("single", "lot", "few"):
            raise Unreadable(Reason.QUANTITY, " ".join(words[:2]))
        term, notes = noun_phrase(words[1:], singular=True)
        return Predication(term, notes=notes)
    if after_no or is_noun_complement(words):
        term, notes = noun_phrase(words, singular=after_no and looks_singular(words[head_index(words)]))
        return Predication(term, notes=notes)
    if is_name(words):
        guard(words)
        return Predication(Term(" ".join(words), singular=True, kind=TermKind.NAME))
    bound = {"their", "its", "his", "her"} & set(lowered[1:]) or lowered[-2:-1] == ("when",)
    guard(without_bound(words) if bound else words)
    kind = TermKind.MASS if len(words) == 1 and lowered[0] in MASS_NOUNS else TermKind.ADJECTIVE
    return Predication(Term(" ".join(words), kind=kind), progressive=lowered[0].endswith("ing"))
