"""What only the whole argument can settle about a statement: one thing or the kind, the same ones, one tense."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llama70b.syllogism._kinds import Reason
from llama70b.syllogism._parse import BOUND, DEFINITE, DEMONSTRATIVE, LASTING, PAST, Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama70b.syllogism._align import Alignment
    from llama70b.syllogism._reading import SentenceReading
    from llama70b.syllogism._segment import Piece
    from llama70b.syllogism._types import Statement


@dataclass(frozen=True, slots=True)
class Draft:
    """A statement with one candidate chosen, terms not aligned yet."""

    piece: Piece
    readings: tuple[Statement, ...]
    notes: tuple[Note, ...]


def doubt(
    drafts: Sequence[Draft], sentences: Sequence[SentenceReading], alignment: Alignment
) -> tuple[Draft, Reason] | None:
    """Return the first statement that the others leave in doubt, and why; None if there is none."""
    for found, reason in (
        (_doubtful_definite(drafts, alignment), Reason.DEFINITE),
        (_doubtful_these(drafts, sentences), Reason.PRONOUN),
        (_out_of_tense(drafts), Reason.TENSE),
        (_unmatched(drafts, sentences), Reason.PRONOUN),
    ):
        if found is not None:
            return found, reason
    return None


def _doubtful_definite(drafts: Sequence[Draft], alignment: Alignment) -> Draft | None:
    """Return a statement about "the X" where it matters whether one X is meant or the kind.

    It does not when the class is called "the X" wherever it occurs, and more than once.
    """
    definite = [draft for draft in drafts if any(note.code == DEFINITE for note in draft.notes)]
    for draft in definite:
        names = alignment.names(draft.readings[0].subject)
        again = sum(alignment.names(other.readings[0].subject) == names for other in definite)
        if len(names) > 1 or again == 1:
            return draft
    return None


def _doubtful_these(drafts: Sequence[Draft], sentences: Sequence[SentenceReading]) -> Draft | None:
    """Return a statement about "these X" where the X are not "these X" throughout, and more than once."""
    pointed = {
        index: note.words[0] for index, draft in enumerate(drafts) for note in draft.notes if note.code == DEMONSTRATIVE
    }
    for index, words in pointed.items():
        name = sentences[index].statement.subject.name
        uses = [
            (other, term is sentence.statement.subject)
            for other, sentence in enumerate(sentences)
            for term in sentence.statement.terms
            if term.name == name
        ]
        if len(uses) == 1 or any(not as_subject or pointed.get(other) != words for other, as_subject in uses):
            return drafts[index]
    return None


def _out_of_tense(drafts: Sequence[Draft]) -> Draft | None:
    """Return a statement about the past that meets others about the present.

    "Nero was an emperor. All emperors are rulers." is fine: of one individual, everything is said in one tense, and
    what is said of classes holds at any time. A class that was something is not the class that is.
    """

    def individual(draft: Draft) -> str:
        subject = draft.readings[0].subject
        return subject.name if subject.singular else ""

    past = {index for index, draft in enumerate(drafts) if any(note.code == PAST for note in draft.notes)}
    lasting = {index for index, draft in enumerate(drafts) if any(note.code == LASTING for note in draft.notes)}
    if not past or len(past | lasting) == len(drafts):
        return None
    present = {individual(draft) for index, draft in enumerate(drafts) if index not in past | lasting}
    for index in sorted(past):
        if not individual(drafts[index]) or individual(drafts[index]) in present:
            return drafts[index]
    return None


def _unmatched(drafts: Sequence[Draft], sentences: Sequence[SentenceReading]) -> Draft | None:
    """Return a statement with a property like "lose their leaves" that no other statement names."""
    used = Counter(name for one in sentences for name in {term.name for term in one.statement.terms})
    for draft, sentence in zip(drafts, sentences, strict=True):
        if any(note.code == BOUND for note in draft.notes) and used[sentence.statement.predicate.name] == 1:
            return draft
    return None
