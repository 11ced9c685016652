"""Tools and `tool_choice` in every form LangChain users write them, as the core's values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel

from langchain_llama70b._errors import ConfigurationError
from llama70b import NamedTool, ToolSpec
from llama70b.types import ToolChoice

ToolLike = Mapping[str, Any] | type | Callable[..., Any] | BaseTool
_EMPTY = {"type": "object", "properties": {}}
_WORDS: dict[str, ToolChoice] = {"auto": "auto", "none": "none", "any": "required", "required": "required"}


def openai_tool(tool: ToolLike, *, strict: bool | None = None) -> dict[str, Any]:
    """Return a tool as an OpenAI tool object, the form in which bound tools are kept and traced.

    Args:
        tool: A function, `BaseTool`, pydantic class, `TypedDict`, or a dict in OpenAI's, Anthropic's or JSON schema's
            form.
        strict: Constrain the arguments to the schema; None leaves it as the tool says, else on where that helps.

    Raises:
        ConfigurationError: It is no tool, or one that only another provider's servers can run.
    """
    if isinstance(tool, dict) and tool.get("type", "function") == "function" and "function" in tool:
        converted = {"type": "function", "function": dict(tool["function"])}
    else:
        try:
            converted = convert_to_openai_tool(tool)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(f"{_named(tool)} cannot be made a tool: {error}") from error
    function = converted.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ConfigurationError(
            f"{_named(tool)} is no function tool", hint="vLLM calls function tools only: give a function or a schema"
        )
    if strict is not None:
        function["strict"] = strict
    return converted


def tool_spec(tool: ToolLike) -> ToolSpec:
    """Return a tool as the core's value; arguments as for `openai_tool`."""
    function = openai_tool(tool)["function"]
    parameters = function.get("parameters") or _EMPTY
    return ToolSpec(
        name=function["name"],
        description=function.get("description") or "",
        parameters=parameters,
        strict=bool(function.get("strict", True)),
    )


def tool_choice(value: Any, names: Sequence[str]) -> ToolChoice | None:
    """Return the core's value for any of LangChain's forms.

    Args:
        value: None, a bool, "auto", "none", "any", "required", a tool's name, or an OpenAI or Anthropic dict.
        names: Names of the tools offered.

    Raises:
        ConfigurationError: It names no tool that is offered.
    """
    if isinstance(value, Mapping):
        value = _choice_word(value)
    if value is None or isinstance(value, NamedTool):
        return value
    if isinstance(value, bool):
        return "required" if value else "none"
    if isinstance(value, str):
        if value in names:
            return NamedTool(value)
        if value in _WORDS:
            return _WORDS[value]
    known = ", ".join(names) or "none"
    raise ConfigurationError(
        f"tool_choice is {value!r}", hint=f"give auto, none, any, required, a bool or a tool's name (bound: {known})"
    )


def _choice_word(value: Mapping[str, Any]) -> Any:
    """Return the word or the tool's name in a dict form of `tool_choice`."""
    function = value.get("function")
    if isinstance(function, Mapping) and isinstance(function.get("name"), str):
        return NamedTool(function["name"])
    if isinstance(value.get("name"), str):
        return NamedTool(value["name"])
    return value.get("type", value)


def json_schema_of(schema: Any) -> dict[str, Any]:
    """Return the JSON schema of a pydantic class, `TypedDict`, function, tool or schema dict, with a `title`.

    Raises:
        ConfigurationError: It has none.
    """
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema.model_json_schema()  # keeps $defs, which the grammar compiler reads, recursive ones too
    if isinstance(schema, Mapping) and "type" in schema and "properties" in schema:
        return dict(schema)
    if isinstance(schema, Mapping) and "json_schema" in schema:
        return json_schema_of(schema["json_schema"])
    if isinstance(schema, Mapping) and isinstance(schema.get("schema"), Mapping):
        return {"title": schema.get("name", "answer"), **schema["schema"]}
    try:
        return convert_to_json_schema(schema)
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(schema, Mapping) and schema:
            return dict(schema)  # any other JSON schema: an array, an enum, anyOf
        raise ConfigurationError(f"{_named(schema)} has no JSON schema: {error}") from error


def schema_name(schema: Mapping[str, Any], taken: Iterable[str] = ()) -> str:
    """Return a name for a schema that is a valid function name and not among `taken`."""
    title = str(schema.get("title") or "answer")
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in title)[:64] or "answer"
    taken = set(taken)
    while name in taken:
        name += "_"
    return name


def arguments_text(args: Any) -> str:
    """Return arguments as JSON text, other scripts readable; text that is already JSON stays."""
    return args if isinstance(args, str) else json.dumps(args, ensure_ascii=False, default=str)


def _named(thing: Any) -> str:
    if isinstance(thing, Mapping):
        return f"a dict with {', '.join(map(str, list(thing)[:5])) or 'nothing'}"
    return str(getattr(thing, "__name__", None) or getattr(thing, "name", None) or type(thing).__name__)
