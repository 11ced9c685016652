"""Rewrite a conversation so that Llama 3.3's own chat template accepts it, without losing anything.

The template raises "This model only supports single tool-calls at once!" on an assistant turn with several calls
(https://huggingface.co/meta-llama/Llama-3.3-70B-Instruct, tokenizer_config.json), and "Cannot put tools in the first
user message when there's no first user message!" when tools are offered and nothing but a system turn was said.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from llama70b.types import Message

_LOG = logging.getLogger("llama70b")
_logged: set[str] = set()


def repaired(messages: Sequence[Message], *, with_tools: bool) -> list[Message]:
    """Return the turns to send; the input is not changed.

    An assistant turn with several calls becomes one turn a call, each followed by its own result. With tools, a
    conversation whose first turn after the system one is not the user's gets an empty user turn before it, because
    the template takes whatever stands there for the user's words. What was done is logged once per kind at INFO.

    Args:
        messages: The conversation.
        with_tools: Whether the request offers tools.
    """
    turns = _one_call_a_turn(messages)
    if with_tools:
        first = 1 if turns and turns[0].role == "system" else 0
        if first == len(turns) or turns[first].role != "user":
            turns.insert(first, Message("user", ""))
            _log_once("put an empty user turn before the first assistant turn, where the template puts the tools")
    return turns


def _one_call_a_turn(messages: Sequence[Message]) -> list[Message]:
    turns: list[Message] = []
    position = 0
    while position < len(messages):
        message = messages[position]
        position += 1
        if len(message.tool_calls) < 2:  # noqa: PLR2004 - several calls means two or more
            turns.append(message)
            continue
        results: list[Message] = []
        while position < len(messages) and messages[position].role == "tool":
            results.append(messages[position])
            position += 1
        for number, call in enumerate(message.tool_calls):
            text = message.content if number == 0 else ""
            turns.append(replace(message, content=text, tool_calls=(call,)))
            shared = any(later.id == call.id for later in message.tool_calls[number + 1 :])
            own = [result for result in results if result.tool_call_id == call.id]
            for result in own[:1] if shared else own:  # each result once, also when two calls share an id
                results.remove(result)
                turns.append(result)
        turns.extend(results)
        _log_once("split an assistant turn with several tool calls into one turn a call")
    return turns


def _log_once(what: str) -> None:
    if what not in _logged:
        _logged.add(what)
        _LOG.info("history rewritten for the Llama 3.3 template: %s", what)
