"""Token counts in the served model's own tokens: by your tokenizer, by the server, or said to be an estimate."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.messages.utils import count_tokens_approximately
from pydantic import PrivateAttr

from langchain_llama70b._connection import Llama70BConnection
from langchain_llama70b._convert import to_messages
from langchain_llama70b._errors import ConfigurationError, as_langchain
from langchain_llama70b._tools import ToolLike, openai_tool, tool_spec
from llama70b import ChatRequest, Client, Message, ToolSpec
from llama70b.errors import Llama70BError, NotFound

T = TypeVar("T")

_AWAKE_S = 60.0
"""Seconds after an answer during which the endpoint is taken to be awake; it goes to sleep after 180."""
_PREAMBLE = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
_TOOL_PREAMBLE = (
    "\n\nGiven the following functions, please respond with a JSON for a function call with its proper arguments that "
    'best answers the given prompt.\n\nRespond in the format {"name": function name, "parameters": dictionary of '
    "argument name and its value}.Do not use variables.\n\n"
)


class TokenCounting(Llama70BConnection):
    """The counting part of `ChatLlama70B`.

    In this order: `custom_get_token_ids`, if you gave one (any Llama 3 tokenizer's `encode`, without special tokens:
    exact and offline); the server's `/tokenize`, if it is awake (exact, template and tools included); else an estimate
    of four characters a token, with a warning. Another model's tokenizer is never used. An endpoint on Modal is not
    woken to count: it counts as awake for a minute after each answer. Elsewhere a look at `/health` decides.
    """

    _answered_at: float = PrivateAttr(default=float("-inf"))

    def _note_answer(self) -> None:
        self._answered_at = time.monotonic()

    def _is_awake(self) -> bool:
        client = self._client()
        host = client.endpoint.origin[1]
        if time.monotonic() - self._answered_at < _AWAKE_S:
            return True
        return not host.endswith((".modal.run", ".modal.direct")) and client.health(timeout=2.0)

    def get_token_ids(self, text: str) -> list[int]:
        """Return the Llama 3 token ids of a text, without template or special tokens.

        Raises:
            ConfigurationError: The endpoint sleeps and there is no `custom_get_token_ids`: ids cannot be estimated.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        ids = self._ask_server(lambda client: list(client.tokenize(text)))
        if ids is not None:
            return ids
        raise ConfigurationError(
            "the endpoint is not awake, and there is no tokenizer here",
            hint="call warm_up() first, or give custom_get_token_ids=<a Llama 3 tokenizer's encode>",
        )

    def get_num_tokens(self, text: str) -> int:
        """Return how many tokens a text has, without template; how, see the class."""
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        count = self._ask_server(lambda client: len(client.tokenize(text)))
        return self._estimate([HumanMessage(text)], extra_tokens_per_message=0) if count is None else count

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[ToolLike] | None = None) -> int:
        """Return how long the prompt is that a call with these messages and tools sends; how, see the class."""
        request = ChatRequest(messages=to_messages(messages), tools=tuple(tool_spec(tool) for tool in tools or ()))
        if self.custom_get_token_ids is not None:
            return template_tokens(request, self.custom_get_token_ids)
        counted = self._ask_server(lambda client: client.count_tokens(request))
        if counted is None:
            return self._estimate(messages, tools=[openai_tool(tool) for tool in tools or ()] or None)
        self._learn_window(counted.max_model_len)
        return counted.count

    def _ask_server(self, ask: Callable[[Client], T]) -> T | None:
        """Return the server's answer, None if it sleeps or has no `/tokenize`."""
        try:
            return ask(self._client()) if self._is_awake() else None
        except NotFound:
            return None
        except Llama70BError as error:
            raise as_langchain(error) from error.__cause__

    def _estimate(self, messages: list[BaseMessage], **options: Any) -> int:
        warnings.warn(
            "the endpoint is not awake: this token count is an estimate (4 characters a token). "
            "Exact: warm_up() first, or custom_get_token_ids=<a Llama 3 tokenizer's encode>",
            stacklevel=3,
        )
        return count_tokens_approximately(messages, **options)

    def _learn_window(self, tokens: int | None) -> None:
        """Put the server's window into the profile."""
        if tokens is not None and self.profile is not None:
            self.profile = {**self.profile, "max_input_tokens": tokens, "max_output_tokens": tokens}


def template_tokens(request: ChatRequest, encode: Callable[[str], Sequence[int]]) -> int:
    """Return the prompt's length under Llama 3.3's own chat template (meta-llama/Llama-3.3-70B-Instruct).

    Each turn is a header of two special tokens around the role, the text after two line breaks, and an end token; the
    prompt begins with one more token and ends with an assistant's header.

    Args:
        request: Messages and tools.
        encode: Text to ids, without special tokens.
    """
    turns = list(request.messages)
    system = turns.pop(0).content.strip() if turns and turns[0].role == "system" else ""
    environment = "\n\nEnvironment: ipython\n" if request.tools else "\n\n"
    texts = [("system", environment + _PREAMBLE + system)]
    if request.tools:
        described = "".join(f"{json.dumps(_printed(tool), indent=4)}\n\n" for tool in request.tools)
        first = turns.pop(0).content.strip() if turns else ""
        texts.append(("user", _TOOL_PREAMBLE + described + first))
    texts += [(("ipython" if turn.role == "tool" else turn.role), "\n\n" + _turn_text(turn)) for turn in turns]
    tokens = sum(len(encode(role)) + len(encode(text)) + 3 for role, text in texts)
    return 1 + tokens + len(encode("assistant")) + len(encode("\n\n")) + 2


def _printed(tool: ToolSpec) -> dict[str, Any]:
    """Return a tool as the template prints it."""
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _turn_text(turn: Message) -> str:
    if turn.tool_calls:
        call = turn.tool_calls[0]
        return f'{{"name": "{call.name}", "parameters": {call.arguments}}}'
    return json.dumps(turn.content) if turn.role == "tool" else turn.content.strip()
