"""The JSON of vLLM's OpenAI-compatible API: requests out, answers and errors in. No I/O.

Shapes are vLLM 0.32/0.33's (`vllm/entrypoints/openai`), read leniently where servers differ harmlessly and refused
where an answer would be wrong.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from llama70b._history import repaired
from llama70b.errors import ConfigurationError, ProtocolError
from llama70b.types import (
    ChatRequest,
    Choice,
    Completion,
    Logprob,
    Message,
    ModelInfo,
    NamedTool,
    TokenCount,
    ToolCall,
    ToolSpec,
    Usage,
)

_OWN_FIELDS = frozenset({"messages", "model", "stream", "stream_options", "tools", "tool_choice"})
_SAMPLING = ("temperature", "top_p", "max_tokens", "seed", "n", "presence_penalty", "frequency_penalty")


def chat_body(request: ChatRequest, model: str, *, stream: bool) -> dict[str, Any]:
    """Return the body of `POST /v1/chat/completions`.

    Args:
        request: What is asked.
        model: Served name for requests that name none.
        stream: Ask for a stream; usage is then always asked for too.

    Raises:
        ConfigurationError: The request contradicts itself, or uses a field vLLM silently ignores.
    """
    _refuse_impossible(request, stream=stream)
    body: dict[str, Any] = {
        "model": request.model or model,
        "messages": [_message(turn) for turn in repaired(request.messages, with_tools=bool(request.tools))],
    }
    for name in _SAMPLING:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.stop:
        body["stop"] = list(request.stop)
    if request.logprobs or request.top_logprobs is not None:
        body["logprobs"] = True
        if request.top_logprobs is not None:
            body["top_logprobs"] = request.top_logprobs
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["parallel_tool_calls"] = bool(request.parallel_tool_calls)
        if isinstance(request.tool_choice, NamedTool):
            body["tool_choice"] = {"type": "function", "function": {"name": request.tool_choice.name}}
        elif request.tool_choice is not None:
            body["tool_choice"] = request.tool_choice
    if request.response_format is not None:
        body["response_format"] = compilable(request.response_format)
    if request.structured_outputs is not None:
        given = {name: value for name, value in request.structured_outputs.as_dict().items() if value is not None}
        body["structured_outputs"] = compilable(given)
    for name, value in request.extra.items():
        body[name] = compilable(value) if name in {"response_format", "structured_outputs"} else value
    body["stream"] = stream
    if stream:
        body["stream_options"] = {"include_usage": True}
    return body


def tokenize_body(request: ChatRequest, model: str) -> dict[str, Any]:
    """Return the body of `POST /tokenize` for what a chat would send."""
    return counted_part(chat_body(request, model, stream=False))


def counted_part(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of `POST /tokenize` that counts exactly what a chat with `body` reads."""
    part = {name: body[name] for name in ("model", "messages", "tools", "chat_template_kwargs") if name in body}
    return part | {"add_generation_prompt": True}


_DATA = frozenset({"const", "enum", "default", "examples"})
"""Keywords of a JSON schema that hold values, not schemas."""
_NAMES = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Keywords that map names of the user's own to schemas."""


def compilable(value: Any) -> Any:
    """Return a JSON schema (or what holds one) without the keyword vLLM's grammar compiler refuses.

    `uniqueItems` (a Python `set`) gets 400 "Unimplemented keys" [notes: llamaindex 3.2]; without it the answer is
    still a list. A property that happens to have that name stays.
    """
    if isinstance(value, Mapping):
        return {
            key: entry
            if key in _DATA
            else {name: compilable(item) for name, item in entry.items()}
            if key in _NAMES and isinstance(entry, Mapping)
            else compilable(entry)
            for key, entry in value.items()
            if not (key == "uniqueItems" and isinstance(entry, bool))
        }
    if isinstance(value, list | tuple):
        return [compilable(item) for item in value]
    return value


