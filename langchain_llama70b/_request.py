"""A LangChain call (messages, constructor's values, keyword arguments) as the core's `ChatRequest`. No I/O."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from langchain_core.messages import BaseMessage

from langchain_llama70b._convert import to_messages
from langchain_llama70b._errors import ConfigurationError
from langchain_llama70b._tools import json_schema_of, schema_name, tool_choice, tool_spec
from llama70b import ChatRequest, Message, StructuredOutputs, Timeouts, ToolSpec
from llama70b._names import ENGINE_FIELDS
from llama70b.client import OnInterrupt, OnProgress

SAMPLING = (
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "n",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
)
"""Fields of `ChatRequest` that keep their name."""

ALIASES = {
    "max_completion_tokens": "max_tokens",
    "stop_sequences": "stop",
    "request_timeout": "timeout",
    "model_name": "model",
}
FIXED = frozenset(("base_url", "api_key", "modal_key", "modal_secret", "ingress", "allow_insecure", "max_connections"))
_CALL_OPTIONS = frozenset(("timeout", "max_retries", "on_progress", "on_interrupt"))
_SPECIAL = frozenset(
    (
        "model",
        "stop",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "structured_outputs",
        "extra_body",
        "extra_headers",
        "format_instructions",
    )
)
_IGNORED = frozenset(("stream", "stream_usage"))  # the method called decides about the one, the other is always on
_KNOWN = frozenset(SAMPLING) | ENGINE_FIELDS | _CALL_OPTIONS | _SPECIAL | frozenset(ALIASES)
_CONSTRAINTS = tuple(item.name for item in fields(StructuredOutputs))


@dataclass(frozen=True, slots=True)
class Plan:
    """What one call comes to.

    Attributes:
        request: For the core.
        timeout: Seconds, all limits, or None for the model's own.
        max_retries: None for the model's own.
        on_progress: A listener of this call only.
        answer_tool: Name of the tool that stands in for `response_format`, see `_answer_as_tool`.
        headers: Further headers of this call.
        on_interrupt: None for the model's own.
    """

    request: ChatRequest
    timeout: float | Timeouts | None = None
    max_retries: int | None = None
    on_progress: OnProgress | None = None
    answer_tool: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    on_interrupt: OnInterrupt | None = None


def plan(
    messages: Sequence[BaseMessage],
    *,
    defaults: Mapping[str, Any],
    stop: Sequence[str] | str | None,
    given: Mapping[str, Any],
) -> Plan:
    """Return what to send.

    Args:
        messages: The conversation.
        defaults: The constructor's values.
        stop: `stop` of the call; None takes the constructor's, an empty list sends none.
        given: Keyword arguments of the call; they beat the constructor's. None means not given.

    Raises:
        ConfigurationError: A name or a value that cannot work.
    """
    call = {ALIASES.get(name, name): value for name, value in given.items() if value is not None}
    check_names(call)
    values = {**defaults, **call}
    if "response_format" in call and "structured_outputs" not in call:
        values.pop("structured_outputs", None)  # the call's way of constraining replaces the constructor's
    if stop is not None:
        values["stop"] = stop
    tools = tuple(tool_spec(tool) for tool in values.get("tools") or ())
    choice = tool_choice(values.get("tool_choice"), [tool.name for tool in tools])
    response_format = response_format_of(values.get("response_format"))
    constraint = structured_outputs_of(values.get("structured_outputs"))
    answer = None
    if tools and (response_format is not None or constraint is not None) and choice != "none":
        if choice in {None, "auto"}:
            answer = _answer_as_tool(tools, response_format, constraint)
            tools, choice = (*tools, answer), "required"
        response_format = constraint = None  # where a call is forced there is no answer yet to constrain
    request = ChatRequest(
        messages=_instructed(to_messages(messages), call.get("format_instructions")),
        model=call.get("model"),
        stop=_texts(values.get("stop")),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=values.get("parallel_tool_calls"),
        response_format=response_format,
        structured_outputs=constraint,
        extra=_extra(defaults, call),
        **{name: values.get(name) for name in SAMPLING},
    )
    name = None if answer is None else answer.name
    headers = _headers(call.get("extra_headers") or {})
    return Plan(
        request,
        call.get("timeout"),
        call.get("max_retries"),
        call.get("on_progress"),
        name,
        headers,
        call.get("on_interrupt"),
    )


def _headers(given: Any) -> dict[str, str]:
    if isinstance(given, Mapping) and all(isinstance(text, str) for pair in given.items() for text in pair):
        return dict(given)
    raise ConfigurationError("extra_headers is no dict of texts", hint='like {"X-Tenant": "a"}')


def _extra(defaults: Mapping[str, Any], call: Mapping[str, Any]) -> dict[str, Any]:
    """Return vLLM's own fields: the constructor's, its `extra_body`, the call's, its `extra_body`; later ones win."""
    extra = {name: value for name, value in defaults.items() if name in ENGINE_FIELDS}
    extra.update(defaults.get("extra_body") or {})
    extra.update((name, value) for name, value in call.items() if name in ENGINE_FIELDS or name.startswith("guided_"))
    extra.update(call.get("extra_body") or {})
    return extra


