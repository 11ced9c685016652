"""Model-assisted reading: a model is asked about refused sentences only, one at a time, and believed only if guarded.

`plan` is the whole procedure without I/O: it yields what to ask and takes the answers. `check_assisted` and
`acheck_assisted` drive it with any function that takes messages and a JSON schema and returns the model's text;
`completer` and `acompleter` make that function of a `Client` or an `AsyncClient`.

Example:
    >>> result = check_assisted(text, completer(Client()))
    >>> result.verdict, [reading.words for reading in result.readings]
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from llama70b.reasoning._ask import Ask, alignment_question, sentence_question
from llama70b.reasoning._guards import ASSISTABLE, Doubt, guarded, proposal_of
from llama70b.reasoning.tools import summary
from llama70b.syllogism import ArgumentResult, Import, Reason, RefusedSpan, Statement, Term, check_argument, verbalise
from llama70b.syllogism._messages import note_words
from llama70b.syllogism._parse import Note
from llama70b.types import ChatRequest, Message

if TYPE_CHECKING:
    from llama70b.client import AsyncClient, Client

Complete = Callable[[Sequence[Mapping[str, str]], Mapping[str, Any]], str]
"""Messages (`role`, `content`) and a JSON schema -> the model's text. Temperature 0 is best."""
AsyncComplete = Callable[[Sequence[Mapping[str, str]], Mapping[str, Any]], Awaitable[str]]
Plan = Generator[Ask, str, "AssistedResult"]


_MOST_TOKENS = 160
_MOST_SENTENCES = 6
_STEM = 4


@dataclass(frozen=True, slots=True)
class ModelReading:
    """A sentence that a model read, and every guard let pass.

    Attributes:
        source: The user's words.
        statement: The reading.
        votes: How many of the answers gave this form.
    """

    source: str
    statement: Statement
    votes: int = 1

    @property
    def words(self) -> str:
        """The canonical sentence."""
        return verbalise(self.statement)


