"""Reading one English sentence: a closed grammar driven by the tables of ``_tables_en``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llama70b.syllogism import _frames_en as frames
from llama70b.syllogism import _tables_en as tables
from llama70b.syllogism._clean_en import (
    decapitalise,
    factive,
    open_pronoun,
    statement_words,
    without_emphasis,
    without_filler,
)
from llama70b.syllogism._kinds import Quantifier, Reason, TermKind
from llama70b.syllogism._logic_words import FORBIDDEN
from llama70b.syllogism._parse import BOUND, LASTING, PAST, Certainty, Note, Parse, Unreadable
from llama70b.syllogism._predicate_en import is_bound
from llama70b.syllogism._subjects_en import (
    UNINFORMATIVE,
    bare,
    count_singular,
    exclusive,
    parse_of,
    quantified,
    settle,
    the_only,
)
from llama70b.syllogism._tense_en import in_present
from llama70b.syllogism._terms_en import (
    complement,
    noun_phrase,
    predications,
)
from llama70b.syllogism._words_en import Words, low

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_EXCLAIMED = tuple(("no", word) for word in "wonder doubt surprise way question chance".split())
"""Openings that comment on a statement: "no wonder cats are shy"."""
_IMPOSSIBLE = frozenset({"can", "could", "impossible", "possible", "way", "inconceivable"})
_ASKED_ANY = frozenset({"any", "anyone", "anybody", "anything"})


def parse_statement(text: str, *, conclusion: bool = False) -> tuple[Parse, ...]:
    """Return the candidate readings of one statement, the surest first.

    Args:
        text: One clause, without discourse markers.
        conclusion: It is a conclusion, so "must be" marks that it follows and is no modality.

    Raises:
        Unreadable: It is outside the grammar.
    """
    words = statement_words(text)
    if conclusion:
        words = factive(words)
    if not words:
        raise Unreadable(Reason.EMPTY)
    if words[0].isupper() and all(word.isupper() for word in words if word.isalpha()) and len(words) > 3:  # noqa: PLR2004
        words = low(words)
    try:
        parses = _clause(words)
    except Unreadable as refusal:
        parses = _past(words)
        if not parses:
            raise _told(refusal, words) from refusal
    if all(parse.certainty is Certainty.CONTEXT for parse in parses):  # "... trained abroad": no verb "abroad"
        past = _past(words)
        parses = past if any(parse.certainty is not Certainty.CONTEXT for parse in past) else parses
    source = text.strip()
    parses = tuple(_bound(parse, source) for parse in parses)
    return tuple(replace(parse, readings=tuple(replace(s, source=source) for s in parse.readings)) for parse in parses)


def _bound(parse: Parse, source: str) -> Parse:
    """Mark a property that holds "their" or "every day"; not where it is named as a class: "things that ..."."""
    for statement in parse.readings:
        said = statement.predicate
        if (
            said.kind in (TermKind.VERB, TermKind.ADJECTIVE)
            and is_bound(tuple(said.name.split()))
            and "thing that" not in source.replace("things that", "thing that")
        ):
            return replace(parse, notes=(*parse.notes, Note(BOUND, (said.name,))))
    return parse


def _past(words: Words) -> tuple[Parse, ...]:
    """Read a clause about the past as if it were about now, and mark it."""
    present = in_present(words)
    if present is None:
        return ()
    now, lasting = present
    try:
        parses = _clause(now)
    except Unreadable:
        return ()
    mark = Note(LASTING if lasting else PAST, ())
    return tuple(replace(parse, notes=(*parse.notes, mark)) for parse in parses)


def _told(refusal: Unreadable, words: Words) -> Unreadable:
    """Say which logical word is in the way, when all that is known is that no predicate was found."""
    if refusal.reason not in UNINFORMATIVE:
        return refusal
    held = [
        word for word in words[1:] if word.lower() in FORBIDDEN and word.lower() not in ("not", "no", "there", "it")
    ]
    return Unreadable(FORBIDDEN[held[0].lower()], held[0]) if held else refusal


def parse_question(text: str) -> tuple[Parse, ...]:
    """Return the readings of a direct question as the statement it asks about: "Are all dogs animals?".

    Raises:
        Unreadable: It is no such question, or outside the grammar.
    """
    words = statement_words(text)
    # In a question "any" asks for one: "Are there any dogs that bark?".
    words = tuple("some" + word[3:] if word.lower() in _ASKED_ANY else word for word in words)
    first = words[0].lower() if words else ""
    if first in ("do", "does", "can") and len(words) > 2:  # noqa: PLR2004
        rest = words[1:]
        if first != "can":
            singular_verb = first == "does"
            return settle(_question_splits(rest, "does" if singular_verb else "do"))
        return settle(_question_splits(rest, "can"))
    if first in ("must", "would") and len(words) > 2 and "be" in low(words):  # noqa: PLR2004
        border = low(words).index("be")
        both = [(*words[1:border], verb, *words[border + 1 :]) for verb in ("are", "is")]
        return settle(lambda statement=statement: iter(_clause(statement)) for statement in both)  # type: ignore[misc]
    if first in ("is", "are") and len(words) > 2:  # noqa: PLR2004
        return settle(_question_splits(words[1:], first))
    raise Unreadable(Reason.NO_STATEMENT, text.strip())


def _question_splits(words: Words, verb: str) -> Iterator[Callable[[], Iterator[Parse]]]:
    for position in range(1, len(words)):
        statement = (*words[:position], verb, *words[position:])
        following = words[position].lower()
        # "Is every dog an animal", "is Socrates not mortal": an article or a negation shows the border.
        sure = following in ("a", "an", "not", "never") and "that" not in low(words[:position])

        def attempt(statement: Words = statement, *, sure: bool = sure) -> Iterator[Parse]:
            for parse in _clause(statement):
                yield parse if sure else replace(parse, certainty=Certainty.CONTEXT)

        yield attempt


def _clause(words: Words) -> tuple[Parse, ...]:
    """Read a clause: truth prefixes first, then frames, then determiner, subject and predicate."""
    words = without_filler(words)
    if not words:
        raise Unreadable(Reason.NO_STATEMENT)
    if low(words[:2]) in _EXCLAIMED:
        raise Unreadable(Reason.ATTITUDE, " ".join(words[:2]))
    domain = frames.DOMAIN.match(" ".join(words))
    if domain:  # "in the world of animals, all ..."
        return tuple(
            replace(parse, notes=(*parse.notes, Note("domain", (domain["D"],))))
            for parse in _clause(words[len(domain.group().split()) :])
        )
    words, emphatic = without_emphasis(tuple(frames.NAMING_ASIDE.sub(r" \g<named> ", " ".join(words)).split()))
    text = " ".join(words)
    lowered = text.lower()
    for patterns, negate in ((frames.FALSE_PREFIXES, True), (frames.TRUE_PREFIXES, False)):
        for pattern in patterns:
            match = pattern.fullmatch(lowered)
            if match:
                inside = tuple(text[slice(*match.span("X"))].split())
                if negate and low(inside)[0].startswith("any"):
                    # "It is not true that any X ...": "any" is weak under a negation.
                    inside = ("some" + inside[0][3:], *inside[1:])
                inner = _clause(inside)
                if not negate:
                    return inner
                said = frozenset(lowered[: match.start("X")].split())
                return tuple(_denied(parse, said) for parse in inner)
    words = open_pronoun(words)
    text = " ".join(words)
    parses = settle(_alternatives(words, text))
    if emphatic and not all(s.quantifier.universal for parse in parses for s in parse.readings):
        raise Unreadable(Reason.EXCEPTION, " ".join(words))
    return parses


def _denied(parse: Parse, said: frozenset[str]) -> Parse:
    readings = tuple(statement.contradictory for statement in parse.readings)
    if any(note.code.startswith("generic") for note in parse.notes):
        # "It is not true that dogs bark": not all of them, or none of them. "It is never true": none.
        none = tuple(replace(statement, quantifier=statement.quantifier.obverse) for statement in parse.readings)
        # "It cannot be that a stone is a plant": none.
        single = any(note.code == "generic_singular" for note in parse.notes)
        never = "never" in said or (single and bool(said & _IMPOSSIBLE))
        readings = none if never else (*readings, *none)
    return replace(parse, readings=tuple(dict.fromkeys(readings)))


def _alternatives(words: Words, text: str) -> Iterator[Callable[[], Iterator[Parse]]]:
    lowered = text.lower()
    for frame in frames.FRAMES:
        match = frame.pattern.fullmatch(lowered)
        if match:
            slots = {name: tuple(text[slice(*match.span(name))].split()) for name in match.groupdict()}
            yield lambda frame=frame, slots=slots: _framed(frame, slots)  # type: ignore[misc]
            return
    match = frames.AMONG_THERE.fullmatch(lowered) or frames.AMONG.fullmatch(lowered)
    if match:
        subject, rest = (tuple(text[slice(*match.span(name))].split()) for name in ("S", "R"))
        there = match.re is frames.AMONG_THERE
        if not any(True for _ in predications(rest, anywhere=there)):
            raise Unreadable(Reason.NO_STATEMENT, " ".join(rest))
        quantifier = tuple(frames.AMONG_QUANTIFIERS[match["Q"]].split())
        rewritten = (*quantifier, *(word for word in subject if word != ","), *rest)
        yield lambda: iter(settle(_alternatives(rewritten, " ".join(rewritten))))
        return
    first = words[0].lower()
    for only in frames.ONLY:
        if low(words[: len(only)]) == only:
            rest = words[len(only) :]
            yield lambda rest=rest: exclusive(rest)  # type: ignore[misc]
            return
    if low(words[:2]) == ("the", "only"):
        yield lambda: the_only(words[2:])
        return
    for determiner in tables.DETERMINERS:
        if low(words[: len(determiner.words)]) == determiner.words and len(words) > len(determiner.words):
            rest = words[len(determiner.words) :]
            if first == "a" and words[0] == "A" and rest and rest[0].lower() in ("is", "are"):
                continue
            yield lambda determiner=determiner, rest=rest: quantified(determiner, rest)  # type: ignore[misc]
            return
    yield lambda: bare(words)


def _framed(frame: frames.Frame, slots: dict[str, Words]) -> Iterator[Parse]:
    subject, notes = noun_phrase(decapitalise(slots["S"]), singular=count_singular(slots["S"]))
    if "P" in slots:
        readings = list(predications(slots["P"], anywhere=True, negative=frame.force is Quantifier.NO))
        if not readings:
            raise Unreadable(Reason.NO_STATEMENT, " ".join(slots["P"]))
    else:
        readings = [complement(slots["N"])]
    for found in readings:
        force, predicate = frame.force, found.as_term()
        if force is Quantifier.SOME and predicate.negated and not frame.swap:
            force, predicate = Quantifier.SOME_NOT, predicate.positive
        pair = (predicate, subject) if frame.swap else (subject, predicate)
        extra = (Note(frame.note, (" ".join(slots["S"]),)),) if frame.note else ()
        yield parse_of(force, *pair, notes=(*notes, *found.notes, *extra))
