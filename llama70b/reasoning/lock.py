"""Decide from text and tool calls, and hold the model's answer to it: the verdict lock. Pure.

The user's own text decides wherever the closed grammar can read it, whatever the model passed to a tool; else the
last tool call that reached a verdict, unless the text holds something outside the calculus ("most", "unless" ...):
then nothing is decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llama70b.reasoning.stance import Claim, Stance, read_stance
from llama70b.reasoning.tools import summary
from llama70b.syllogism import Import, Reason, Statement, check_argument

Agreement = Literal["agrees", "disagrees", "silent"]
"""What the model's own words say beside the checker's verdict; silent: no clear verdict in them."""

_OUTSIDE = frozenset(
    [
        Reason.QUANTITY, Reason.NUMBER, Reason.CONDITIONAL, Reason.EXCEPTION, Reason.EXCLUSIVE, Reason.BOOLEAN,
        Reason.NEGATION, Reason.MODALITY, Reason.FREQUENCY, Reason.TENSE, Reason.ATTITUDE, Reason.RELATION,
        Reason.QUANTIFIER_IN_TERM,
    ]
)  # fmt: skip
_COMPATIBLE: Mapping[str, frozenset[Stance]] = {
    "entailed": frozenset([Stance.FOLLOWS]),
    "undetermined": frozenset([Stance.DOES_NOT_FOLLOW]),
    "contradicted": frozenset([Stance.CONTRADICTED, Stance.DOES_NOT_FOLLOW]),
    "inconsistent_premises": frozenset([Stance.CONTRADICTED]),
    "refused": frozenset(),
}
_HEADLINE = {
    "en": {
        "entailed": "Yes, it follows.",
        "undetermined": "No, it does not follow; the premises leave it open.",
        "contradicted": "No; the premises rule it out.",
        "inconsistent_premises": "The premises contradict each other; nothing can be concluded from them.",
    },
    "zh": {
        "entailed": "可以，结论成立。",
        "undetermined": "不能得出这个结论；前提没有决定它的真假。",
        "contradicted": "不能；前提排除了它。",
        "inconsistent_premises": "前提自相矛盾，由此什么也不能断定。",
    },
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What the checker decided about one question.

    Attributes:
        told: The checker's result, as `tools.summary` gives it.
        by: The user's text itself, a tool call of the model's, or sentences a model read under guard (`assisted`).
        language: Of the question.
        claim: The conclusion asked about, for reading answers.
        open_question: The text asks what follows.
    """

    told: Mapping[str, Any]
    by: Literal["text", "tool", "assisted"]
    language: str
    claim: Claim | None = None
    open_question: bool = False

    @property
    def verdict(self) -> str:
        """`entailed`, `contradicted`, `undetermined`, `inconsistent_premises` or `refused`."""
        return str(self.told["verdict"])


@dataclass(frozen=True, slots=True)
class Answer:
    """The structured result of an agent's turn.

    Attributes:
        verdict: The checker's.
        answer: The text to show: its verdict is the checker's.
        reading: The argument in canonical sentences, premises first.
        countermodel: A world that shows why it does not follow, in words.
        explanation: The checker's own explanation.
        assumptions: What reading and verdict take for granted.
        usage: Tokens of all the model's answers in the turn.
        form: Name of the form, or mood and figure.
        needed_premises: The premises that carry the verdict.
        other_verdict: The verdict under the other convention of existential import, where it differs.
        refused: What could not be read, and why.
        follows: What follows, if that was the question.
        decided_by: `text`, `tool` or `assisted`, see `Decision`.
        read_by_model: The user's sentences that a model read, each let pass by the guards.
        tool_calls: How often the model called a tool.
        model_answer: The model's own words.
        agreement: What they say beside the verdict.
        corrected: They said otherwise and were replaced.
    """

    verdict: str
    answer: str
    reading: tuple[str, ...]
    countermodel: str | None
    explanation: str
    assumptions: tuple[str, ...]
    usage: Mapping[str, int]
    form: str | None
    needed_premises: tuple[str, ...]
    other_verdict: str | None
    refused: tuple[Mapping[str, str], ...]
    follows: tuple[str, ...]
    decided_by: str
    tool_calls: int
    model_answer: str
    agreement: Agreement
    corrected: bool = field(default=False)
    read_by_model: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {
            name: list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
            for name in self.__slots__
            for value in (getattr(self, name),)
        }