def check_names(
    names: Mapping[str, Any],
    *,
    known: frozenset[str] = _KNOWN,
    where: str = "this call",
    fixed: frozenset[str] = FIXED,
) -> None:
    """Refuse arguments that nobody would read: vLLM silently ignores names it does not know.

    Args:
        names: What was given.
        known: What is read.
        where: For the error text.
        fixed: What only the constructor takes.

    Raises:
        ConfigurationError: With the nearest name, or the way round.
    """
    for name in names:
        if name in known or name in _IGNORED or name.startswith("guided_"):  # the core refuses guided_* and says why
            continue
        if name in fixed:
            raise ConfigurationError(
                f"{name} cannot be changed by a call", hint="credentials and URL belong together: make another model"
            )
        near = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f"did you mean {near[0]}?" if near else "a field of a newer vLLM goes into extra_body={...}"
        raise ConfigurationError(f"{where} has an unknown argument {name!r}", hint=hint)


def response_format_of(value: Any) -> dict[str, Any] | None:
    """Return a `response_format` object for a dict of that form, or for anything that has a JSON schema."""
    if value is None:
        return None
    if isinstance(value, Mapping) and value.get("type") in {"json_schema", "json_object", "text", "structural_tag"}:
        return None if value["type"] == "text" else dict(value)
    return json_schema_format(json_schema_of(value))


def json_schema_format(schema: Mapping[str, Any], *, strict: bool | None = None) -> dict[str, Any]:
    """Return the `response_format` that constrains an answer to a JSON schema."""
    described: dict[str, Any] = {"name": schema_name(schema), "schema": dict(schema)}
    if strict is not None:
        described["strict"] = strict
    return {"type": "json_schema", "json_schema": described}


def structured_outputs_of(value: Any) -> StructuredOutputs | None:
    """Return vLLM's constraint for a dict of one entry; a choice may be an Enum or a Literal, a schema a class.

    Raises:
        ConfigurationError: Not exactly one constraint, or not one of vLLM's.
    """
    if value is None or isinstance(value, StructuredOutputs):
        return value
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f"structured_outputs is {type(value).__name__}", hint="give a dict with one of " + ", ".join(_CONSTRAINTS)
        )
    entries = {name: entry for name, entry in value.items() if entry is not None}
    if unknown := sorted(set(entries) - set(_CONSTRAINTS)):
        raise ConfigurationError(
            f"structured_outputs has no {', '.join(unknown)}", hint="vLLM has " + ", ".join(_CONSTRAINTS)
        )
    if "choice" in entries:
        entries["choice"] = tuple(choices_of(entries["choice"]))
    if "json" in entries and not isinstance(entries["json"], str):
        entries["json"] = json_schema_of(entries["json"])
    if "structural_tag" in entries and not isinstance(entries["structural_tag"], str):
        entries["structural_tag"] = json.dumps(entries["structural_tag"], ensure_ascii=False)
    try:
        return StructuredOutputs(**entries)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def choices_of(options: Any) -> dict[str, Any]:
    """Return text -> value for an Enum class, a Literal, or an iterable of values."""
    if isinstance(options, type) and issubclass(options, Enum):
        return {str(member.value): member for member in options}
    if get_origin(options) is Literal:
        return {str(value): value for value in get_args(options)}
    if isinstance(options, str):
        raise ConfigurationError("choice is one string", hint="give a list of strings, an Enum or a Literal")
    return {str(value): value for value in options}


def _instructed(messages: tuple[Message, ...], schema: Mapping[str, Any] | None) -> tuple[Message, ...]:
    """Return the messages with a schema shown to the model at the end of the system turn."""
    if schema is None:
        return messages
    words = "Answer with one JSON object that satisfies this JSON schema, and nothing else:\n" + json.dumps(
        schema, ensure_ascii=False
    )
    if messages and messages[0].role == "system":
        return (replace(messages[0], content=f"{messages[0].content}\n\n{words}"), *messages[1:])
    return (Message("system", words), *messages)


def _texts(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def _answer_as_tool(
    tools: Sequence[ToolSpec], response_format: dict[str, Any] | None, constraint: StructuredOutputs | None
) -> ToolSpec:
    """Return the tool that makes an answer's schema and the user's tools work in one request.

    vLLM takes the schema and never calls the tools, or the other way round [notes: langchain 1.5]. So the schema
    becomes one more tool, a call of some tool is required, and a call of that one is handed on as the answer's text.
    """
    if constraint is not None and constraint.json is None and not constraint.json_object:
        raise ConfigurationError(
            "tools and a regex, choice, grammar or structural_tag do not work in one request: vLLM drops one of them",
            hint="bind the tools to one model and the constraint to another",
        )
    schema = _schema_in(response_format, constraint)
    if schema.get("type", "object") != "object":
        raise ConfigurationError(
            f"with tools, the answer's schema must be an object, not {schema['type']!r}", hint="wrap it in an object"
        )
    name = schema_name(schema, taken=[tool.name for tool in tools])
    return ToolSpec(name, "Give the final answer, once no other tool is needed.", schema)


def _schema_in(response_format: dict[str, Any] | None, constraint: StructuredOutputs | None) -> dict[str, Any]:
    if response_format is not None and response_format["type"] == "json_schema":
        described = response_format.get("json_schema") or {}
        return {"title": described.get("name", "answer"), **(described.get("schema") or {})}
    if constraint is not None and constraint.json is not None:
        return dict(json.loads(constraint.json) if isinstance(constraint.json, str) else constraint.json)
    return {"title": "answer", "type": "object"}
