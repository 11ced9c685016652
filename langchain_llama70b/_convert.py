"""LangChain messages to the core's, and the core's answers to LangChain's. No I/O."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.content import InvalidToolCall
from langchain_core.messages.tool import ToolCall as LangChainToolCall
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.messages.tool import tool_call as langchain_tool_call
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_llama70b._errors import ConfigurationError
from langchain_llama70b._names import PROVIDER
from langchain_llama70b._tools import arguments_text
from llama70b import Choice, Completion, Logprob, Message, ToolCall, Usage
from llama70b._granted import granted
from llama70b._names import CUT_OFF
from llama70b.types import Role

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}
_CALL_BLOCKS = frozenset({"tool_call", "tool_use", "invalid_tool_call", "tool_call_chunk"})
_THOUGHT_BLOCKS = frozenset({"reasoning", "thinking", "reasoning_content", "redacted_thinking"})


def to_messages(messages: Sequence[BaseMessage]) -> tuple[Message, ...]:
    """Return a conversation as the core's messages; the input is not changed.

    Text of several blocks is joined by line breaks, as vLLM does; an assistant's, which are pieces of one text,
    directly. Thoughts are not sent back. Invalid tool calls are, with their arguments as they were.

    Raises:
        ConfigurationError: A part is no text, or a message is of no role the model knows.
    """
    return tuple(_message(message, place) for place, message in enumerate(messages))


def _message(message: BaseMessage, place: int) -> Message:
    match message:
        case SystemMessage():
            return Message("system", _text(message, place), name=message.name)
        case HumanMessage():
            return Message("user", _text(message, place), name=message.name)
        case AIMessage():
            return Message(
                "assistant",
                _text(message, place, joint=""),
                name=message.name,
                tool_calls=_calls(message),
                reasoning=message.additional_kwargs.get("reasoning_content"),
            )
        case ToolMessage():
            return _tool_result(message, place)
        case FunctionMessage():
            return Message("tool", _text(message, place), name=message.name)
        case ChatMessage(role=role) if role.lower() in _ROLES:
            return Message(_ROLES[role.lower()], _text(message, place), name=message.name)
        case _:
            role = getattr(message, "role", message.type)
            raise ConfigurationError(
                f"message {place} has the role {role!r}", hint="the model knows system, user, assistant and tool"
            )


def _tool_result(message: ToolMessage, place: int) -> Message:
    text = _text(message, place)
    if message.status == "error" and "error" not in text.lower():
        text = f"Error: {text}"  # the wire has no field for it, and the model must know
    return Message("tool", text, name=message.name, tool_call_id=message.tool_call_id)


def _text(message: BaseMessage, place: int, joint: str = "\n") -> str:
    if isinstance(message.content, str):
        return message.content
    parts = [_part(part, place) for part in message.content]
    return joint.join(part for part in parts if part is not None)


def _part(part: str | dict[str, Any], place: int) -> str | None:
    """Return the text of one content block, None for one that is sent otherwise or not at all."""
    if isinstance(part, str):
        return part
    kind = part.get("type", "text")
    if kind in {"text", "text-plain", "input_text", "output_text"} and isinstance(part.get("text"), str):
        return str(part["text"])
    if kind == "refusal":
        return str(part.get("refusal", ""))
    if kind == "json":
        return json.dumps(part.get("json"), ensure_ascii=False)
    if kind in _CALL_BLOCKS or kind in _THOUGHT_BLOCKS:
        return None
    raise ConfigurationError(
        f"message {place} holds a part of type {kind!r}", hint="Llama 3.3 70B reads text only: describe it in words"
    )


def _calls(message: AIMessage) -> tuple[ToolCall, ...]:
    """Return the valid calls, the invalid ones, then those that stand in content blocks only."""
    found = [(call["id"], call["name"], arguments_text(call["args"])) for call in message.tool_calls]
    found += [(call["id"], call["name"] or "unknown", call["args"] or "") for call in message.invalid_tool_calls]
    known = {call_id for call_id, _, _ in found}
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, dict) and block.get("type") in _CALL_BLOCKS and block.get("id") not in known:
            args = block.get("args", block.get("input", {}))
            found.append((block.get("id"), block.get("name") or "unknown", arguments_text(args)))
    return tuple(ToolCall(call_id or f"call_{n}", name, args) for n, (call_id, name, args) in enumerate(found))


def split_calls(
    calls: Sequence[ToolCall], *, cut: bool = False
) -> tuple[list[LangChainToolCall], list[InvalidToolCall]]:
    """Return the calls whose arguments are a JSON object, and the others with what is wrong with them.

    Of a `cut` answer no text does not mean no arguments: it may have come no further than the name.
    """
    valid, invalid = [], []
    for call in calls:
        if cut and not call.arguments.strip():
            invalid.append(invalid_tool_call(name=call.name, args="", id=call.id, error="the answer was cut off"))
            continue
        try:
            valid.append(langchain_tool_call(name=call.name, args=call.parsed(), id=call.id))
        except (ValueError, RecursionError) as error:
            invalid.append(invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=str(error)))
    return valid, invalid


def usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Return token counts in LangChain's form: integers only, because chunks are merged by adding."""
    if usage is None:
        return None
    metadata = UsageMetadata(
        input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, total_tokens=usage.total_tokens
    )
    if usage.cached_tokens is not None:
        metadata["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        metadata["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return metadata


def logprobs_object(entries: Sequence[Logprob]) -> dict[str, Any]:
    """Return log-probabilities in OpenAI's form, which LangChain's users know."""
    return {"content": [_logprob(entry) for entry in entries]}


def _logprob(entry: Logprob) -> dict[str, Any]:
    return {
        "token": entry.token,
        "logprob": entry.logprob,
        "bytes": None if entry.bytes is None else list(entry.bytes),
        "top_logprobs": [_logprob(other) for other in entry.top],
    }


def response_metadata(
    completion: Completion, choice: Choice, finish_reason: str | None = None, max_tokens: int | None = None
) -> dict[str, Any]:
    """Return what is known of an answer besides its text.

    Every key but `model_provider` may stand on one chunk of a stream only: merging chunks joins equal keys' texts.

    Args:
        completion: The answer.
        choice: Which of its choices.
        finish_reason: Instead of the choice's.
        max_tokens: What was asked for; `granted_tokens` says when the server allowed less.
    """
    metadata: dict[str, Any] = {
        "model_provider": PROVIDER,
        "model_name": completion.model,
        "finish_reason": finish_reason or choice.finish_reason,
        "id": completion.id,
    }
    optional = {
        "stop_reason": choice.stop_reason,
        "system_fingerprint": completion.system_fingerprint,
        "created": completion.created,
        "request_id": completion.request_id,
        "metrics": None if completion.metrics is None else dict(completion.metrics),
        "timing": None if completion.timing is None else asdict(completion.timing),
        "granted_tokens": granted(completion, max_tokens),
        # Of the whole answer, so it stands on the first of several choices, like usage.
        "cost": None if completion.cost is None or choice.index else dict(completion.cost),
    }
    metadata.update((key, value) for key, value in optional.items() if value is not None)
    return metadata


def to_result(completion: Completion, answer_tool: str | None = None, max_tokens: int | None = None) -> ChatResult:
    """Return a whole answer; its usage stands on the first of several choices.

    Args:
        completion: What the core read.
        answer_tool: Name of the tool whose arguments are the answer's text, see `_request`.
        max_tokens: What was asked for.
    """
    generations = [
        _generation(completion, choice, answer_tool, max_tokens, with_usage=number == 0)
        for number, choice in enumerate(completion.choices)
    ]
    output: dict[str, Any] = {"model_name": completion.model, "model_provider": PROVIDER}
    if completion.usage is not None:
        output["token_usage"] = completion.usage.as_dict()
    return ChatResult(generations=generations, llm_output=output)


def _generation(
    completion: Completion, choice: Choice, answer_tool: str | None, max_tokens: int | None, *, with_usage: bool
) -> ChatGeneration:
    content, calls, reason = choice.message.content, choice.message.tool_calls, choice.finish_reason
    if answer_tool is not None and (answer := [call for call in calls if call.name == answer_tool]):
        content, reason = answer[0].arguments, "stop" if reason == "tool_calls" else reason
        calls = tuple(call for call in calls if call.name != answer_tool)
    valid, invalid = split_calls(calls, cut=choice.finish_reason in CUT_OFF)
    message = AIMessage(
        content=content,
        additional_kwargs={"reasoning_content": choice.message.reasoning} if choice.message.reasoning else {},
        tool_calls=valid,
        invalid_tool_calls=invalid,
        usage_metadata=usage_metadata(completion.usage) if with_usage else None,
        response_metadata=response_metadata(completion, choice, reason, max_tokens),
    )
    info: dict[str, Any] = {"finish_reason": reason}
    if choice.logprobs is not None:
        info["logprobs"] = logprobs_object(choice.logprobs)
    return ChatGeneration(message=message, generation_info=info)


def combined_usage(outputs: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """Return the `llm_output` of a batch: token counts added up, the rest of the first."""
    combined: dict[str, Any] = {}
    totals: dict[str, int] = {}
    for output in outputs:
        if output is None:  # answered from the cache
            continue
        for key, value in output.items():
            if key == "token_usage":
                for name, count in value.items():
                    totals[name] = totals.get(name, 0) + count
            else:
                combined.setdefault(key, value)
    if totals:
        combined["token_usage"] = totals
    return combined
