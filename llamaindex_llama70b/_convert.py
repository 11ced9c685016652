"""LlamaIndex messages to the core's and back. Pure; nothing here is mutated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    CitationBlock,
    CompletionResponse,
    ContentBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from llama70b import Completion, Logprob, Message, ToolCall
from llama70b._names import CUT_OFF
from llama70b.errors import ConfigurationError
from llama70b.types import Role

PROVIDER = "llama70b"
"""`model_provider` in the metadata of every answer, the same as LangChain's side."""


def to_message(message: ChatMessage) -> Message:
    """Return the core's form of one turn.

    Args:
        message: Any role; text, citable text, tool calls. Thoughts and cache points are left out: Llama 3.3's
            template has no place for them.

    Raises:
        ConfigurationError: It holds something that is not text.
    """
    extra = message.additional_kwargs
    texts: list[str] = []
    calls: list[ToolCall] = []
    for number, block in enumerate(message.blocks):
        if isinstance(block, ToolCallBlock):
            calls.append(_call_of_block(block, len(calls)))
        else:
            texts.extend(_texts(block, message.role, number))
    if not calls and (legacy := extra.get("tool_calls")):
        calls = [_call_of_dict(item, number) for number, item in enumerate(legacy)]
    name = extra.get("name")
    call_id = extra.get("tool_call_id")
    role = _role(message.role)
    return Message(
        role=role,
        content="\n".join(texts),
        name=name if isinstance(name, str) else None,
        tool_calls=tuple(calls) if role == "assistant" else (),
        # FunctionAgent also puts it on an assistant turn (return_direct), where the wire has no such field.
        tool_call_id=str(call_id) if call_id is not None and role == "tool" else None,
    )


def _role(role: MessageRole) -> Role:
    match role:
        case MessageRole.SYSTEM | MessageRole.DEVELOPER:  # the template knows no developer
            return "system"
        case MessageRole.USER:
            return "user"
        case MessageRole.ASSISTANT | MessageRole.CHATBOT | MessageRole.MODEL:
            return "assistant"
        case MessageRole.TOOL | MessageRole.FUNCTION:
            return "tool"
        case _:
            assert_never(role)


def _texts(block: ContentBlock, role: MessageRole, number: int) -> list[str]:
    """Return the texts of a block that is no tool call."""
    if isinstance(block, TextBlock):
        return [block.text]
    if isinstance(block, CachePoint | ThinkingBlock):
        return []
    if isinstance(block, CitableBlock):
        return [text for inner in block.content for text in _texts(inner, role, number)]
    if isinstance(block, CitationBlock):
        return _texts(block.cited_content, role, number)
    raise ConfigurationError(
        f"block {number} of a {role.value} message is {type(block).__name__}: Llama 3.3 70B reads text only",
        hint="leave it out, or put its text into a TextBlock",
    )


def _call_of_block(block: ToolCallBlock, number: int) -> ToolCall:
    given = block.tool_kwargs
    arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str)
    return ToolCall(id=block.tool_call_id or f"call_{number}", name=block.tool_name, arguments=arguments)


