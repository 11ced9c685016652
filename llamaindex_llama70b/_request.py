"""What a call's keyword arguments, `additional_kwargs` and fields mean together. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import BaseModel

from llama70b import ChatRequest, Message, StructuredOutputs, Timeouts
from llama70b._names import ENGINE_FIELDS
from llama70b.client import OnInterrupt
from llama70b.errors import ConfigurationError
from llamaindex_llama70b._convert import to_message
from llamaindex_llama70b._names import check_names, renamed
from llamaindex_llama70b._tools import tool_choice, tool_specs

GuardMode = Literal["error", "trim", "shrink", "off"]
"""What to do before sending what cannot fit: see `_guard`."""

SAMPLING = (
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "n",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
)
"""Request fields that are fields of `Llama70B` too (but for `n`), by the same name."""

_SHORT = {"json_schema": "json", "regex": "regex", "choice": "choice", "grammar": "grammar"}
_NAME_MAX = 64
_CONSTRAINTS = frozenset(("structured_outputs", *_SHORT))
_KINDS = ", ".join(item.name for item in fields(StructuredOutputs))
_KNOWN = frozenset(
    (
        *SAMPLING,
        *ENGINE_FIELDS,
        *_CONSTRAINTS,
        "model",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "strict",
        "response_format",
        "extra_body",
        "timeout",
        "max_retries",
        "context_guard",
        "on_interrupt",
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call, understood.

    Attributes:
        request: What is asked.
        timeout: For this call, None for the endpoint's.
        max_retries: For this call, None for the endpoint's.
        single_call: Show only the first tool call of the answer.
        guard: What to do when it cannot fit.
        on_interrupt: What becomes of a stream that is cut off, None for the model's own.
    """

    request: ChatRequest
    timeout: float | Timeouts | None
    max_retries: int | None
    single_call: bool
    guard: GuardMode
    on_interrupt: OnInterrupt | None = None


def understood(messages: Sequence[ChatMessage], settings: Mapping[str, Any], kwargs: Mapping[str, Any]) -> Call:
    """Return the call that messages, the model's settings and one call's keyword arguments amount to.

    Args:
        messages: The conversation.
        settings: Defaults: the fields, then `additional_kwargs` over them; with `strict`, `context_guard` and
            `system_prompt`.
        kwargs: Of this call; they win. None means not given.

    Raises:
        ConfigurationError: Something given cannot work.
    """
    call = renamed(kwargs)
    check_names(call, _KNOWN, "this call")
    given = {**renamed(settings), **call}
    if "response_format" in call and not any(name in call for name in _CONSTRAINTS):
        for name in _CONSTRAINTS:  # the call's way of constraining replaces the constructor's
            given.pop(name, None)
    guard = given.get("context_guard", "error")
    if guard not in get_args(GuardMode):
        raise ConfigurationError(f"context_guard is {guard!r}", hint=f"give one of {', '.join(get_args(GuardMode))}")
    tools = tool_specs(given.get("tools") or (), strict=bool(given.get("strict", True)))
    choice = tool_choice(given.get("tool_choice"))
    constraint = _structured_outputs(given)
    response_format = _response_format(given.get("response_format"))
    if tools and choice != "none" and (constraint is not None or response_format is not None):
        raise ConfigurationError(
            "tools and a constraint on the answer do not work in one request: vLLM drops one of them",
            hint="call the tools first, then ask for the constrained answer without tools",
        )
    stop = given.get("stop")
    parallel = given.get("parallel_tool_calls")
    request = ChatRequest(
        messages=_with_system(messages, given.get("system_prompt")),
        model=call.get("model"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop) if stop else None,
        tools=tools,
        tool_choice=choice if tools or choice not in {None, "auto", "none"} else None,
        parallel_tool_calls=parallel,
        response_format=response_format,
        structured_outputs=constraint,
        extra=_extra(given, settings, call),
        **{name: given.get(name) for name in SAMPLING if name != "stop"},
    )
    single = bool(tools) and parallel is False
    return Call(request, call.get("timeout"), call.get("max_retries"), single, guard, call.get("on_interrupt"))


