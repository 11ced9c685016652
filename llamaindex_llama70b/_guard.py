"""Keeping a request inside the context window, before it is sent. Pure: counts are estimates, no server is asked.

The estimate. Core's bundled tokenizer (cl100k) counts English prose and code exactly as Llama 3's does, whose
vocabulary extends the same merges, and overcounts other scripts (Chinese 1.47 times) [notes: llamaindex 5]. So the
count is an upper bound; for a lower one, tokens of text outside ASCII are taken as a quarter. The template adds 30
tokens and 5 a turn (a first system turn is part of the 30), and with tools a preamble and every schema pretty-printed;
Meta's own writes tool results as JSON strings, so the upper bound counts them escaped.
Set `Settings.tokenizer` to Llama 3's own and the estimate is exact but for the template.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from llama70b import ChatRequest, Message, ToolSpec
from llama70b.errors import ContextOverflow
from llamaindex_llama70b._request import GuardMode

TEMPLATE_RESERVE = 48
"""Tokens that LlamaIndex's packing does not know of: the template's own, less core's padding of 5, and room for tools
to answer. With it, no packing of a 4096 window was seen to overflow [notes: llamaindex 5]."""

DEFAULT_OUTPUT = 512
"""Tokens that packing leaves for the answer when `max_tokens` is not set; the server then gives it all that is left."""

_BASE = 30
_TURN = 5
_TOOLS = 50
_TOOLS_SPREAD = 8  # templates word the preamble differently
_CALL = 12
_WIDEST_SAVING = 4
_KEPT = 400  # characters of a shortened tool result, at least
_GAP = 80  # characters of the note in its middle, about
_LOG = logging.getLogger("llamaindex_llama70b")

Count = Callable[[str], int]
"""Tokens of a text."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens of a prompt, between two bounds."""

    low: int
    high: int

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.low + other.low, self.high + other.high)


def certainly_fits(request: ChatRequest, window: int) -> bool:
    """Return whether a request fits whatever the tokenizer: no text has more tokens than bytes."""
    size = _template(request).high + sum(len(text.encode()) for text in _texts(request, wide=True))
    return size + (request.max_tokens or 0) <= window


def estimate(request: ChatRequest, count: Count) -> Estimate:
    """Return the tokens of a request's prompt."""
    total = _template(request)
    for plain, wide in zip(_texts(request), _texts(request, wide=True), strict=True):
        narrow = _of_text(plain, count)
        total += narrow if plain == wide else Estimate(narrow.low, _of_text(wide, count).high)
    return total


