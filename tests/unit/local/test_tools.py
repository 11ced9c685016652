"""Tool calls read out of text, whole and in any cutting."""

from __future__ import annotations

import itertools
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b.local._tools import (
    AutoScanner,
    CallPiece,
    CallScanner,
    calls_in_text,
    forced_calls,
    required_schema,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
calls = st.lists(st.tuples(st.text(min_size=1), st.dictionaries(st.text(), values, max_size=3)), min_size=1, max_size=3)


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


def assembled(pieces: list[CallPiece]) -> list[tuple[str, Any]]:
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for piece in pieces:
        if piece.name is not None:
            assert piece.index == len(names)
            names[piece.index] = piece.name
        arguments[piece.index] = arguments.get(piece.index, "") + piece.arguments
    return [(names[index], json.loads(arguments[index])) for index in names]


@given(calls, st.lists(st.integers(0, 10_000), max_size=8), st.booleans(), st.sampled_from([None, 2]), st.booleans())
def test_scanner_finds_the_calls_in_any_cutting(
    wanted: list[tuple[str, Any]], places: list[int], array: bool, indent: int | None, ascii_only: bool
) -> None:
    objects = [{"name": name, "parameters": arguments} for name, arguments in wanted]
    texts = [json.dumps(item, indent=indent, ensure_ascii=ascii_only) for item in objects]
    text = f"[{', '.join(texts)}]" if array else "; ".join(texts)
    scanner = CallScanner()
    pieces = [piece for part in cut(text, places) for piece in scanner.feed(part)]
    assert assembled(pieces) == wanted
    assert [(call.name, json.loads(call.arguments)) for call in calls_in_text(text)] == wanted
    if array:
        assert [(call.name, json.loads(call.arguments)) for call in forced_calls(text)] == wanted


@given(st.text(), st.lists(st.integers(0, 10_000), max_size=5))
def test_auto_scanner_loses_no_text(text: str, places: list[int]) -> None:
    scanner = AutoScanner()
    parts = [scanner.feed(part) for part in cut(text, places)]
    if not any(pieces for _, pieces in parts):
        assert "".join(shown for shown, _ in parts) + scanner.finish() == text


def test_arguments_before_the_name_wait_for_it() -> None:
    scanner = CallScanner()
    assert scanner.feed('{"arguments": {"a": 1}, ') == []
    assert scanner.feed('"name": "f"}') == [CallPiece(0, "f", '{"a": 1}')]


def test_one_feed_gives_one_piece_a_call() -> None:
    assert CallScanner().feed('[{"name": "f", "parameters": {"a": [1, "}"]}}]') == [
        CallPiece(0, "f", '{"a": [1, "}"]}')
    ]


@pytest.mark.parametrize(
    "text", ['{"answer": 3}', "{ not json", '{"name": "f"}', "no braces", '{"name": "f", "parameters": {"a"']
)
def test_no_call(text: str) -> None:
    assert calls_in_text(text) == []
    scanner = AutoScanner()
    shown, pieces = scanner.feed(text)
    if '"parameters"' not in text:
        assert pieces == []
        assert shown + scanner.finish() == text


def test_python_tag_and_words_around() -> None:
    text = '<|python_tag|>{"name": "f", "arguments": {"a": 1}}'
    assert [call.name for call in calls_in_text(text)] == ["f"]
    assert assembled(AutoScanner().feed(text)[1]) == [("f", {"a": 1})]
    assert AutoScanner().feed("Sure: {") == ("Sure: {", [])


def test_broken_answer_to_required_has_no_calls() -> None:
    assert forced_calls('[{"name": "f", "parameters": {"a"') == []


def test_required_schema_keeps_each_tools_own_definitions() -> None:
    def tool(name: str, kind: str) -> dict[str, Any]:
        schema = {
            "type": "object",
            "properties": {"v": {"$ref": "#/$defs/V"}},
            "required": ["v"],
            "$defs": {"V": {"type": kind}},
        }
        return {"function": {"name": name, "parameters": schema}}

    schema = required_schema([tool("a", "integer"), tool("b", "string")], single=True)
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema).is_valid
    assert valid([{"name": "a", "parameters": {"v": 1}}])
    assert valid([{"name": "b", "parameters": {"v": "x"}}])
    assert not valid([{"name": "a", "parameters": {"v": "x"}}])
    assert not valid([])
    assert not valid([{"name": "a", "parameters": {"v": 1}}] * 2)
    recursive = {"function": {"name": "r", "parameters": {"type": "object", "properties": {"next": {"$ref": "#"}}}}}
    assert jsonschema.Draft202012Validator(required_schema([recursive], single=False)).is_valid(
        [{"name": "r", "parameters": {"next": {"next": {}}}}] * 2
    )
