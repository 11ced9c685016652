"""Which grammar a request asks for: a forced tool call, `response_format` or `structured_outputs`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama70b.local import _grammar as grammar
from llama70b.local import _tools
from llama70b.local._messages import ToolMode
from llama70b.local._words import Refusal, invalid, unsupported


def forced_call(tools: Sequence[Mapping[str, Any]], mode: ToolMode, name: str | None, *, single: bool) -> str | None:
    match mode:
        case "required":
            return grammar.from_schema(_tools.required_schema(tools, single=single))
        case "named":
            (tool, *_) = (tool for tool in tools if tool["function"]["name"] == name)
            return grammar.from_schema(_tools.parameters_of(tool))
        case "none" | "auto":
            return None


def answer_constraint(body: Mapping[str, Any]) -> str | None:
    """The grammar of `response_format` or `structured_outputs`; the removed `guided_*` fields constrain nothing."""
    shape = body.get("response_format")
    if shape is not None and not isinstance(shape, Mapping):
        raise invalid("response_format", "Input should be a valid dictionary", shape)
    match None if shape is None else shape.get("type"):
        case None | "text":
            pass
        case "json_object":
            return grammar.from_object()
        case "json_schema":
            assert shape is not None
            schema = shape.get("json_schema")
            if not isinstance(schema, Mapping) or "name" not in schema:
                raise Refusal(
                    "When response_format type is 'json_schema', the 'json_schema' field must be provided.",
                    param="response_format",
                )
            return grammar.from_schema(schema.get("schema") or {"type": "object"})
        case "structural_tag":
            raise unsupported("response_format.structural_tag")
        case other:
            raise invalid("response_format.type", "Input should be 'text', 'json_object' or 'json_schema'", other)
    return _structured(body.get("structured_outputs"))


def _structured(given: Any) -> str | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise invalid("structured_outputs", "Input should be a dictionary", given)
    makers: dict[str, tuple[type | tuple[type, ...], Callable[[Any], str]]] = {
        "json": ((str, Mapping), grammar.from_schema),
        "regex": (str, grammar.from_regex),
        "choice": (list, grammar.from_choice),
        "grammar": (str, grammar.from_grammar),
        "json_object": (bool, _json_object),
    }
    if given.get("structural_tag") is not None:
        raise unsupported("structured_outputs.structural_tag")
    kinds = [kind for kind in makers if given.get(kind) is not None]
    if len(kinds) > 1:
        raise Refusal(
            f"You can only use one kind of structured outputs constraint but multiple are specified: {dict(given)}"
        )
    if not kinds:
        raise Refusal(f"You must use one kind of structured outputs constraint but none are specified: {dict(given)}")
    (kind,) = kinds
    wanted, make = makers[kind]
    value = given[kind]
    texts = all(isinstance(item, str) for item in value) if isinstance(value, list) else True
    if not isinstance(value, wanted) or not texts:
        raise invalid(f"structured_outputs.{kind}", f"Input should be a valid {kind} constraint", value)
    return make(value)


def _json_object(value: bool) -> str:
    if not value:
        raise Refusal(
            "structured_outputs.json_object must be True if set; omit structured_outputs to disable structured outputs"
        )
    return grammar.from_object()
