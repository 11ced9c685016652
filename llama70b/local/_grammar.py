"""Constraints on an answer, as llguidance grammars: the library that vLLM falls back to is compiled into llama.cpp too.

A grammar that begins with `%llguidance` goes to that library inside llama.cpp. A faulty one would be dropped there with
a line in the log and the answer left unconstrained, so every grammar is checked here first, with vLLM's own words for a
refusal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llama70b.local._extra import load
from llama70b.local._words import Refusal

Schema = Mapping[str, Any]

_HEADER = "%llguidance {}\n"

# One way to lay out JSON: a tiny model otherwise spends its tokens on white space.
_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def from_schema(schema: Schema | str) -> str:
    """Constrain to JSON that follows a schema.

    An object that lists `properties` and says nothing about others takes no others (as xgrammar, vLLM's first choice,
    reads it), and the keys come in the schema's order.

    Args:
        schema: JSON schema, as an object or as JSON text.

    Raises:
        Refusal: 400, the schema is not one, or needs something the library cannot enforce.
    """
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except json.JSONDecodeError as error:
            raise Refusal(f"Invalid grammar specification: {error}") from error
    if not isinstance(schema, Mapping):
        raise Refusal(f"Invalid grammar specification: a JSON schema is an object, got {type(schema).__name__}")
    closed = _closed(schema)
    serialised = _library().LLMatcher.grammar_from_json_schema(json.dumps(closed), defaults=_LAYOUT)
    lark = f"start: %json {json.dumps({**closed, 'x-guidance': _LAYOUT}, ensure_ascii=False)}"
    return _checked(serialised, lark)


def from_object() -> str:
    """Constrain to any JSON object."""
    return from_schema({"type": "object"})


def from_choice(choices: Sequence[str]) -> str:
    """Constrain to one of several texts.

    Raises:
        Refusal: 400, there is none.
    """
    if not choices:
        raise Refusal(f"Choice '{list(choices)}' cannot be an empty list")
    # JSON escapes are Lark escapes.
    lark = "start: " + " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
    return _checked(lark, lark)


def from_regex(pattern: str) -> str:
    """Constrain to texts that a regular expression matches as a whole.

    Raises:
        Refusal: 400, the expression is faulty or uses what a grammar cannot do (look-around, back-references).
    """
    if "\x00" in pattern:
        raise Refusal("structured_outputs.regex must not contain a NUL character ('\\x00')")
    serialised = _library().grammar_from("regex", pattern)
    return _checked(serialised, json.loads(serialised)["grammars"][0]["lark_grammar"])


def from_grammar(text: str) -> str:
    """Constrain to a context-free grammar, in Lark's or GBNF's notation.

    Raises:
        Refusal: 400, it is empty or faulty.
    """
    if not text.strip():
        raise Refusal("structured_outputs.grammar cannot be an empty string")
    try:
        lark = _library().grammar_from("grammar", text)
    except ValueError as error:
        raise Refusal(f"Invalid grammar specification: {error}") from error
    return _checked(lark, lark)


def _library() -> Any:
    return load("llguidance", "A constrained answer")


def _checked(serialised: str, lark: str) -> str:
    """What llama.cpp takes for a grammar, refused if the library refuses it.

    Args:
        serialised: As vLLM gives it to the library, so that the library's complaint reads as it does there.
        lark: The same for llama.cpp, which takes this notation only.
    """
    problem = _library().LLMatcher.validate_grammar(serialised, None)
    if problem:
        raise Refusal(f"Grammar error: {problem}")
    return lark if lark.startswith(_HEADER.strip()) else _HEADER + lark


def _closed(node: Any) -> Any:
    """The schema with `additionalProperties: false` wherever properties are listed and nothing is said about others."""
    if isinstance(node, Mapping):
        closed = {key: _closed(value) for key, value in node.items()}
        # `properties` itself may hold a property of the name "properties": only schemas are closed, and a schema
        # with properties is an object schema.
        if isinstance(node.get("properties"), Mapping) and node.get("type", "object") == "object":
            closed.setdefault("additionalProperties", False)
        return closed
    if isinstance(node, list):
        return [_closed(item) for item in node]
    return node