@dataclass(frozen=True, slots=True)
class AssistedResult:
    """The answer about one argument, and what a model contributed to it.

    Attributes:
        result: The checker's result; refused if a doubt remains.
        readings: Sentences a model read.
        aligned: Pairs of terms a model took for the same class.
        doubts: Sentences a model was asked about in vain, each with the guard it failed.
        calls: How often the model was asked.
    """

    result: ArgumentResult
    readings: tuple[ModelReading, ...] = ()
    aligned: tuple[tuple[str, str], ...] = ()
    doubts: tuple[tuple[str, str], ...] = ()
    calls: int = 0
    kept: tuple[str, ...] = field(default=())

    @property
    def verdict(self) -> str:
        """The checker's verdict, or `refused`."""
        return self.result.verdict

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the verdict takes for granted, the model's part included."""
        language = self.result.language
        aligned = [note_words(Note("aligned_by_model", pair), language) for pair in self.aligned]
        return tuple(dict.fromkeys((*self.kept, *aligned, *self.result.assumptions)))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able object of `llama70b syllogism check --assist --json`."""
        return {
            **self.result.to_dict(),
            "assumptions": list(self.assumptions),
            "assisted": {
                "calls": self.calls,
                "readings": [
                    {"source": one.source, "words": one.words, "votes": one.votes, "statement": one.statement.to_dict()}
                    for one in self.readings
                ],
                "aligned": [list(pair) for pair in self.aligned],
                "doubts": [{"source": source, "why": why} for source, why in self.doubts],
            },
        }


def plan(text: str, *, import_: Import = "all_terms", votes: int = 1) -> Plan:
    """Read and decide an argument, asking a model where the grammar refuses: a generator without I/O.

    Args:
        text: The user's text.
        import_: Convention of existential import.
        votes: How often to ask about one sentence, each time with the examples in another order; more than half of
            the answers must give the same form.

    Yields:
        What to ask next; send the model's text back.

    Returns:
        The result.

    Raises:
        ValueError: `votes` is below 1.
    """
    if votes < 1:
        raise ValueError(f"votes is {votes}: give 1 or more")
    result = check_argument(text, import_=import_)
    calls = 0
    readings: list[ModelReading] = []
    doubts: list[tuple[str, str]] = []
    if askable(result):
        for span in result.refused:
            reading, doubt = yield from _one(span, votes)
            calls += votes
            if reading is None:
                doubts.append((span.text, doubt))
            else:
                readings.append(reading)
        if not doubts:
            supplied = {
                (span.start, span.end): reading.statement
                for span, reading in zip(result.refused, readings, strict=True)
            }
            result = check_argument(text, import_=import_, readings=supplied)
    if [span.reason for span in result.refused] == [Reason.FOUR_TERMS]:
        joined = yield from _joined(result, import_)
        decided, pairs, asked, kept = joined
        return AssistedResult(decided, tuple(readings), pairs, tuple(doubts), calls + asked, kept)
    return AssistedResult(result, tuple(readings), doubts=tuple(doubts), calls=calls)


def worth_asking(result: ArgumentResult) -> bool:
    """Whether a model could help with a result: with sentences that were not read, or terms that do not join up."""
    return askable(result) or [span.reason for span in result.refused] == [Reason.FOUR_TERMS]


def askable(result: ArgumentResult) -> bool:
    """Whether every stretch that was refused is a sentence that a model may be asked about."""
    return 0 < len(result.refused) <= _MOST_SENTENCES and all(span.reason in ASSISTABLE for span in result.refused)


def _one(span: RefusedSpan, votes: int) -> Generator[Ask, str, tuple[ModelReading | None, str]]:
    found: list[Statement] = []
    doubt = ""
    for turn in range(votes):
        answer = yield sentence_question(span.text, turn)
        try:
            found.append(guarded(span.text, proposal_of(_decoded(answer))))
        except Doubt as error:
            doubt = str(error)
    forms = Counter(_form(statement) for statement in found)
    if not forms:
        return None, doubt
    form, count = forms.most_common(1)[0]
    if 2 * count <= votes:
        return None, f"only {count} of {votes} answers agree"
    return ModelReading(span.text, next(one for one in found if _form(one) == form), count), ""


def _form(statement: Statement) -> tuple[str, frozenset[Term] | tuple[Term, Term]]:
    """Return what a statement says: "no A are B" and "no B are A" are one form, so are the two of "some"."""
    symmetric = statement.quantifier.value in ("no", "some")
    return statement.quantifier.value, frozenset(statement.terms) if symmetric else statement.terms


def _decoded(answer: str) -> object:
    """Return the JSON object in an answer, fenced or with words around it."""
    start, end = answer.find("{"), answer.rfind("}")
    try:
        return json.loads(answer[start : end + 1]) if 0 <= start < end else None
    except ValueError:
        return None


_Joined = tuple[ArgumentResult, tuple[tuple[str, str], ...], int, tuple[str, ...]]


def _joined(result: ArgumentResult, import_: Import) -> Generator[Ask, str, _Joined]:
    """Ask whether terms of the same content words name the same class; only such pairs may be joined."""
    refusal = result.refusal
    assert refusal is not None
    sentences = refusal.sentences
    terms = {term.name: term for sentence in sentences for term in sentence.statement.terms}
    pairs = [
        (a, b) for a, b in combinations(terms, 2)
        if _stems(a) == _stems(b) and terms[a].singular == terms[b].singular
    ]  # fmt: skip
    accepted: list[tuple[str, str]] = []
    for pair in pairs:
        answer = yield alignment_question(pair, [sentence.source for sentence in sentences])
        if _decoded(answer) == {"same": "yes"}:
            accepted.append(pair)
    if not accepted:
        return result, (), len(pairs), ()
    renamed = {b: terms[a] for a, b in reversed(accepted)}

    def changed(term: Term) -> Term:
        other = renamed.get(term.name)
        return term if other is None else replace(other, negated=term.negated)

    statements = [
        replace(one.statement, subject=changed(one.statement.subject), predicate=changed(one.statement.predicate))
        for one in sentences
    ]
    last = statements.pop() if sentences[-1].role == "conclusion" else None
    decided = check_argument(statements, last, import_=import_)
    if decided.verdict == "refused":
        return result, (), len(pairs), ()
    kept = tuple(words for sentence in sentences for words in sentence.assumptions)
    return decided, tuple(accepted), len(pairs), kept


_LIGHT = frozenset("a an the of that who which are is in to for with by on at people person things thing and".split())


def _stems(name: str) -> frozenset[str]:
    if not name.isascii():
        return frozenset(name.replace("的", ""))
    return frozenset(word.removesuffix("'s")[:_STEM] for word in name.lower().split() if word not in _LIGHT)


def check_assisted(
    argument: str, complete: Complete, *, import_: Import = "all_terms", votes: int = 1
) -> AssistedResult:
    """Read an argument, with a model's help for what the grammar refuses, and decide it exactly.

    Args:
        argument: The whole text.
        complete: The model: messages and a JSON schema in, its text out. What it raises is not caught.
        import_: Convention of existential import.
        votes: See `plan`.
    """
    steps = plan(argument, import_=import_, votes=votes)
    try:
        ask = next(steps)
        while True:
            ask = steps.send(complete(ask.messages, ask.json_schema))
    except StopIteration as done:
        decided: AssistedResult = done.value
        return decided


async def acheck_assisted(
    argument: str, complete: AsyncComplete, *, import_: Import = "all_terms", votes: int = 1
) -> AssistedResult:
    """Do the same with a model that is awaited."""
    steps = plan(argument, import_=import_, votes=votes)
    try:
        ask = next(steps)
        while True:
            ask = steps.send(await complete(ask.messages, ask.json_schema))
    except StopIteration as done:
        decided: AssistedResult = done.value
        return decided


def completer(client: Client, **fields: Any) -> Complete:
    """Return the function `check_assisted` takes, over the core client.

    Args:
        client: The endpoint's client.
        **fields: Further fields of `ChatRequest`: `model`, `seed` ...
    """

    def complete(messages: Sequence[Mapping[str, str]], json_schema: Mapping[str, Any]) -> str:
        return client.chat(_request(messages, json_schema, fields)).text or ""

    return complete


def acompleter(client: AsyncClient, **fields: Any) -> AsyncComplete:
    """Return the function `acheck_assisted` takes, over the core client."""

    async def complete(messages: Sequence[Mapping[str, str]], json_schema: Mapping[str, Any]) -> str:
        return (await client.chat(_request(messages, json_schema, fields))).text or ""

    return complete


def _request(
    messages: Sequence[Mapping[str, str]], json_schema: Mapping[str, Any], fields: Mapping[str, Any]
) -> ChatRequest:
    told = tuple(Message(role=one["role"], content=one["content"]) for one in messages)  # type: ignore[arg-type]
    return ChatRequest(
        messages=told, response_format=json_format(json_schema),
        **{"temperature": 0.0, "max_tokens": _MOST_TOKENS, **fields},
    )  # fmt: skip


def json_format(json_schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `response_format` that constrains an answer to a schema."""
    return {"type": "json_schema", "json_schema": {"name": "reading", "schema": dict(json_schema), "strict": True}}


def summary_of(assisted: AssistedResult) -> dict[str, Any]:
    """Return a result as `tools.summary` does, with the sentences that a model read."""
    return {
        **summary(assisted.result),
        "assumptions": list(assisted.assumptions),
        "read_by_model": [reading.source for reading in assisted.readings],
    }