def _call_of_dict(item: Any, number: int) -> ToolCall:
    """Read the OpenAI form of a call: a dict, or an SDK object kept by somebody's memory."""
    function = _get(item, "function")
    name = _get(function, "name")
    if not isinstance(name, str):
        raise ConfigurationError(
            f"additional_kwargs['tool_calls'][{number}] has no function name",
            hint="the form is {'id': ..., 'type': 'function', 'function': {'name': ..., 'arguments': '{...}'}}",
        )
    arguments = _get(function, "arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return ToolCall(id=str(_get(item, "id") or f"call_{number}"), name=name, arguments=text)


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def parsed(call: ToolCall, *, cut: bool = False) -> dict[str, Any] | str:
    """Return a call's arguments as a dict, or its text where that is no JSON object.

    Args:
        call: As received.
        cut: The answer was cut off: then no text does not mean no arguments, vLLM may have come no further than the
            name.
    """
    if cut and not call.arguments.strip():
        return call.arguments
    try:
        return call.parsed()
    except ValueError:
        return call.arguments


def assistant_message(
    text: str, reasoning: str, calls: Sequence[ToolCall], kwargs: Sequence[dict[str, Any] | str]
) -> ChatMessage:
    """Return an assistant turn; built once a token, so what validates slower than it copies is not validated.

    Args:
        text: Its text; no text block is made for "" when there are calls.
        reasoning: Its thoughts, "" for none.
        calls: Its tool calls.
        kwargs: Their arguments as `ToolCallBlock.tool_kwargs` shall have them, one a call.
    """
    blocks: list[ContentBlock] = []
    if reasoning:
        blocks.append(ThinkingBlock.model_construct(content=reasoning, num_tokens=None, additional_information={}))
    if text or not calls:
        blocks.append(TextBlock(text=text))
    if not calls:
        return ChatMessage.model_construct(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs={})
    blocks.extend(
        ToolCallBlock.model_construct(tool_call_id=call.id, tool_name=call.name, tool_kwargs=arguments)
        for call, arguments in zip(calls, kwargs, strict=True)
    )
    # Streaming structured output in core looks only here, agents look only at the blocks.
    tool_calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in calls
    ]
    return ChatMessage.model_construct(
        role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs={"tool_calls": tool_calls}
    )


def chat_response(answer: Completion, *, single_call: bool = False, delta: str | None = None) -> ChatResponse:
    """Return a finished answer.

    Args:
        answer: From the core.
        single_call: Keep the first tool call only (`allow_parallel_tool_calls=False`); `raw` keeps all.
        delta: "" for the last element of a stream.
    """
    message = answer.message
    calls = message.tool_calls[:1] if single_call else message.tool_calls
    cut = answer.finish_reason in CUT_OFF
    kwargs = [parsed(call, cut=cut) for call in calls]
    return ChatResponse(
        message=assistant_message(message.content, message.reasoning or "", calls, kwargs),
        raw=dict(answer.raw),
        delta=delta,
        logprobs=logprobs(answer.choices[0].logprobs),
        additional_kwargs=metadata(answer),
    )


def completion_response(response: ChatResponse) -> CompletionResponse:
    """Return the completion form of a chat answer or of one element of its stream."""
    return CompletionResponse.model_construct(
        text=response.message.content or "",
        additional_kwargs=response.additional_kwargs,
        raw=response.raw,
        logprobs=response.logprobs,
        delta=response.delta,
    )


def metadata(answer: Completion) -> dict[str, Any]:
    """Return what goes into `additional_kwargs`: usage by the wire's names, how it ended, where the time went."""
    choice = answer.choices[0]
    values: dict[str, Any] = {}
    if answer.usage is not None:
        values |= answer.usage.as_dict()
        for name in ("cached_tokens", "reasoning_tokens"):
            if (count := getattr(answer.usage, name)) is not None:
                values[name] = count
    values |= {"finish_reason": choice.finish_reason, "model_name": answer.model, "model_provider": PROVIDER}
    optional = {
        "stop_reason": choice.stop_reason,
        "id": answer.id or None,
        "created": answer.created,
        "system_fingerprint": answer.system_fingerprint,
        "request_id": answer.request_id,
        "metrics": None if answer.metrics is None else dict(answer.metrics),
        "cost": None if answer.cost is None else dict(answer.cost),
    }
    values |= {name: value for name, value in optional.items() if value is not None}
    if (timing := answer.timing) is not None:
        values["timing"] = {
            "total_s": timing.total_s,
            "first_token_s": timing.first_token_s,
            "cold_start_s": timing.cold_start_s,
            "attempts": timing.attempts,
        }
    return values


def logprobs(given: Sequence[Logprob] | None) -> list[list[LogProb]] | None:
    """Return one list a token: the token itself first, then the alternatives asked for with `top_logprobs`."""
    if given is None:
        return None
    return [
        [_logprob(entry), *(_logprob(other) for other in entry.top if other.token != entry.token)] for entry in given
    ]


def _logprob(entry: Logprob) -> LogProb:
    return LogProb(token=entry.token, logprob=entry.logprob, bytes=list(entry.bytes or ()))
