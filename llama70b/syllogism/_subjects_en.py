"""Subject and predicate of one English clause: after a determiner, after "only", bare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama70b.syllogism import _tables_en as tables
from llama70b.syllogism._clean_en import decapitalise
from llama70b.syllogism._kinds import Quantifier, Reason, TermKind
from llama70b.syllogism._lexicon import VERBS
from llama70b.syllogism._logic_words import (
    FINITE_AUXILIARIES,
    FORBIDDEN,
    GROUP_NOUNS,
    GROUP_VERBS,
    KIND_LEVEL,
    LASTING_ING,
    PLACES,
    PREPOSITIONS,
    RELATIVES,
    STAGE_LEVEL,
)
from llama70b.syllogism._morphology import base_form, head_index, looks_plural
from llama70b.syllogism._parse import DEFINITE, DEMONSTRATIVE, Certainty, Note, Parse, Unreadable
from llama70b.syllogism._predicate_en import ADVERBS, ALWAYS, Predication
from llama70b.syllogism._terms_en import complement, noun_phrase, predications
from llama70b.syllogism._types import Statement, Term
from llama70b.syllogism._words_en import Words, guard, is_letter, is_mass, is_singular_subject, low, subject_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_NO_END = ADVERBS | ALWAYS | PREPOSITIONS | RELATIVES | {"a", "an", "the", "my", "our", "your", "very"}
"""Words no noun phrase ends in."""
_BEFORE_VERB = ADVERBS | ALWAYS | {"never", "in", "no", "way", "by", "means"}
_ONE_BY_ONE = frozenset("each every none not no any one".split())
_POINTING = frozenset({"these", "those"})
_SPEAKERS = frozenset({"i", "we", "you"})
_NO_THING = GROUP_NOUNS | frozenset(
    """day week month year night morning evening afternoon weekend summer winter spring autumn fall time season decade
    century moment minute hour age way case reason fact argument conclusion statement claim point sort world
    one""".split()
)
"""Nouns after "this" that name no single thing of the kind the argument is about."""
_ASKING = frozenset({"why", "how", "where", "whence", "please", "let", "let's"})
UNINFORMATIVE = (Reason.NO_STATEMENT, Reason.PRONOUN)
"""Reasons that say no more than that nothing was found."""


def settle(attempts: Iterator[Callable[[], Iterator[Parse]]]) -> tuple[Parse, ...]:
    """Run alternatives; keep the surest readings, or raise the most telling refusal."""
    found: list[Parse] = []
    refusal: Unreadable | None = None
    for attempt in attempts:
        try:
            found.extend(attempt())
        except Unreadable as error:
            if refusal is None or (refusal.reason in UNINFORMATIVE and error.reason not in UNINFORMATIVE):
                refusal = error
    if found:
        best = min(parse.certainty for parse in found)
        kept = {best} if best is Certainty.FUNCTION_WORD else {Certainty.KNOWN_VERB, Certainty.CONTEXT}
        return tuple(dict.fromkeys(parse for parse in found if parse.certainty in kept))
    raise refusal or Unreadable(Reason.NO_STATEMENT)


def _splits(
    words: Words, *, singular: bool | None, negative: bool = False, either: bool = False
) -> Iterator[Callable[[], Iterator[tuple[Words, Predication]]]]:
    for position in range(1, len(words)):
        subject, rest = words[:position], words[position:]
        past = low(subject)[-1].endswith("ed") and len(subject[-1]) > 3 and low(subject)[-1][-3] != "e"  # noqa: PLR2004
        if past and low(rest)[0] not in FINITE_AUXILIARIES | {"have", "fail", "fails", "never"}:
            continue  # "Rex learned | tricks"
        if (low(subject)[-1] in _NO_END and not is_letter(subject[-1])) or (
            not subject[-1][-1].isalnum() and not subject[-1].endswith("'")
        ):
            continue
        number = "either" if either else "singular" if singular else subject_number(subject)

        def attempt(
            subject: Words = subject, rest: Words = rest, number: str | None = number
        ) -> Iterator[tuple[Words, Predication]]:
            found = list(predications(rest, negative=negative, number=number))
            for predication in found:
                yield subject, predication

        yield attempt


def _agree(subject: Words, verb: str, *, singular: bool | None) -> None:
    """Refuse a "noun" that is really a verb: "all men learn | that roses are red"."""
    head = subject[head_index(subject)].lower()
    number = subject_number(subject)
    verbal = head in VERBS or base_form(head, known=VERBS) in VERBS
    owner = subject[-2] if len(subject) > 2 else ""  # noqa: PLR2004
    owned = owner and (looks_plural(owner) or owner[0].isupper() or owner.lower() in _SPEAKERS)
    if owned and verbal and (looks_plural(subject[0]) or subject[0].lower() == "thing"):
        return  # "things people enjoy", "everything Anna cooks"
    if singular and number == "plural" and base_form(head, known=VERBS) in VERBS:
        raise Unreadable(Reason.NO_STATEMENT, head)
    if (
        not singular
        and number == "singular"
        and verb in ("are", "do", "have")
        and head_index(subject)
        and head in VERBS
    ):
        raise Unreadable(Reason.NO_STATEMENT, head)


def count_singular(words: Words) -> bool:
    """Whether the noun is a singular that has a plural, as after "no" or "there is an"."""
    return subject_number(words) == "singular" and not is_mass(words)


def quantified(determiner: tables.Determiner, words: Words) -> Iterator[Parse]:
    negative = determiner.force is Quantifier.NO

    def attempts() -> Iterator[Callable[[], Iterator[Parse]]]:
        # "None of the suspects has ..." or "have": the verb agrees with either.
        either = "of" in determiner.words and (
            determiner.words[0] in _ONE_BY_ONE or bool({"kinds", "types", "sorts"} & set(determiner.words))
        )
        for split in _splits(words, singular=determiner.singular, negative=negative, either=either):

            def attempt(split: Callable[[], Iterator[tuple[Words, Predication]]] = split) -> Iterator[Parse]:
                for whole, found in split():
                    subject_words, pointed = _pointed(whole)
                    if negative and found.negated and {"no", "never"} & set(low(words[len(whole) : len(whole) + 2])):
                        raise Unreadable(Reason.AMBIGUOUS, "no ... no")
                    if found.floated and determiner.force is not Quantifier.ALL:
                        raise Unreadable(Reason.FREQUENCY, "always")
                    _agree(subject_words, words[len(whole)].lower(), singular=determiner.singular)
                    singular = determiner.singular or (determiner.words[0] != "all" and count_singular(subject_words))
                    subject, notes = noun_phrase(subject_words, singular=singular)
                    extra = (Note(determiner.note, (" ".join(determiner.words),)),) if determiner.note else ()
                    yield from _combined(determiner, subject, found, (*notes, *pointed, *extra))

            yield attempt

    yield from settle(attempts())


def _combined(
    determiner: tables.Determiner, subject: Term, found: Predication, notes: tuple[Note, ...]
) -> Iterator[Parse]:
    """Put determiner and predicate together, the negation in its place."""
    notes = (*notes, *found.notes)
    force = determiner.force
    extra = (Note("each_not"),) if determiner.words == ("each",) else ()
    if not found.negated:
        yield parse_of(force, subject, found.term, notes=notes, certainty=found.certainty)
        return
    match force:
        case Quantifier.ALL if determiner.wide and not found.strong:
            yield Parse(
                (
                    Statement(Quantifier.NO, subject, found.term),
                    Statement(Quantifier.SOME_NOT, subject, found.term),
                ),
                found.certainty,
                (*notes, Note("all_not", (" ".join(determiner.words),))),
            )
        case Quantifier.ALL:
            yield parse_of(Quantifier.NO, subject, found.term, notes=(*notes, *extra), certainty=found.certainty)
        case Quantifier.SOME:
            yield parse_of(Quantifier.SOME_NOT, subject, found.term, notes=notes, certainty=found.certainty)
        case Quantifier.NO | Quantifier.SOME_NOT:
            yield parse_of(force, subject, found.term.complement, notes=notes, certainty=found.certainty)


def exclusive(words: Words) -> Iterator[Parse]:
    """Read what follows "only": the subject is the wider class."""
    if low(words)[:1] and low(words)[0] in ("some", "a", "an", "if", "when", "one", "in", "on", "at", "the"):
        raise Unreadable(Reason.EXCLUSIVE, f"only {words[0]}")

    def attempts() -> Iterator[Callable[[], Iterator[Parse]]]:
        for split in _splits(words, singular=False, negative=True):

            def attempt(split: Callable[[], Iterator[tuple[Words, Predication]]] = split) -> Iterator[Parse]:
                for subject_words, found in split():
                    named = is_singular_subject(subject_words)
                    wider, notes = (_name(subject_words), ()) if named else noun_phrase(subject_words)
                    yield parse_of(
                        Quantifier.ALL,
                        found.as_term(),
                        wider,
                        notes=(*notes, *found.notes),
                        certainty=found.certainty,
                    )

            yield attempt

    yield from settle(attempts())


def the_only(words: Words) -> Iterator[Parse]:
    """Read "the only <plural noun> ... are ...": all of them are."""
    for position in range(1, len(words) - 1):
        if words[position].lower() == "are" and words[position - 1].lower() not in ("that", "which", "who"):
            subject, notes = noun_phrase(words[:position])
            if not looks_plural(subject.name.split(" that ")[0].rpartition(" ")[2]) and " " not in subject.name:
                break
            found = complement(words[position + 1 :])
            yield parse_of(Quantifier.ALL, subject, found.as_term(), notes=(*notes, *found.notes))
            return
    raise Unreadable(Reason.EXCLUSIVE, "the only")


def bare(words: Words) -> Iterator[Parse]:
    """Read a clause without determiner: a generic or a name."""
    lowered = low(words)
    if lowered[0] in _ASKING:
        raise Unreadable(Reason.NO_STATEMENT, words[0])
    if (
        lowered[0] in FORBIDDEN
        and lowered[0] not in _POINTING | {"this"}
        and not (len(words[0]) == 1 and words[0].isupper() and words[0] != "I")
    ):
        raise Unreadable(FORBIDDEN[lowered[0]], words[0])
    if lowered[:2] == ("a", "single"):
        raise Unreadable(Reason.NUMBER, "a single")
    if lowered[0] in ("even", "also", "every", "such"):
        raise Unreadable(Reason.EXCLUSIVE, words[0])

    def attempts() -> Iterator[Callable[[], Iterator[Parse]]]:
        for split in _splits(words, singular=lowered[0] in ("a", "an") or None):

            def attempt(split: Callable[[], Iterator[tuple[Words, Predication]]] = split) -> Iterator[Parse]:
                for subject_words, found in split():
                    rest = [word for word in low(words[len(subject_words) :]) if word not in _BEFORE_VERB]
                    yield from _generic(subject_words, found, verb=rest[0] if rest else "")

            yield attempt

    yield from settle(attempts())


def _pointed(words: Words) -> tuple[Words, tuple[Note, ...]]:
    """Strip "these"; the reader checks that the same words name the class throughout."""
    if len(words) > 1 and words[0].lower() in _POINTING and words[1].lower() not in RELATIVES:
        if RELATIVES & set(low(words[2:])):
            return words[1:], ()  # "those animals that ...": the clause says which
        return words[1:], (Note(DEMONSTRATIVE, (" ".join(low(words)),)),)
    return words, ()


def _refuse_kind(found: Predication, phrase: str, *, bare: bool) -> None:
    """Refuse what does not distribute over a plural without quantifier: "pandas are rare", "dogs are barking"."""
    said = low(found.term.name.split())
    if found.term.kind is TermKind.VERB:
        if said[0] in GROUP_VERBS:
            raise Unreadable(Reason.COLLECTIVE, said[0])
        return
    if {"favorite", "favourite"} & set(said):
        raise Unreadable(Reason.COLLECTIVE, found.term.name)
    if found.term.kind not in (TermKind.ADJECTIVE, TermKind.MASS):
        return
    if KIND_LEVEL & set(said):
        raise Unreadable(Reason.COLLECTIVE, found.term.name)
    passing = (found.progressive and said[0] not in LASTING_ING) or said[0] in PLACES or STAGE_LEVEL & set(said)
    if bare and passing:
        raise Unreadable(Reason.AMBIGUOUS, f"{phrase} ... {found.term.name}")


def _is_this(words: Words) -> bool:
    """Whether a subject is "this table": one thing, which the reader checks is called so throughout."""
    pointing = len(words) > 1 and words[0].lower() == "this" and not _NO_THING & set(low(words))
    return pointing and subject_number(words) == "singular" and not is_mass(words)


def _name(words: Words) -> Term:
    if _is_this(words):
        guard(words[1:])
        return Term(" ".join(low(words)), singular=True, kind=TermKind.NAME)
    guard(tuple(word for word in words if word.lower() != "the"))
    return Term(" ".join(words), singular=True, kind=TermKind.NAME)


def _generic(words: Words, found: Predication, *, verb: str) -> Iterator[Parse]:
    words, pointed = _pointed(words)
    lowered = low(words)
    article = lowered[0] if len(words) > 1 and lowered[0] in ("a", "an", "the") else ""
    phrase = " ".join(words)
    singular_verb = verb in ("is", "does", "has") or (
        verb not in ("are", "do", "have", "can") and verb.endswith("s") and not verb.endswith("ss")
    )
    notes: tuple[Note, ...]
    forces = [Quantifier.ALL]
    this = _is_this(words) and singular_verb
    if this or ((singular_verb or subject_number(words) == "singular") and is_singular_subject(words)):
        subject, notes = _name(words), ((Note(DEFINITE, (phrase,)),) if this else ())
    elif article in ("a", "an"):
        if found.progressive:
            raise Unreadable(Reason.AMBIGUOUS, phrase)
        subject, more = noun_phrase(words)
        notes = (*more, Note("generic_singular", (phrase,)))
        if any((word[0].isupper() and len(word) > 1) or word in ("my", "our") for word in words[1:]):
            # "A friend of Taro is tall" is as likely about one of them.
            forces.append(Quantifier.SOME)
    elif article == "the":
        subject, more = noun_phrase(words)
        notes = (*more, Note("generic_the", (phrase,)))
        if subject_number(words) == "singular":
            subject = Term("the " + " ".join(words[1:]), singular=True, kind=TermKind.NAME)
            notes = (Note(DEFINITE, (phrase,)),)
    else:
        subject, more = noun_phrase(decapitalise(words))
        if singular_verb == (subject_number(words) == "plural") and verb != "can" and subject_number(words):
            raise Unreadable(Reason.NO_STATEMENT, phrase)
        plural = subject_number(words) != "singular"
        notes = (*more, Note("generic_plural" if plural else "generic_mass", (phrase,)))
        if not plural and found.certainty is not Certainty.FUNCTION_WORD and not singular_verb:
            raise Unreadable(Reason.NO_STATEMENT, phrase)
    if not subject.singular:
        _refuse_kind(found, phrase, bare=article != "the" and not pointed and not found.floated)
    if pointed or found.floated:
        notes = (*(note for note in notes if not note.code.startswith("generic")), *pointed)
    if found.negated and found.floated:
        raise Unreadable(Reason.AMBIGUOUS, phrase)
    readings = [
        Statement(
            (Quantifier.NO if force is Quantifier.ALL else Quantifier.SOME_NOT) if found.negated else force,
            subject,
            found.term,
        )
        for force in forces
    ]
    yield Parse(tuple(readings), found.certainty, (*notes, *found.notes))


def parse_of(
    force: Quantifier,
    subject: Term,
    predicate: Term,
    *,
    notes: tuple[Note, ...] = (),
    certainty: Certainty = Certainty.FUNCTION_WORD,
) -> Parse:
    return Parse((Statement(force, subject, predicate),), certainty, notes)