def guarded(request: ChatRequest, mode: GuardMode, window: int, count: Count) -> ChatRequest:
    """Return the request to send.

    Args:
        request: What is asked.
        mode: `error` refuses a prompt that cannot fit. `trim` leaves out the oldest turns (never a system turn nor the
            last exchange) and then shortens the longest tool results in their middle. `shrink` lowers `max_tokens` to
            what is left. `off` does nothing.
        window: Context window in tokens.
        count: Counts tokens.

    Raises:
        ContextOverflow: Even so it cannot fit; with both counts.
    """
    if mode == "off" or certainly_fits(request, window):
        return request
    size = estimate(request, count)
    wanted = min(request.max_tokens or DEFAULT_OUTPUT, window // 2)
    if mode == "trim" and size.high + wanted > window:
        request = _shortened(_trimmed(request, window - wanted, count), window - wanted, count)
        size = estimate(request, count)
    if size.low >= window:
        raise ContextOverflow(
            f"the prompt has about {size.low} tokens, the context window is {window}",
            hint="shorten it, pack less context (recommended_settings()), or context_guard='trim'",
            prompt_tokens=size.low,
            max_model_len=window,
            requested_tokens=request.max_tokens,
        )
    if request.max_tokens is not None and size.high + request.max_tokens > window:
        room = max(1, window - size.high)
        if mode == "shrink":
            return replace(request, max_tokens=min(request.max_tokens, room))
        _LOG.info(
            "a prompt of up to %d tokens and max_tokens=%d exceed the window of %d: the answer may be cut short",
            size.high,
            request.max_tokens,
            window,
        )
    return request


def _texts(request: ChatRequest, *, wide: bool = False) -> list[str]:
    """Return what stands in the prompt beside the template's own words; `wide`: in the longest form it may take."""
    texts = [
        json.dumps(message.content, ensure_ascii=False) if wide and message.role == "tool" else message.content
        for message in request.messages
    ]
    texts.extend(call.name + call.arguments for message in request.messages for call in message.tool_calls)
    texts.extend(_tool_text(tool, wide=wide) for tool in request.tools)
    return texts


def _tool_text(tool: ToolSpec, *, wide: bool) -> str:
    schema: dict[str, Any] = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    if wide and tool.strict:
        schema["strict"] = True
    return json.dumps({"type": "function", "function": schema}, indent=4, ensure_ascii=False, default=str)


def _template(request: ChatRequest) -> Estimate:
    calls = [len(message.tool_calls) for message in request.messages if message.tool_calls]
    turns = len(request.messages) - (bool(request.messages) and request.messages[0].role == "system")
    turns += sum(calls) - len(calls)  # every further call of a turn is sent as a turn of its own
    low = _BASE + _TURN * turns + _CALL * sum(calls) + (_TOOLS if request.tools else 0)
    return Estimate(low, low + (_TOOLS_SPREAD + len(request.tools) if request.tools else 0))


def _of_text(text: str, count: Count) -> Estimate:
    high = count(text)
    if text.isascii():
        return Estimate(high, high)
    # The other scripts' share of the tokens, by bytes, may shrink to a quarter; the rest cannot.
    size = len(text.encode())
    foreign = sum(len(character.encode()) for character in text if not character.isascii())
    share = high * foreign // size
    return Estimate(high - share + share // _WIDEST_SAVING, high)


def _groups(messages: tuple[Message, ...]) -> list[list[Message]]:
    """Return the conversation as exchanges: each begins with a user turn and holds what answers it."""
    groups: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not groups:
            groups.append([])
        groups[-1].append(message)
    return groups


def _trimmed(request: ChatRequest, room: int, count: Count) -> ChatRequest:
    """Leave out the oldest exchanges until the rest fits; the system turns and the last exchange stay."""
    system = tuple(message for message in request.messages if message.role == "system")
    groups = _groups(tuple(message for message in request.messages if message.role != "system"))
    dropped = 0
    while len(groups) > 1 and estimate(request, count).high > room:
        dropped += len(groups.pop(0))
        request = replace(request, messages=(*system, *(message for group in groups for message in group)))
    if dropped:
        _LOG.warning("context_guard: left out the %d oldest messages to fit the window", dropped)
    return request


def _shortened(request: ChatRequest, room: int, count: Count) -> ChatRequest:
    """Cut the middle out of the longest tool results until the rest fits."""
    messages = list(request.messages)
    while (over := estimate(request, count).high - room) > 0:
        results = [number for number, message in enumerate(messages) if message.role == "tool"]
        longest = max(results, key=lambda number: len(messages[number].content), default=None)
        if longest is None or len(text := messages[longest].content) <= _KEPT + 2 * _GAP:
            break
        excess = int((over + 1) * len(text) / max(1, count(text))) + _GAP
        keep = max(_KEPT, len(text) - max(excess, 2 * _GAP))
        messages[longest] = replace(messages[longest], content=_without_middle(text, keep))
        _LOG.warning("context_guard: cut a tool result from %d to about %d characters", len(text), keep)
        request = replace(request, messages=tuple(messages))
    return request


def _without_middle(text: str, keep: int) -> str:
    head = (keep * 2) // 3
    tail = keep - head
    gap = f"\n[... {len(text) - keep} characters left out to fit the context window ...]\n"
    return text[:head] + gap + text[len(text) - tail :]
