"""What routing reads off a LlamaIndex conversation, and what it writes into an answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    MessageRole,
    ToolCallBlock,
)

from llama70b.routing import Ask, Facts, Gate, Tier

KEY = "routing"
_CHARS_PER_TOKEN = 4
_STRUCTURED = ("response_format", "structured_outputs", "json_schema", "regex", "choice", "grammar")


def ask_of(messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], *, requested: Tier | None, tools: int) -> Ask:
    """Return what the router needs to know of a conversation.

    The agent run is what follows the last user's turn: which tier answered in it stands in the messages themselves.

    Args:
        messages: The conversation.
        kwargs: The call's arguments.
        requested: The tier somebody asked for.
        tools: How many tools are offered.
    """
    last_user = max((i for i, m in enumerate(messages) if m.role == MessageRole.USER), default=-1)
    answers = [m for m in messages[last_user + 1 :] if m.role == MessageRole.ASSISTANT]
    tiers = [tier for answer in answers if (tier := tier_of(answer)) is not None]
    facts = Facts(
        turns=len(messages),
        context_tokens=sum(len(message.content or "") for message in messages) // _CHARS_PER_TOKEN,
        tools=tools,
        structured=any(kwargs.get(name) is not None for name in _STRUCTURED),
        images=sum(isinstance(block, ImageBlock) for message in messages for block in message.blocks),
        max_tokens=kwargs.get("max_tokens"),
    )
    calls = [call for answer in answers for call in calls_of(answer)]
    return Ask(
        text=(messages[last_user].content or "") if last_user >= 0 else "",
        facts=facts,
        requested=requested,
        pinned=("70b" if "70b" in tiers else "8b") if tiers else None,
        failed_on_8b=bool(answers) and tier_of(answers[-1]) == "8b" and _broken(answers[-1]),
        last_calls=calls,
    )


def calls_of(message: ChatMessage) -> list[tuple[str, str]]:
    """Return a turn's tool calls as (name, JSON text of the arguments)."""
    return [
        (
            block.tool_name,
            block.tool_kwargs if isinstance(block.tool_kwargs, str) else json.dumps(block.tool_kwargs, sort_keys=True),
        )
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]


def _broken(message: ChatMessage) -> bool:
    return any(isinstance(block, ToolCallBlock) and isinstance(block.tool_kwargs, str) for block in message.blocks)


def tier_of(message: ChatMessage) -> Tier | None:
    """Return the tier that wrote a turn, if a router noted it."""
    record = message.additional_kwargs.get(KEY)
    tier = record.get("tier") if isinstance(record, Mapping) else None
    return tier if tier in {"70b", "8b"} else None


def objection_to(gate: Gate, response: ChatResponse, tools: Sequence[str], *, whole: bool = True) -> str | None:
    """Return why the 8B's answer may not stand, None if it may; of a beginning only the margins can be judged."""
    margin = _margins(response)
    if not whole:
        return gate.hesitates(margin)
    message = response.message
    return gate.objection(message.content or "", calls=calls_of(message), tools=tools, margin=margin)


def _margins(response: ChatResponse) -> list[float]:
    found: list[float] = []
    for alternatives in response.logprobs or ():
        top = sorted((one.logprob for one in alternatives), reverse=True)
        if len(top) > 1:
            found.append(top[0] - top[1])
    return found


def noted(response: ChatResponse, record: Mapping[str, Any]) -> ChatResponse:
    """Return the response with the routing record, on itself and on its message, where the next turn finds it."""
    message = response.message.model_copy(
        update={"additional_kwargs": {**response.message.additional_kwargs, KEY: dict(record)}}
    )
    kwargs = {**response.additional_kwargs, KEY: dict(record)}
    return response.model_copy(update={"message": message, "additional_kwargs": kwargs})


def noted_completion(response: CompletionResponse, record: Mapping[str, Any]) -> CompletionResponse:
    """Return the response with the routing record."""
    return response.model_copy(update={"additional_kwargs": {**response.additional_kwargs, KEY: dict(record)}})
