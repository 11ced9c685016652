"""The checker as tools for a model: definitions, a form that cannot misquote, and the calls themselves. Pure.

Three tools, the same for every framework:

* `check_argument`: the user's sentences, word for word; they are read by the closed grammar;
* `check_statements`: statements already formalised, for sentences the grammar refuses;
* `conclusions`: what follows from premises.

Whatever a model passes, `call_tool` returns an object, never an exception: an error is data it can repair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llama70b.reasoning._guards import ASSISTABLE, Doubt, Proposal, guarded
from llama70b.syllogism import (
    ArgumentResult,
    Import,
    Quantifier,
    Reading,
    SentenceReading,
    Statement,
    Term,
    check,
    check_argument,
    read_argument,
    read_statement,
    spans,
    verbalise,
)
from llama70b.syllogism._align import key, same

_MOST_PREMISES = 24
_MOST_CHARS = 4000


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool as a model sees it.

    Attributes:
        name: Its name.
        description: What it does.
        parameters: JSON schema of its arguments.
    """

    name: str
    description: str
    parameters: dict[str, Any]

    def as_openai(self) -> dict[str, Any]:
        """Return it in the form of OpenAI's `tools`, which every framework takes."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


def _object(properties: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


_SENTENCE = {"type": "string", "maxLength": 300}
_SENTENCES = {"type": "array", "items": _SENTENCE, "minItems": 1, "maxItems": _MOST_PREMISES}
_STATEMENT = _object(
    {
        "quantifier": {"type": "string", "enum": [kind.value for kind in Quantifier]},
        "subject": {"type": "string", "maxLength": 120},
        "predicate": {"type": "string", "maxLength": 120},
        "subject_negated": {"type": "boolean"},
        "predicate_negated": {"type": "boolean"},
    },
    ("quantifier", "subject", "predicate"),
)

CHECK_ARGUMENT = ToolDefinition(
    "check_argument",
    "Decide exactly whether a conclusion follows from premises. Copy the user's sentences word for word.",
    _object(
        {
            "premises": _SENTENCES,
            "conclusion": _SENTENCE,
        },
        ("premises", "conclusion"),
    ),
)
CHECK_STATEMENTS = ToolDefinition(
    "check_statements",
    "The same for statements you formalised yourself, with the user's own nouns. Only if check_argument refused.",
    _object(
        {
            "premises": {"type": "array", "items": _STATEMENT, "minItems": 1, "maxItems": _MOST_PREMISES},
            "conclusion": _STATEMENT,
        },
        ("premises", "conclusion"),
    ),
)
CONCLUSIONS = ToolDefinition(
    "conclusions",
    "List everything that follows from premises. Copy the user's sentences word for word.",
    _object(
        {"premises": {"type": "array", "items": _SENTENCE, "minItems": 1, "maxItems": _MOST_PREMISES}}, ("premises",)
    ),
)
TOOLS: tuple[ToolDefinition, ...] = (CHECK_ARGUMENT, CHECK_STATEMENTS, CONCLUSIONS)


def constrained(text: str) -> ToolDefinition | None:
    """Return the tool for one text, its arguments limited to that text's own clauses; None if it has too few.

    A model that may only choose among the user's clauses makes the call itself, but cannot misquote. The premises are
    chosen as a whole list: a model too small to copy a sentence also repeats or forgets one (measured with 135 million
    parameters: notes on the local engine). Where the grammar knows which clause is the conclusion, only the order is
    left to choose; else every clause may be the conclusion of the others.

    Args:
        text: The user's question.
    """
    reading = read_argument(text)
    clauses = list(spans(text))[:_MOST_PREMISES]
    if isinstance(reading, Reading):
        premises = [sentence.source for sentence in reading.sentences if sentence.role == "premise"]
        concluding = [sentence.source for sentence in reading.sentences if sentence.role == "conclusion"]
        if not concluding:
            return ToolDefinition(
                CONCLUSIONS.name,
                CONCLUSIONS.description,
                _object({"premises": {"enum": _orders(premises)}}, ("premises",)),
            )
        lists = _orders(premises)
    elif len(clauses) > 1:
        concluding = list(reversed(clauses))  # the last clause is the likeliest conclusion
        lists = [[clause for clause in clauses if clause != one] for one in concluding]
    else:
        return None
    properties = {"premises": {"enum": lists}, "conclusion": {"enum": concluding}}
    return ToolDefinition(
        CHECK_ARGUMENT.name, CHECK_ARGUMENT.description, _object(properties, ("premises", "conclusion"))
    )


def _orders(premises: list[str]) -> list[list[str]]:
    backwards = premises[::-1]
    return [premises, backwards] if backwards != premises else [premises]


def call_tool(name: str, arguments: Mapping[str, Any], *, text: str, import_: Import = "all_terms") -> dict[str, Any]:
    """Run one of the tools.

    Args:
        name: Its name.
        arguments: What the model passed.
        text: All that the user said: the words passed must come from there.
        import_: Convention of existential import.

    Returns:
        The result (see `summary`), or `{"error": ..., "hint": ...}`.
    """
    known: dict[str, Callable[[Mapping[str, Any], str, Import], dict[str, Any]]] = {
        CHECK_ARGUMENT.name: _check_argument,
        CHECK_STATEMENTS.name: _check_statements,
        CONCLUSIONS.name: _conclusions,
    }
    if name not in known:
        return _error(f"there is no tool {name[:60]!r}", f"the tools are {', '.join(known)}")
    try:
        return known[name](arguments, text, import_)
    except _BadArgument as error:
        return _error(str(error), error.hint)


class _BadArgument(Exception):
    """An argument that cannot work; becomes data."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _error(message: str, hint: str) -> dict[str, Any]:
    return {"error": message, "hint": hint}


