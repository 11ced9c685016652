"""What a grammar hands to the reader: candidate readings of one sentence, or the reason for having none."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama70b.syllogism._kinds import Reason
    from llama70b.syllogism._types import Statement


class Certainty(IntEnum):
    """How a candidate found the border between subject and predicate; lower is better."""

    FUNCTION_WORD = 0
    """A copula, an auxiliary or a frame marks it."""
    KNOWN_VERB = 1
    """A known verb that agrees with the subject marks it."""
    CONTEXT = 2
    """Only the terms of the other sentences can confirm it."""


DEFINITE = "definite"
"""Code of the note on "the whale": one individual or the kind; the reader accepts it only where that cannot matter."""

PAST = "past"
"""Code of the note on a past tense: accepted only in an argument that stays in one tense."""

LASTING = "lasting"
"""Code of the note on a lasting result of the past ("were built in 1920"), or on a perfect ("have passed the exam")."""

BOUND = "bound"
"""Code of the note on a property with words that elsewhere point out of the sentence ("lose their leaves", "practise
every day"): accepted only where another statement names the same property, so that it is one term throughout."""

DEMONSTRATIVE = "these"
"""Code of the note on "these fruits": accepted only where the same words name the class throughout."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something a reading takes for granted.

    Attributes:
        code: Key of the sentence in ``_explain.NOTES``.
        words: The user's words it is about.
    """

    code: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parse:
    """One candidate reading of a sentence.

    Attributes:
        readings: The statement; two when the sentence is ambiguous between them.
        certainty: How sure the border between subject and predicate is.
        notes: What it takes for granted.
    """

    readings: tuple[Statement, ...]
    certainty: Certainty = Certainty.FUNCTION_WORD
    notes: tuple[Note, ...] = field(default=())


class Unreadable(Exception):
    """The words are outside the grammar.

    Args:
        reason: Why.
        words: The words that are at fault.
    """

    def __init__(self, reason: Reason, words: str = "") -> None:
        super().__init__(f"{reason.value}: {words}")
        self.reason = reason
        self.words = words


def logical_lines(table: str) -> list[str]:
    """Return the rows of a table of patterns: one a line, a line that ends in ``|`` goes on in the next."""
    joined = re.sub(r"\|\s*\n\s*", "|", table)
    return [line.strip() for line in joined.splitlines() if line.strip()]
