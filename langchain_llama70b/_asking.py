"""A LangChain chat model as the function that model-assisted reading asks: any model, constrained where it can be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig

from langchain_llama70b.chat_models import ChatLlama70B
from llama70b.reasoning.assisted import json_format

_MOST_TOKENS = 160


class Asking:
    """Asks one model, and counts its tokens.

    Ours is constrained by the engine, greedy; others by their own structured output if they have one, else the schema
    is left to the guards, which check every answer anyway.

    Args:
        model: The chat model.
        config: Callbacks, tags and metadata of the run it belongs to.
    """

    def __init__(self, model: BaseChatModel, config: RunnableConfig | None = None) -> None:
        self._model = model
        self._config = config
        self.usage: dict[str, int] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

    def complete(self, messages: Sequence[Mapping[str, str]], json_schema: Mapping[str, Any]) -> str:
        """Ask."""
        return self._text(self._asked(json_schema).invoke([dict(one) for one in messages], self._config))

    async def acomplete(self, messages: Sequence[Mapping[str, str]], json_schema: Mapping[str, Any]) -> str:
        """Ask."""
        return self._text(await self._asked(json_schema).ainvoke([dict(one) for one in messages], self._config))

    def count(self, message: BaseMessage) -> None:
        """Add the tokens of an answer."""
        used = message.usage_metadata if isinstance(message, AIMessage) else None
        if used is not None:
            self.usage["prompt_tokens"] += used["input_tokens"]
            self.usage["completion_tokens"] += used["output_tokens"]
            self.usage["total_tokens"] += used["total_tokens"]

    def _asked(self, json_schema: Mapping[str, Any]) -> Runnable[Any, Any]:
        if isinstance(self._model, ChatLlama70B):
            return self._model.bind(response_format=json_format(json_schema), temperature=0.0, max_tokens=_MOST_TOKENS)
        described = {"title": "reading", "description": "The answer.", **json_schema}
        try:
            return self._model.with_structured_output(described, include_raw=True)
        except NotImplementedError:  # a model without tools or JSON mode
            return self._model

    def _text(self, answer: object) -> str:
        if isinstance(answer, BaseMessage):
            self.count(answer)
            return str(answer.text)
        if not isinstance(answer, Mapping):
            return ""
        raw, parsed = answer.get("raw"), answer.get("parsed")
        if isinstance(raw, BaseMessage):
            self.count(raw)
        if isinstance(parsed, dict):
            return json.dumps(parsed, ensure_ascii=False)
        return str(raw.text) if isinstance(raw, BaseMessage) else ""
