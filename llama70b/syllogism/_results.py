"""What the checker hands back: models and verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llama70b.syllogism._morphology import one_of, with_article
from llama70b.syllogism._verbalise import is_count_noun, join, says, statement_words

if TYPE_CHECKING:
    from llama70b.syllogism._kinds import Import, Language, Verdict
    from llama70b.syllogism._types import Statement, Term

_SPOKEN_PROPERTIES = 8
"""Properties of one individual that are put into words; the object holds all of them."""


@dataclass(frozen=True, slots=True)
class Individual:
    """One thing of a model.

    Attributes:
        name: Its proper name where a singular term names it, else a letter.
        has: The classes it is in.
        lacks: The classes it is not in.
    """

    name: str
    has: tuple[Term, ...]
    lacks: tuple[Term, ...]

    @property
    def named(self) -> bool:
        """Whether a singular term of the argument names it."""
        return any(term.singular for term in self.has)

    def words(self, language: Language = "en") -> str:
        """Describe it: "a rose that is a flower and does not fade quickly"."""
        positive = [term for term in self.has if not term.singular]
        if language == "zh":
            return self._words_zh(positive)
        if self.named:
            head, who = self.name, ", who "
        else:
            noun = next((term for term in positive if is_count_noun(term)), None)
            head = with_article(one_of(noun.name)) if noun else "something"
            positive = [term for term in positive if term is not noun]
            who = " that "
        clauses = self._clauses(positive, "en")
        return head + who + join(clauses, language="en") if clauses else head

    def _words_zh(self, positive: list[Term]) -> str:
        head = self.name if self.named else "一个个体"
        clauses = self._clauses(positive, "zh")
        return f"{head}（{join(clauses, language='zh')}）" if clauses else head

    def _clauses(self, positive: list[Term], language: Language) -> list[str]:
        literals = [*positive, *(term.complement for term in self.lacks if not term.singular)]
        clauses = [says(term, language=language) for term in literals[:_SPOKEN_PROPERTIES]]
        if len(literals) > _SPOKEN_PROPERTIES:
            rest = len(literals) - _SPOKEN_PROPERTIES
            clauses.append(f"has {rest} more properties" if language == "en" else f"另有{rest}项")
        return clauses

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-able object."""
        return {
            "name": self.name,
            "has": [term.name for term in self.has],
            "lacks": [term.name for term in self.lacks],
        }


@dataclass(frozen=True, slots=True)
class Model:
    """A finite world: all the things there are, and what they are."""

    individuals: tuple[Individual, ...]

    def words(self, language: Language = "en") -> str:
        """Describe the world in one phrase."""
        phrases = [individual.words(language) for individual in self.individuals]
        return "；".join(phrases) if language == "zh" else "; ".join(phrases)

    def __str__(self) -> str:
        zh = any(term.language == "zh" for one in self.individuals for term in (*one.has, *one.lacks))
        return self.words("zh" if zh else "en")

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-able object."""
        return {"words": str(self), "individuals": [individual.to_dict() for individual in self.individuals]}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The exact answer about one argument.

    Attributes:
        premises: What was given.
        conclusion: What was asked.
        import_: The convention of existential import the verdict is under.
        verdict: What the premises say about the conclusion.
        other_verdict: The verdict under the other convention, where it differs; else ``None``.
        form: "Barbara" ... "Calemos" for a valid syllogism, mood and figure ("AII-2") for an invalid one, ``None``
            for an argument of another shape.
        figure: 1 to 4 for a syllogism.
        countermodel: A smallest world with the premises true and the conclusion false, unless it is entailed.
        model: A smallest world with premises and conclusion true, for an undetermined conclusion.
        needed_premises: Positions (from 0) of a minimal set of premises that carries the verdict.
        derivation: One paragraph that shows why.
        assumptions: What the verdict rests on besides the premises.
    """

    premises: tuple[Statement, ...]
    conclusion: Statement
    import_: Import
    verdict: Verdict
    other_verdict: Verdict | None = None
    form: str | None = None
    figure: int | None = None
    countermodel: Model | None = None
    model: Model | None = None
    needed_premises: tuple[int, ...] = ()
    derivation: str = ""
    assumptions: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-able object; premises are numbered from 1 there."""
        return {
            "verdict": self.verdict.value,
            "import": self.import_,
            "other_verdict": self.other_verdict.value if self.other_verdict else None,
            "form": self.form,
            "figure": self.figure,
            "premises": [statement.to_dict() for statement in self.premises],
            "conclusion": self.conclusion.to_dict(),
            "countermodel": self.countermodel.to_dict() if self.countermodel else None,
            "model": self.model.to_dict() if self.model else None,
            "needed_premises": [
                {"number": position + 1, "words": statement_words(self.premises[position])}
                for position in self.needed_premises
            ],
            "derivation": self.derivation,
            "assumptions": list(self.assumptions),
        }