def _check_argument(arguments: Mapping[str, Any], text: str, import_: Import) -> dict[str, Any]:
    premises = [_quoted(item, text) for item in _list(arguments, "premises")]
    conclusion = _quoted(arguments.get("conclusion"), text)
    own = read_argument(text)
    if isinstance(own, Reading) and own.conclusion is not None:
        _complete(premises, own)
    return summary(check_argument(premises, conclusion, import_=import_))


def _conclusions(arguments: Mapping[str, Any], text: str, import_: Import) -> dict[str, Any]:
    premises = [_quoted(item, text) for item in _list(arguments, "premises")]
    return summary(check_argument(premises, None, import_=import_))


def _check_statements(arguments: Mapping[str, Any], text: str, import_: Import) -> dict[str, Any]:
    premises = [_statement(item, text) for item in _list(arguments, "premises")]
    conclusion = _statement(arguments.get("conclusion"), text)
    result = check(premises, conclusion, import_=import_)
    return {
        "verdict": result.verdict.value,
        "reading": [verbalise(statement) for statement in (*premises, conclusion)],
        "form": result.form,
        "countermodel": str(result.countermodel) if result.countermodel else None,
        "other_verdict": result.other_verdict.value if result.other_verdict else None,
        "needed_premises": [verbalise(premises[position]) for position in result.needed_premises],
        "assumptions": [
            *result.assumptions,
            "the model put the sentences into this form; the checker could not read them",
        ],
        "explanation": result.derivation,
        "formalised_by_model": True,
    }


def summary(result: ArgumentResult) -> dict[str, Any]:
    """Return a result as a small JSON-able object: what a model needs to explain it, in a 4096-token window."""
    other = result.result.other_verdict if result.result else None
    reading = result.reading.words if result.reading else ()
    told: dict[str, Any] = {
        "verdict": result.verdict,
        "reading": list(reading),
        "form": result.form,
        "countermodel": str(result.countermodel) if result.countermodel else None,
        "other_verdict": other.value if other else None,
        "needed_premises": [result.reading.words[position] for position in result.needed_premises]
        if result.reading
        else [],
        "assumptions": list(result.assumptions),
        "explanation": result.explanation,
    }
    if result.refused:
        told["refused"] = [
            {"text": span.text, "reason": span.reason.value, "message": span.message} for span in result.refused
        ]
    if result.reading is not None and result.reading.conclusion is None:
        told["follows"] = [verbalise(statement) for statement in result.follows]
    return told


def for_model(told: Mapping[str, Any]) -> str:
    """Return a result as the tool message's text: without empty fields, nor what the explanation repeats."""
    return json.dumps({key: value for key, value in told.items() if value and key != "reading"}, ensure_ascii=False)


def _list(arguments: Mapping[str, Any], name: str) -> list[Any]:
    value = arguments.get(name)
    if not isinstance(value, list | tuple) or not value:
        raise _BadArgument(f"{name} is missing or not a list", f"give {name} as a list with one sentence per item")
    if len(value) > _MOST_PREMISES:
        raise _BadArgument(f"{len(value)} {name}", f"give {_MOST_PREMISES} at most")
    return list(value)


def _quoted(value: object, text: str) -> str:
    """Return a sentence if it is the user's own, word for word (case, spaces and punctuation aside)."""
    if not isinstance(value, str) or not value.strip():
        raise _BadArgument("a sentence is missing or not text", "pass premises and conclusion, one sentence each")
    if len(value) > _MOST_CHARS:
        raise _BadArgument(f"a sentence of {len(value)} characters", "pass one sentence per item")
    if _bare(value) not in _bare(text):
        raise _BadArgument(f"the user did not say {value[:120]!r}", "copy the user's own words, without changing them")
    return value