def _refuse_impossible(request: ChatRequest, *, stream: bool) -> None:
    if not request.messages:
        raise ConfigurationError("the request has no messages", hint="give at least one")
    n = request.extra.get("n", request.n)
    if stream and n is not None and n != 1:
        raise ConfigurationError(f"n is {n} in a stream", hint="stream one answer, or do not stream")
    guided = sorted(name for name in request.extra if name.startswith("guided_"))
    if guided:
        raise ConfigurationError(
            f"{', '.join(guided)}: vLLM removed these fields and silently ignores them",
            hint="use structured_outputs with json, regex, choice or grammar",
        )
    if clash := sorted(_OWN_FIELDS & set(request.extra)):
        raise ConfigurationError(f"extra may not hold {', '.join(clash)}", hint="they are arguments of their own")
    forced = request.tool_choice == "required" or isinstance(request.tool_choice, NamedTool)
    if forced and not request.tools:
        raise ConfigurationError("tool_choice forces a call, but no tools are given", hint="pass tools=...")
    if isinstance(request.tool_choice, NamedTool) and request.tool_choice.name not in {t.name for t in request.tools}:
        known = ", ".join(tool.name for tool in request.tools)
        raise ConfigurationError(f"tool_choice names {request.tool_choice.name!r}; the tools given are {known}")


