"""Terms and categorical statements: the values everything else is about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from llama70b.syllogism._kinds import Language, Quantifier, TermKind
from llama70b.syllogism._verbalise import statement_words, term_words


@dataclass(frozen=True, slots=True)
class Term:
    """A class of things, or one named thing.

    Two terms are the same class when ``name`` is the same; ``negated`` says its complement.

    Attributes:
        name: The words of the class: ``roses``, ``fade quickly``, ``mortal``, ``Socrates``.
        negated: The complement of the class ("non-roses").
        singular: The class has exactly one member, the bearer of the name.
        kind: What the words are; only used for wording, never for deciding. ``None``: use them as they are.
    """

    name: str
    negated: bool = False
    singular: bool = False
    kind: TermKind | None = field(default=None, compare=False)

    @property
    def positive(self) -> Term:
        """The class itself, without the negation."""
        return replace(self, negated=False) if self.negated else self

    @property
    def complement(self) -> Term:
        """The complement of the class."""
        return replace(self, negated=not self.negated)

    @property
    def language(self) -> Language:
        """``zh`` when the name holds a Chinese character, else ``en``."""
        return "zh" if any("\u4e00" <= char <= "\u9fff" for char in self.name) else "en"

    def __str__(self) -> str:
        return term_words(self)

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-able object."""
        return {
            "name": self.name,
            "negated": self.negated,
            "singular": self.singular,
            "kind": self.kind.value if self.kind else None,
        }


@dataclass(frozen=True, slots=True)
class Statement:
    """One categorical statement: quantifier, subject, predicate.

    With a singular subject A and I both say "Socrates is ...", E and O "Socrates is not ...".

    Attributes:
        quantifier: One of the four forms.
        subject: The class that is quantified.
        predicate: The class that is said of it.
        source: The user's own words it was read from, if any; not part of its identity.
    """

    quantifier: Quantifier
    subject: Term
    predicate: Term
    source: str | None = field(default=None, compare=False)

    @property
    def terms(self) -> tuple[Term, Term]:
        """Subject and predicate."""
        return (self.subject, self.predicate)

    @property
    def contradictory(self) -> Statement:
        """The statement that is true exactly when this one is false."""
        return replace(self, quantifier=self.quantifier.contradictory)

    @property
    def obverted(self) -> Statement:
        """The same claim with the predicate not negated, so far as obversion can do it."""
        if not self.predicate.negated:
            return self
        return replace(self, quantifier=self.quantifier.obverse, predicate=self.predicate.complement)

    @property
    def language(self) -> Language:
        """The language of its terms, or of the words it was read from ("所有A都是B")."""
        words = self.subject.name + self.predicate.name + (self.source or "")
        return "zh" if any("\u4e00" <= char <= "\u9fff" for char in words) else "en"

    def __str__(self) -> str:
        return statement_words(self)

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-able object."""
        return {
            "quantifier": self.quantifier.value,
            "letter": self.quantifier.letter,
            "subject": self.subject.to_dict(),
            "predicate": self.predicate.to_dict(),
            "words": str(self),
            "source": self.source,
        }
