"""The whole way: text -> reading -> verdict -> explanation."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Literal

from llama70b.syllogism._check import check, conclusions
from llama70b.syllogism._explain import explain
from llama70b.syllogism._kinds import Import, Language, Reason, Verdict
from llama70b.syllogism._messages import reason_words
from llama70b.syllogism._reader import read_argument, read_sentences
from llama70b.syllogism._reading import Reading, Refusal, RefusedSpan, SentenceReading
from llama70b.syllogism._verbalise import statement_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llama70b.syllogism._results import CheckResult, Model
    from llama70b.syllogism._types import Statement

ArgumentVerdict = Literal["entailed", "contradicted", "undetermined", "inconsistent_premises", "refused"]


@dataclass(frozen=True, slots=True)
class ArgumentResult:
    """The answer about one argument in words.

    Attributes:
        verdict: The checker's verdict, or ``refused``. For "what follows?" ``entailed`` when something does (see
            ``follows``), ``undetermined`` when nothing does.
        reading: How the text was read; ``None`` when refused.
        result: The checker's result; ``None`` when refused or when no conclusion was asked about.
        follows: All conclusions, when the text asks what follows.
        refusal: Why nothing was decided.
        import_: The convention of existential import.
        language: Of the text and the explanation.
        explanation: The answer in plain words, in the language of the text.
    """

    verdict: ArgumentVerdict
    import_: Import
    language: Language
    reading: Reading | None = None
    result: CheckResult | None = None
    follows: tuple[Statement, ...] = ()
    refusal: Refusal | None = None
    explanation: str = field(default="")

    @property
    def countermodel(self) -> Model | None:
        """A smallest world with true premises and a false conclusion."""
        return self.result.countermodel if self.result else None

    @property
    def form(self) -> str | None:
        """Name of the form, or mood and figure."""
        return self.result.form if self.result else None

    @property
    def needed_premises(self) -> tuple[int, ...]:
        """Positions (from 0) of a minimal set of premises that carries the verdict."""
        return self.result.needed_premises if self.result else ()

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What reading and verdict take for granted."""
        read = self.reading.assumptions if self.reading else ()
        return (*read, *(self.result.assumptions if self.result else ()))

    @property
    def refused(self) -> tuple[RefusedSpan, ...]:
        """The stretches that could not be read."""
        return self.refusal.spans if self.refusal else ()

    def to_dict(self) -> dict[str, object]:
        """Return the JSON-able object of ``llama70b syllogism check --json``."""
        result = self.result.to_dict() if self.result else {}
        return {
            "verdict": self.verdict,
            "import": self.import_,
            "other_verdict": result.get("other_verdict"),
            "reading": self.reading.to_dict() if self.reading else None,
            "form": self.form,
            "figure": result.get("figure"),
            "countermodel": result.get("countermodel"),
            "model": result.get("model"),
            "needed_premises": result.get("needed_premises", []),
            "derivation": result.get("derivation"),
            "follows": [statement_words(statement) for statement in self.follows],
            "assumptions": list(self.assumptions),
            "refused": [span.to_dict() for span in self.refused],
            "explanation": self.explanation,
            "language": self.language,
        }


def check_argument(
    argument: str | Sequence[str | Statement],
    conclusion: str | Statement | None = None,
    *,
    import_: Import = "all_terms",
    readings: Mapping[tuple[int, int], Statement] | None = None,
) -> ArgumentResult:
    """Read an argument and decide it exactly.

    Args:
        argument: The whole text; or the premises alone, one sentence each, the conclusion given apart.
        conclusion: The conclusion, when ``argument`` is a list of premises; ``None`` there: what follows?
        import_: Convention of existential import, as for `check`.
        readings: Readings made elsewhere of stretches of a text that were refused, by their span (start, end).

    Returns:
        The result. Text that cannot be read for certain is refused in it, nothing is raised and nothing is guessed.
    """
    if isinstance(argument, str) and conclusion is None:
        read = read_argument(argument, readings)
    else:
        premises = [argument] if isinstance(argument, str) else list(argument)
        read = read_sentences(premises, conclusion)
    if isinstance(read, Refusal):
        return _refused(read, import_)
    return _decided(read, import_)


def _decided(reading: Reading, import_: Import) -> ArgumentResult:
    if reading.conclusion is None:
        return _what_follows(reading, import_)
    worlds = [tuple(filter(None, (s.statement, s.alternative))) for s in reading.sentences]
    results = [check(world[:-1], world[-1], import_=import_) for world in product(*worlds)]
    result = results[0]
    if any(other.verdict is not result.verdict for other in results):
        ambiguous = [sentence for sentence in reading.sentences if sentence.alternative]
        return _refused(_refusal(reading, Reason.AMBIGUOUS, ambiguous), import_)
    if result.verdict is Verdict.UNDETERMINED:
        reason = _unjoined(reading)
        if reason is not None:
            return _refused(_refusal(reading, reason, reading.sentences[-1:]), import_)
    return ArgumentResult(
        result.verdict.value,
        import_,
        reading.language,
        reading=reading,
        result=result,
        explanation=explain(reading, result),
    )


def _unjoined(reading: Reading) -> Reason | None:
    """Say why an open verdict cannot be trusted: terms that should meet were perhaps not recognised as the same."""
    assert reading.conclusion is not None
    names = dict.fromkeys(term.name for s in (*reading.premises, reading.conclusion) for term in s.terms)
    premise_names = {term.name for statement in reading.premises for term in statement.terms}
    for whole in names:
        head = whole.split(" that ")[0].split(" who ")[0]
        if head != whole and head in names:
            return Reason.COMPOUND_TERM
    if len(names) > len(reading.premises) + 1:
        return Reason.FOUR_TERMS
    if any(term.name not in premise_names for term in reading.conclusion.terms):
        return Reason.FOUR_TERMS
    return None


def _what_follows(reading: Reading, import_: Import) -> ArgumentResult:
    if any(sentence.alternative for sentence in reading.sentences):
        ambiguous = [sentence for sentence in reading.sentences if sentence.alternative]
        return _refused(_refusal(reading, Reason.AMBIGUOUS, ambiguous), import_)
    premises = reading.premises
    follows = conclusions(premises, import_=import_)
    verdict: ArgumentVerdict = "entailed" if follows else "undetermined"
    if check(premises, premises[0], import_=import_).verdict is Verdict.INCONSISTENT_PREMISES:
        verdict = "inconsistent_premises"
    return ArgumentResult(
        verdict,
        import_,
        reading.language,
        reading=reading,
        follows=follows,
        explanation=explain(reading, None, follows=follows, inconsistent=verdict == "inconsistent_premises"),
    )


def _refusal(reading: Reading, reason: Reason, guilty: Sequence[SentenceReading]) -> Refusal:
    spans = tuple(
        RefusedSpan(s.start, s.end, s.source, reason, reason_words(reason, "", reading.language), s.role)
        for s in guilty
    )
    return Refusal(spans, reading.sentences, reading.language)


def _refused(refusal: Refusal, import_: Import) -> ArgumentResult:
    return ArgumentResult("refused", import_, refusal.language, refusal=refusal, explanation=explain(refusal, None))
