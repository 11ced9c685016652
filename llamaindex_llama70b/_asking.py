"""A LlamaIndex LLM as the function that model-assisted reading asks: any model, constrained where it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms import LLM

from llama70b.reasoning.assisted import json_format
from llamaindex_llama70b.llm import Llama70B

_MOST_TOKENS = 160


class Asking:
    """Asks one LLM, and counts its tokens.

    Ours is constrained by the engine, greedy; of others the guards alone check the answer.

    Args:
        llm: The model; None where it is never asked.
    """

    def __init__(self, llm: LLM | None) -> None:
        self._llm = llm
        self.usage: dict[str, int] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

    def complete(self, messages: Sequence[Mapping[str, str]], json_schema: Mapping[str, Any]) -> str:
        """Ask for JSON."""
        return self.say(messages, **self._constraint(json_schema))

    async def acomplete(self, messages: Sequence[Mapping[str, str]], json_schema: Mapping[str, Any]) -> str:
        """Ask for JSON."""
        return await self.asay(messages, **self._constraint(json_schema))

    def say(self, messages: Sequence[Mapping[str, str]], **options: Any) -> str:
        """Ask."""
        return self._text(self._model().chat(_chat(messages), **options))

    async def asay(self, messages: Sequence[Mapping[str, str]], **options: Any) -> str:
        """Ask."""
        return self._text(await self._model().achat(_chat(messages), **options))

    def _model(self) -> LLM:
        assert self._llm is not None
        return self._llm

    def _constraint(self, json_schema: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(self._llm, Llama70B):
            return {}
        return {"response_format": json_format(json_schema), "temperature": 0.0, "max_tokens": _MOST_TOKENS}

    def _text(self, response: ChatResponse) -> str:
        given = response.raw.get("usage") if isinstance(response.raw, dict) else None
        if isinstance(given, dict):
            self.usage = {name: count + int(given.get(name) or 0) for name, count in self.usage.items()}
        return response.message.content or ""


def _chat(messages: Sequence[Mapping[str, str]]) -> list[ChatMessage]:
    return [ChatMessage(role=one["role"], content=one["content"]) for one in messages]