def _bare(text: str) -> str:
    words = " ".join(re.findall(r"[\w'\u2019-]+", text.lower()))
    return f" {words} " if words.isascii() else words


def _complete(premises: Sequence[str], own: Reading) -> None:
    given = [_bare(premise) for premise in premises]
    for sentence in own.sentences:
        source = _bare(sentence.source)
        if sentence.role == "premise" and not any(source.strip() in one for one in given):
            raise _BadArgument(f"the premise {sentence.source!r} is left out", "pass all of the user's premises")


def _statement(value: object, text: str) -> Statement:
    if not isinstance(value, Mapping):
        raise _BadArgument("a statement is not an object", "give quantifier, subject and predicate")
    try:
        quantifier = Quantifier(str(value.get("quantifier")))
    except ValueError:
        kinds = ", ".join(kind.value for kind in Quantifier)
        raise _BadArgument(f"unknown quantifier {str(value.get('quantifier'))[:40]!r}", f"one of {kinds}") from None
    subject, predicate = (
        Term(_own_words(value.get(name), text), negated=value.get(f"{name}_negated") is True)
        for name in ("subject", "predicate")
    )
    if subject.name == predicate.name:
        raise _BadArgument("subject and predicate are the same", "a statement relates two different classes")
    statement = Statement(quantifier, subject, predicate)
    if not any(_says(clause, statement) for clause in spans(text)):
        raise _BadArgument(f"no sentence of the user's says {str(statement)[:120]!r}", "formalise what the user said")
    return statement


def _says(clause: str, statement: Statement) -> bool:
    """Whether a clause says a statement, by the grammar's reading of it or by the guards of model-assisted reading."""
    read = read_statement(clause)
    if isinstance(read, SentenceReading):
        return any(_alike(one, statement) for one in (read.statement, read.alternative) if one is not None)
    if read.reason not in ASSISTABLE or statement.subject.negated or statement.predicate.negated:
        return False
    try:
        guarded(clause, Proposal(statement.quantifier, statement.subject.name, statement.predicate.name))
    except Doubt:
        return False
    return True


def _alike(read: Statement, given: Statement) -> bool:
    """Whether two statements are the same claim over the same words: "no A are B" is "all A are not B"."""

    def forms(statement: Statement) -> list[tuple[Quantifier, Term, Term]]:
        subject, predicate = statement.terms
        found = [(statement.quantifier, subject, predicate)]
        if statement.quantifier in (Quantifier.NO, Quantifier.SOME):
            found.append((statement.quantifier, predicate, subject))
        return found + [(kind.obverse, s, p.complement) for kind, s, p in found]

    def bare(term: Term) -> str:
        kept = [word for word in term.name.lower().split() if word not in _FREE]
        return " ".join(kept or term.name.lower().split())

    def met(left: Term, right: Term) -> bool:
        return left.negated == right.negated and same(key(bare(left)), key(bare(right)))

    if read.subject.singular:  # of one individual "all" and "some" say the same
        given = replace(given, quantifier=_OF_ONE[given.quantifier])
    return any(a[0] is b[0] and met(a[1], b[1]) and met(a[2], b[2]) for a in forms(read) for b in forms(given))


_OF_ONE = {
    Quantifier.ALL: Quantifier.ALL,
    Quantifier.SOME: Quantifier.ALL,
    Quantifier.NO: Quantifier.NO,
    Quantifier.SOME_NOT: Quantifier.NO,
}


def _own_words(value: object, text: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _BadArgument("subject or predicate is missing", "name both classes with the user's own words")
    words = re.findall(r"[\w'-]+", value.lower())
    said = {word[:4] for word in re.findall(r"[\w'-]+", text.lower())}
    foreign = [word for word in words if word.isascii() and word[:4] not in said and word not in _FREE]
    foreign += [word for word in words if not word.isascii() and word not in text]
    if foreign:
        raise _BadArgument(f"the user did not say {foreign[0][:60]!r}", "name classes with the user's own words")
    logical = [word for word in words if word in _LOGICAL]
    if logical:
        raise _BadArgument(f"a class name holds the logical word {logical[0]!r}", "put it into quantifier or *_negated")
    return " ".join(words)


_FREE = frozenset(["things", "thing", "that", "are", "is", "who", "which", "people", "a", "an", "the", "of", "in"])
_LOGICAL = frozenset(
    ["all", "every", "each", "no", "not", "none", "some", "any", "only", "most", "few", "many", "unless", "except",
     "if", "and", "or", "non", "never", "always", "usually"]
)  # fmt: skip