def decide(
    text: str,
    outcomes: Sequence[Mapping[str, Any]] = (),
    *,
    import_: Import = "all_terms",
    assisted: Mapping[str, Any] | None = None,
) -> Decision:
    """Decide a question.

    Args:
        text: The user's question.
        outcomes: Results of the tools the model called for it, in order.
        import_: Convention of existential import.
        assisted: Result of model-assisted reading (`assisted.summary_of`), for a text that the grammar refuses.
    """
    own = check_argument(text, import_=import_)
    if own.verdict != "refused":
        reading = own.reading
        asked = reading.conclusion if reading else None
        return Decision(summary(own), "text", own.language, claim_of(asked), open_question=asked is None)
    if assisted is not None and assisted["verdict"] != "refused":
        return Decision(assisted, "assisted", own.language, open_question="follows" in assisted)
    outside = any(span.reason in _OUTSIDE for span in own.refused)
    reached = [told for told in outcomes if told.get("verdict") not in (None, "refused")]
    if reached and not outside:
        return Decision(reached[-1], "tool", own.language, open_question="follows" in reached[-1])
    return Decision(summary(own), "text", own.language)


def lock(
    text: str,
    model_answer: str,
    outcomes: Sequence[Mapping[str, Any]] = (),
    *,
    usage: Mapping[str, int] | None = None,
    import_: Import = "all_terms",
    assisted: Mapping[str, Any] | None = None,
) -> Answer:
    """Hold a model's answer to the checker's verdict.

    Words that agree are kept, under the verdict. Words that disagree, or that give a verdict on something the checker
    could not read, are replaced by the checker's explanation, and `corrected` says so. Words without a clear verdict
    are replaced too.

    Args:
        text: The user's question.
        model_answer: The model's last words.
        outcomes: Results of the tools it called, in order.
        usage: Tokens of the turn.
        import_: Convention of existential import.
        assisted: See `decide`.
    """
    decision = decide(text, outcomes, import_=import_, assisted=assisted)
    said = read_stance(model_answer, claim=decision.claim)
    agreement: Agreement = "silent"
    if said.stance is not Stance.UNCLEAR and not decision.open_question:
        agreement = "agrees" if said.stance in _COMPATIBLE[decision.verdict] else "disagrees"
    if said.weak and agreement == "agrees":
        agreement = "silent"  # a hint is enough to object to, not enough to quote
    told = decision.told
    return Answer(
        verdict=decision.verdict,
        answer=_shown(decision, model_answer, agreement, called=bool(outcomes)),
        reading=tuple(told.get("reading", ())),
        countermodel=told.get("countermodel"),
        explanation=str(told.get("explanation", "")),
        assumptions=tuple(told.get("assumptions", ())),
        usage=dict(usage or {}),
        form=told.get("form"),
        needed_premises=tuple(told.get("needed_premises", ())),
        other_verdict=told.get("other_verdict"),
        refused=tuple(told.get("refused", ())),
        follows=tuple(told.get("follows", ())),
        decided_by=decision.by,
        tool_calls=len(outcomes),
        model_answer=model_answer,
        agreement=agreement,
        corrected=agreement == "disagrees",
        read_by_model=tuple(told.get("read_by_model", ())),
    )


def _shown(decision: Decision, model_answer: str, agreement: Agreement, *, called: bool) -> str:
    verdict = headline(decision)
    if agreement == "agrees":
        return f"{verdict}\n\n{model_answer.strip()}"
    if decision.verdict == "refused" and agreement == "silent" and not called and model_answer.strip():
        return model_answer  # small talk: nothing was asked of the checker and nothing is claimed
    explanation = str(decision.told.get("explanation", ""))
    return explanation if decision.by != "tool" else f"{verdict}\n\n{explanation}".strip()


def headline(decision: Decision) -> str:
    """Return the line that gives the verdict, in the language of the question; "" when nothing was decided."""
    return _HEADLINE["zh" if decision.language == "zh" else "en"].get(decision.verdict, "")


def claim_of(statement: Statement | None) -> Claim | None:
    """Return a conclusion in the form the reader of answers takes."""
    if statement is None:
        return None
    quantifier = None if statement.subject.singular else statement.quantifier.value
    words = statement.source or str(statement)
    return Claim.of(words, statement.subject.name, statement.predicate.name, quantifier)
