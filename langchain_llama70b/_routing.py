"""What routing reads off a LangChain conversation, and what it writes into an answer. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage

from llama70b.routing import Ask, Facts, Gate, Tier

TIER_TAGS: Mapping[str, Tier] = {"llama70b:70b": "70b", "llama70b:8b": "8b"}
KEY = "routing"
_CHARS_PER_TOKEN = 4


def ask_of(messages: Sequence[BaseMessage], kwargs: Mapping[str, Any], *, requested: Tier | None, tools: int) -> Ask:
    """Return what the router needs to know of a conversation.

    The agent run is what follows the last human turn: which tier answered in it, and whether that went wrong, stands
    in the messages themselves, so a run is pinned without any memory of ours.

    Args:
        messages: The conversation.
        kwargs: The call's arguments.
        requested: The tier somebody asked for.
        tools: How many tools are bound.
    """
    last_human = max((i for i, m in enumerate(messages) if isinstance(m, HumanMessage)), default=-1)
    text = messages[last_human].text if last_human >= 0 else ""
    answers = [m for m in messages[last_human + 1 :] if isinstance(m, AIMessage)]
    tiers = [tier for answer in answers if (tier := tier_of(answer)) is not None]
    structured = any(kwargs.get(name) is not None for name in ("response_format", "structured_outputs"))
    facts = Facts(
        turns=len(messages),
        context_tokens=sum(len(message.text) for message in messages) // _CHARS_PER_TOKEN,
        tools=tools,
        structured=structured,
        images=sum(_images(message) for message in messages),
        max_tokens=kwargs.get("max_tokens"),
    )
    return Ask(
        text=text,
        facts=facts,
        requested=requested,
        pinned=("70b" if "70b" in tiers else "8b") if tiers else None,
        failed_on_8b=bool(answers) and tier_of(answers[-1]) == "8b" and bool(answers[-1].invalid_tool_calls),
        last_calls=[(c["name"], json.dumps(c["args"], sort_keys=True)) for a in answers for c in a.tool_calls],
    )


def tier_of(message: AIMessage) -> Tier | None:
    """Return the tier that wrote a message, if a router noted it."""
    record = message.response_metadata.get(KEY)
    tier = record.get("tier") if isinstance(record, Mapping) else None
    return tier if tier in {"70b", "8b"} else None


def _images(message: BaseMessage) -> int:
    if isinstance(message.content, str):
        return 0
    return sum(isinstance(part, dict) and str(part.get("type")) in {"image", "image_url"} for part in message.content)


def objection_to(gate: Gate, message: AIMessage, tools: Sequence[str], *, whole: bool = True) -> str | None:
    """Return why the 8B's answer may not stand, None if it may.

    Args:
        gate: The rules.
        message: The answer, or the beginning of one.
        tools: Names of the tools it was offered.
        whole: Whether it is all of it; of a beginning only the margins can be judged.
    """
    logprobs = message.response_metadata.get("logprobs")
    margin = _margins(logprobs.get("content") or ()) if isinstance(logprobs, Mapping) else []
    if not whole:
        return gate.hesitates(margin)
    if message.invalid_tool_calls:
        return "broken_arguments"
    calls = [(call["name"], json.dumps(call["args"])) for call in message.tool_calls]
    return gate.objection(message.text, calls=calls, tools=tools, margin=margin)


def _margins(entries: Sequence[Any]) -> list[float]:
    found = []
    for entry in entries:
        top = sorted((float(one["logprob"]) for one in entry.get("top_logprobs") or ()), reverse=True)
        if len(top) > 1:
            found.append(top[0] - top[1])
    return found


def noted(message: AIMessage, record: Mapping[str, Any]) -> AIMessage:
    """Return the message with the routing record in its metadata.

    On a stream that goes into exactly one chunk: merging chunks concatenates equal texts and adds equal numbers.
    """
    metadata = {**message.response_metadata, KEY: dict(record)}
    return message.model_copy(update={"response_metadata": metadata})


def noted_chunk(chunk: AIMessageChunk, record: Mapping[str, Any]) -> AIMessageChunk:
    """Return the chunk with the routing record."""
    return chunk.model_copy(update={"response_metadata": {**chunk.response_metadata, KEY: dict(record)}})
