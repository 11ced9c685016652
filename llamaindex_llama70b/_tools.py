"""Tools: LlamaIndex's descriptions to the core's, the model's calls back to LlamaIndex's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool

from llama70b import NamedTool, ToolCall, ToolSpec
from llama70b._names import CUT_OFF
from llama70b.errors import ConfigurationError
from llama70b.types import ToolChoice
from llamaindex_llama70b._convert import parsed, to_message
from llamaindex_llama70b._errors import OutputError, OutputTruncated, ToolArgumentsInvalid, ToolCallMissing

_NAMES_OF_SCHEMAS = frozenset({"properties", "$defs", "definitions", "patternProperties"})


def openai_tool(tool: BaseTool) -> dict[str, Any]:
    """Return a tool in OpenAI's form: what instrumentation events shall show, and what travels through kwargs."""
    meta = tool.metadata
    return {
        "type": "function",
        "function": {
            "name": re.sub(r"[^a-zA-Z0-9_-]", "_", meta.get_name()),
            "description": meta.description,
            "parameters": without_titles(meta.get_parameters_dict()),
        },
    }


def without_titles(schema: Any) -> Any:
    """Return a JSON schema without pydantic's `title`s: the template pretty-prints all of it into a small window.

    A property that is called title stays.
    """
    if isinstance(schema, Mapping):
        return {
            key: {name: without_titles(entry) for name, entry in value.items()}
            if key in _NAMES_OF_SCHEMAS and isinstance(value, Mapping)
            else without_titles(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    if isinstance(schema, list | tuple):
        return [without_titles(entry) for entry in schema]
    return schema


def tool_specs(tools: Sequence[Any], *, strict: bool) -> tuple[ToolSpec, ...]:
    """Return the core's form of tools.

    Args:
        tools: `BaseTool`s, OpenAI dicts, or `ToolSpec`s.
        strict: Constrain the arguments to the schema, where a tool does not say otherwise. vLLM constrains them only
            then.

    Raises:
        ConfigurationError: One of them is something else.
    """
    return tuple(_spec(tool, number, strict=strict) for number, tool in enumerate(tools))


def _spec(tool: Any, number: int, *, strict: bool) -> ToolSpec:
    if isinstance(tool, ToolSpec):
        return tool
    form = openai_tool(tool) if isinstance(tool, BaseTool) else tool
    function = form.get("function") if isinstance(form, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ConfigurationError(
            f"tool {number} is {type(tool).__name__}",
            hint="give FunctionTool.from_defaults(...), or {'type': 'function', 'function': {'name': ...}}",
        )
    said = function.get("strict")
    return ToolSpec(
        name=function["name"],
        description=function.get("description") or "",
        parameters=function.get("parameters") or {"type": "object", "properties": {}},
        strict=strict if said is None else bool(said),
    )


def tool_choice(given: Any, *, required: bool = False) -> ToolChoice | None:
    """Return the core's tool choice; None leaves it to the server ("auto").

    Args:
        given: None, "auto", "none", "required", "any", a tool's name, `NamedTool`, or OpenAI's dict.
        required: What None means.

    Raises:
        ConfigurationError: It is something else.
    """
    match given:
        case None:
            return "required" if required else None
        case "auto" | "none" | "required":
            choice: ToolChoice = given
            return choice
        case "any":
            return "required"
        case str():
            return NamedTool(given)
        case NamedTool():
            return given
        case {"function": {"name": str(name)}}:
            return NamedTool(name)
        case _:
            raise ConfigurationError(
                f"tool_choice is {given!r}", hint="give 'auto', 'none', 'required' or the name of a tool"
            )


def wire_choice(choice: ToolChoice | None) -> Any:
    """Return a tool choice as it goes through kwargs and shows in events."""
    if isinstance(choice, NamedTool):
        return {"type": "function", "function": {"name": choice.name}}
    return choice


def selections(response: ChatResponse, *, demanded: bool) -> list[ToolSelection]:
    """Return the tool calls of an answer, or of one element of a stream.

    Within a stream the arguments are what could be read of them so far. Arguments that are no JSON object become
    `{"malformed_arguments": <text>, "error": <why>}`, which no tool accepts, so that an agent shows the model its
    mistake; never `{}`, with which the tool would run.

    Args:
        response: From `chat` or `stream_chat`.
        demanded: Raise instead, when there is no call or one is malformed.

    Raises:
        ToolCallMissing: Demanded, and there is none.
        ToolArgumentsInvalid: Demanded, and the arguments are malformed.
        OutputTruncated: Demanded, and the answer was cut off.
    """
    found = []
    for call_id, name, given in _calls(response):
        arguments = given if isinstance(given, dict) else parsed(ToolCall(call_id, name, given), cut=_cut(response))
        if isinstance(arguments, str):
            if demanded:
                raise _malformed(name, arguments, response)
            arguments = _unusable(arguments, response)
        found.append(ToolSelection(tool_id=call_id, tool_name=name, tool_kwargs=arguments))
    if demanded and not found:
        raise _no_call(response)
    return found


def _calls(response: ChatResponse) -> list[tuple[str, str, dict[str, Any] | str]]:
    """Return (id, name, arguments); a block's dict is taken as it is, so that a stream is not parsed once a chunk."""
    calls = [
        (block.tool_call_id or "", block.tool_name, block.tool_kwargs)
        for block in response.message.blocks
        if isinstance(block, ToolCallBlock)
    ]
    if calls or not response.message.additional_kwargs.get("tool_calls"):
        return calls
    return [(call.id, call.name, call.arguments) for call in to_message(response.message).tool_calls]


def _cut(response: ChatResponse) -> bool:
    return response.additional_kwargs.get("finish_reason") in CUT_OFF


def _unusable(text: str, response: ChatResponse) -> dict[str, Any]:
    length = response.additional_kwargs.get("finish_reason") == "length"
    why = "cut off by max_tokens" if length else "cut off" if _cut(response) else "not a JSON object"
    # Two keys, because core hands the only value of a one-key dict to a one-argument tool by position.
    return {"malformed_arguments": text, "error": f"the arguments are {why}"}


def _malformed(name: str, text: str, response: ChatResponse) -> OutputError:
    error: OutputError
    if _cut(response):
        error = OutputTruncated(f"the call of {name!r}")
    else:
        error = ToolArgumentsInvalid(
            f"the arguments of the call of {name!r} are not a JSON object", hint="ask again, or use strict=True"
        )
    error.text = text
    return error


def _no_call(response: ChatResponse) -> OutputError:
    error: OutputError
    if _cut(response):
        error = OutputTruncated("the answer, which holds no complete tool call,")
    else:
        error = ToolCallMissing(
            "expected at least one tool call, the answer has none", hint="pass tool_required=True, or tool_choice"
        )
    error.text = response.message.content or ""
    return error
