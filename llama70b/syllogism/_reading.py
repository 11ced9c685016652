"""What the reader hands back: a reading of a whole argument, or refusals with spans and reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llama70b.syllogism._verbalise import statement_words

if TYPE_CHECKING:
    from llama70b.syllogism._kinds import Language, Reason
    from llama70b.syllogism._types import Statement

Role = Literal["premise", "conclusion"]


@dataclass(frozen=True, slots=True)
class SentenceReading:
    """One statement of the text as it was read.

    Attributes:
        role: Premise or conclusion.
        start: Where it starts in the text.
        end: Where it ends, exclusive.
        source: The user's words.
        statement: The reading.
        alternative: The other reading of an ambiguous sentence; both were decided.
        assumptions: What this reading takes for granted, in words.
        by_model: A model read it, not the grammar.
    """

    role: Role
    start: int
    end: int
    source: str
    statement: Statement
    alternative: Statement | None = None
    assumptions: tuple[str, ...] = ()
    by_model: bool = False

    @property
    def words(self) -> str:
        """The canonical sentence."""
        return statement_words(self.statement)

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-able object."""
        return {
            "role": self.role,
            "span": [self.start, self.end],
            "source": self.source,
            "words": self.words,
            "statement": self.statement.to_dict(),
            "alternative": statement_words(self.alternative) if self.alternative else None,
            "assumptions": list(self.assumptions),
            "by_model": self.by_model,
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """A whole argument, read for certain.

    Attributes:
        premises: The premises, terms aligned.
        conclusion: The conclusion; ``None`` when the text asks what follows.
        sentences: Each statement with its place in the text.
        assumptions: Everything taken for granted, in words, once each.
        language: Of the text.
    """

    premises: tuple[Statement, ...]
    conclusion: Statement | None
    sentences: tuple[SentenceReading, ...]
    assumptions: tuple[str, ...]
    language: Language

    @property
    def words(self) -> tuple[str, ...]:
        """The canonical sentences, premises first."""
        conclusion = (self.conclusion,) if self.conclusion else ()
        return tuple(statement_words(statement) for statement in (*self.premises, *conclusion))

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-able object."""
        return {
            "premises": [statement_words(statement) for statement in self.premises],
            "conclusion": statement_words(self.conclusion) if self.conclusion else None,
            "sentences": [sentence.to_dict() for sentence in self.sentences],
            "assumptions": list(self.assumptions),
            "language": self.language,
        }


@dataclass(frozen=True, slots=True)
class RefusedSpan:
    """A stretch of the text that could not be read for certain.

    Attributes:
        start: Where it starts in the text.
        end: Where it ends, exclusive.
        text: The user's words.
        reason: The code of the reason.
        message: The reason in a sentence.
        role: What the stretch is in the argument, as far as the markers say.
    """

    start: int
    end: int
    text: str
    reason: Reason
    message: str
    role: Role | None = None

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-able object."""
        return {
            "span": [self.start, self.end],
            "text": self.text,
            "reason": self.reason.value,
            "message": self.message,
            "role": self.role,
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """The text was not read: nothing is decided.

    Attributes:
        spans: Every stretch at fault, at least one, in the order of the text.
        sentences: The statements that were read, terms not aligned.
        language: Of the text.
    """

    spans: tuple[RefusedSpan, ...]
    sentences: tuple[SentenceReading, ...]
    language: Language

    @property
    def reason(self) -> Reason:
        """The code of the first reason."""
        return self.spans[0].reason

    @property
    def message(self) -> str:
        """The first reason in a sentence."""
        return self.spans[0].message

    @property
    def start(self) -> int:
        """Where the first stretch starts."""
        return self.spans[0].start

    @property
    def end(self) -> int:
        """Where the first stretch ends."""
        return self.spans[0].end

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-able object."""
        return {
            "refused": [span.to_dict() for span in self.spans],
            "sentences": [sentence.to_dict() for sentence in self.sentences],
            "language": self.language,
        }