def _message(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name is not None:
        wire["name"] = message.name
    if message.tool_calls:  # never an empty list: the template then looks for a first call
        wire["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _object_text(call)}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def _object_text(call: ToolCall) -> str:
    """Return arguments that vLLM can load (it parses history): malformed ones stay visible under one key."""
    try:
        call.parsed()
    except ValueError:
        return json.dumps({"malformed_arguments": call.arguments}, ensure_ascii=False)
    return call.arguments if call.arguments.strip() else "{}"


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": compilable(tool.parameters),
    }
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _not_a_number(literal: str) -> Any:
    raise ProtocolError(f"the answer holds {literal}, which is not JSON")


_decode = json.JSONDecoder(parse_constant=_not_a_number).decode


def json_object(text: str, *, what: str) -> dict[str, Any]:
    """Return the JSON object in `text`.

    Args:
        text: What was received.
        what: What it should be, for the error text.

    Raises:
        ProtocolError: It is not JSON, or not an object. The text itself is not quoted: it may be a login page.
    """
    try:
        value = _decode(text)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise ProtocolError(f"{what} is not JSON: {reason}") from None
    if not isinstance(value, dict):
        raise ProtocolError(f"{what} is JSON, but {type(value).__name__} instead of an object")
    return value


def body_object(body: bytes, *, what: str) -> dict[str, Any]:
    """Return the JSON object in `body`; raises ProtocolError, see `json_object`."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{what} is not UTF-8 ({error.reason})") from None
    return json_object(text, what=what)


def completion(raw: dict[str, Any]) -> Completion:
    """Read the body of a chat completion.

    Raises:
        ProtocolError: It has no choices, or one of them is not a message.
    """
    choices = raw.get("choices")
    if not isinstance(choices, list) or not choices:
        raise ProtocolError("the answer has no choices")
    return Completion(
        id=_text(raw.get("id")),
        model=_text(raw.get("model")),
        choices=tuple(_choice(item, number) for number, item in enumerate(choices)),
        usage=usage(raw.get("usage")),
        created=raw["created"] if isinstance(raw.get("created"), int) else None,
        system_fingerprint=raw.get("system_fingerprint"),
        metrics=raw["metrics"] if isinstance(raw.get("metrics"), dict) else None,
        raw=raw,
    )


def _choice(item: Any, number: int) -> Choice:
    message = item.get("message") if isinstance(item, dict) else None
    if not isinstance(message, dict):
        raise ProtocolError(f"choice {number} of the answer has no message")
    return Choice(
        index=item["index"] if isinstance(item.get("index"), int) else number,
        message=Message(
            role="assistant",
            content=_content(message.get("content")),
            tool_calls=_tool_calls(message.get("tool_calls")),
            reasoning=reasoning(message) or None,
        ),
        finish_reason=_text(item.get("finish_reason")) or "unknown",
        stop_reason=item.get("stop_reason"),
        logprobs=logprobs(item.get("logprobs")),
    )


def _content(value: Any) -> str:
    """Return the text of `content`: a string, null, or a list of text parts."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in value if isinstance(part, dict))
    raise ProtocolError(f"the answer's content is {type(value).__name__}, not text")


def reasoning(message: Mapping[str, Any]) -> str:
    """Return a message's thoughts: `reasoning` since vLLM 0.9, `reasoning_content` before and elsewhere."""
    value = message.get("reasoning") or message.get("reasoning_content")
    return value if isinstance(value, str) else ""


def _tool_calls(value: Any) -> tuple[ToolCall, ...]:
    if not isinstance(value, list):
        return ()
    calls = []
    for number, item in enumerate(value):
        function = item.get("function") if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ProtocolError(f"tool call {number} of the answer has no function name")
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
        calls.append(ToolCall(id=_text(item.get("id")) or f"call_{number}", name=function["name"], arguments=text))
    return tuple(calls)


def usage(value: Any) -> Usage | None:
    """Read a usage object; None when there is none or it holds no counts."""
    if not isinstance(value, dict) or not isinstance(value.get("prompt_tokens"), int):
        return None
    written = value.get("completion_tokens")
    return Usage(
        prompt_tokens=value["prompt_tokens"],
        completion_tokens=written if isinstance(written, int) else 0,
        cached_tokens=_detail(value.get("prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=_detail(value.get("completion_tokens_details"), "reasoning_tokens"),
    )


def _detail(details: Any, name: str) -> int | None:
    value = details.get(name) if isinstance(details, dict) else None
    return value if isinstance(value, int) else None


def logprobs(value: Any) -> tuple[Logprob, ...] | None:
    """Read a choice's `logprobs`; None when there are none."""
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list):
        return None
    return tuple(_logprob(item) for item in content if isinstance(item, dict))


def _logprob(item: dict[str, Any]) -> Logprob:
    top = item.get("top_logprobs")
    raw_bytes = item.get("bytes")
    return Logprob(
        token=_text(item.get("token")),
        logprob=_number(item.get("logprob")),
        bytes=tuple(raw_bytes) if isinstance(raw_bytes, list) else None,
        top=tuple(_logprob({**entry, "top_logprobs": None}) for entry in top if isinstance(entry, dict))
        if isinstance(top, list)
        else (),
    )


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:  # an integer of 400 digits
        return math.nan


def models(raw: dict[str, Any]) -> tuple[ModelInfo, ...]:
    """Read the body of `GET /v1/models`.

    Raises:
        ProtocolError: It has no list of models.
    """
    data = raw.get("data")
    if not isinstance(data, list):
        raise ProtocolError("the list of models has no data")
    return tuple(
        ModelInfo(
            id=item["id"],
            max_model_len=item["max_model_len"] if isinstance(item.get("max_model_len"), int) else None,
            root=item.get("root") if isinstance(item.get("root"), str) else None,
        )
        for item in data
        if isinstance(item, dict) and isinstance(item.get("id"), str)
    )


def token_count(raw: dict[str, Any]) -> TokenCount:
    """Read the body of `POST /tokenize`.

    Raises:
        ProtocolError: It has no count.
    """
    if not isinstance(raw.get("count"), int):
        raise ProtocolError("the answer of /tokenize has no count", hint="count_tokens needs vLLM's /tokenize")
    window = raw.get("max_model_len")
    return TokenCount(count=raw["count"], max_model_len=window if isinstance(window, int) else None)


def token_ids(raw: dict[str, Any]) -> tuple[int, ...]:
    """Read the token ids in the body of `POST /tokenize`.

    Raises:
        ProtocolError: It has none.
    """
    tokens = raw.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        raise ProtocolError("the answer of /tokenize has no tokens", hint="tokenize needs vLLM's /tokenize")
    return tuple(tokens)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