def _extra(given: Mapping[str, Any], *bodies: Mapping[str, Any]) -> dict[str, Any]:
    """Return vLLM's own fields: by name, and over them the constructor's `extra_body` and the call's."""
    extra = {name: value for name, value in given.items() if name in ENGINE_FIELDS or name.startswith("guided_")}
    for body in bodies:
        extra |= body.get("extra_body") or {}
    return {name: value for name, value in extra.items() if name != "stream_options"}


def _with_system(messages: Sequence[ChatMessage], system: str | None) -> tuple[Message, ...]:
    """Return the turns; `system` goes first where the conversation has no system turn of its own."""
    turns = tuple(to_message(message) for message in messages)
    if system and not any(turn.role == "system" for turn in turns):
        return (Message("system", system), *turns)
    return turns


def _structured_outputs(given: Mapping[str, Any]) -> StructuredOutputs | None:
    """Return vLLM's constraint: `structured_outputs`, or one of its kinds by its own name."""
    short = {kind: given[name] for name, kind in _SHORT.items() if given.get(name) is not None}
    whole = given.get("structured_outputs")
    if whole is not None and short:
        raise ConfigurationError(f"structured_outputs and {', '.join(short)} are given", hint="give one constraint")
    if isinstance(whole, StructuredOutputs):
        return whole
    if whole is not None and not isinstance(whole, Mapping):
        raise ConfigurationError(
            f"structured_outputs is {type(whole).__name__}", hint=f"give a dict with one of {_KINDS}"
        )
    entries = {name: value for name, value in (whole or short).items() if value is not None}
    if not entries:
        return None
    if "choice" in entries:
        entries["choice"] = choices(entries["choice"])
    if isinstance(schema := entries.get("json"), type) and issubclass(schema, BaseModel):
        entries["json"] = schema.model_json_schema()
    try:
        return StructuredOutputs(**entries)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"structured_outputs: {error}", hint=f"give one of {_KINDS}") from error


def choices(given: Any) -> tuple[str, ...]:
    """Return the texts of an `Enum` class, a `Literal` type or an iterable of values.

    Raises:
        ConfigurationError: It is one string.
    """
    if isinstance(given, str):
        raise ConfigurationError("choice is one string", hint="give a list of strings, an Enum or a Literal")
    values: Any = given
    if isinstance(given, type) and issubclass(given, Enum):
        values = [member.value for member in given]
    elif get_origin(given) is Literal:
        values = get_args(given)
    return tuple(str(value) for value in values)


def _response_format(given: Any) -> dict[str, Any] | None:
    """Return a `response_format` object for a dict of that form or a pydantic class; None for plain text."""
    if given is None or isinstance(given, type):
        return None if given is None else json_schema_format(given)
    if not isinstance(given, Mapping) or not isinstance(given.get("type"), str):
        raise ConfigurationError(
            f"response_format is {given!r}",
            hint="give a pydantic class or {'type': 'json_schema', 'json_schema': ...}",
        )
    return None if given["type"] == "text" else dict(given)


def json_schema_format(output_cls: type[Any], *, strict: bool | None = None) -> dict[str, Any]:
    """Return the `response_format` that constrains an answer to a pydantic class.

    Args:
        output_cls: The class.
        strict: Said to the server, which constrains the answer either way.

    Raises:
        ConfigurationError: It is no pydantic class.
    """
    if not issubclass(output_cls, BaseModel):
        raise ConfigurationError(f"{output_cls.__name__} is no pydantic class", hint="derive it from BaseModel")
    schema = output_cls.model_json_schema()
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", str(schema.get("title") or output_cls.__name__))[:_NAME_MAX]
    described = {"name": name, "schema": schema} | ({} if strict is None else {"strict": strict})
    return {"type": "json_schema", "json_schema": described}
