"""The syllogism query engine, for models too small to call tools: read, check exactly, let the model phrase the answer.

from llamaindex_llama70b import SyllogismQueryEngine
engine = SyllogismQueryEngine(llm=Llama70B())
response = engine.query("If all roses are flowers and ..., can we conclude that ...?")
str(response), response.metadata["verdict"]
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import QueryBundle

from llama70b.reasoning.assisted import AssistedResult, acheck_assisted, check_assisted
from llama70b.reasoning.explain import answer_of, explain_messages, opening
from llama70b.syllogism import Import, check_argument
from llamaindex_llama70b._asking import Asking


class SyllogismQueryEngine(BaseQueryEngine):
    """Answers questions about syllogisms; use it by itself, as a tool, or under a router.

    `response.metadata` is the structured answer: `verdict`, `answer`, `reading`, `countermodel`, `explanation`,
    `assumptions`, `usage`, `read_by_model` ... (`llama70b.reasoning.Answer`).

    Args:
        llm: Any LLM with a chat interface; it needs no tools. None: reader and checker alone.
        assist: Ask it about sentences the grammar refuses, one at a time and under guard.
        votes: How often to ask about one sentence, see `llama70b.reasoning.assisted.plan`.
        explain: Let it phrase the answer; its words are shown only if their verdict is the checker's.
        streaming: Return a streaming response: first the line with the verdict, which is known before the model is
            asked; then the rest, once it has been held to the verdict. The metadata is complete at the end.
        import_: Convention of existential import.
        callback_manager: LlamaIndex's callbacks.

    Raises:
        ValueError: `votes` is below 1.
    """

    def __init__(
        self,
        llm: LLM | None = None,
        *,
        assist: bool = True,
        votes: int = 1,
        explain: bool = True,
        streaming: bool = False,
        import_: Import = "all_terms",
        callback_manager: CallbackManager | None = None,
    ) -> None:
        if votes < 1:
            raise ValueError(f"votes is {votes}: give 1 or more")
        super().__init__(callback_manager)
        self._llm = llm
        self._assist = assist and llm is not None
        self._votes = votes
        self._explain = explain and llm is not None
        self._streaming = streaming
        self._import: Import = import_

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        text, asking = query_bundle.query_str, Asking(self._llm)
        if self._assist:
            checked = check_assisted(text, asking.complete, import_=self._import, votes=self._votes)
        else:
            checked = self._alone(text)
        if self._streaming:
            metadata: dict[str, Any] = {"verdict": checked.verdict}
            return StreamingResponse(self._streamed(text, checked, asking, metadata), metadata=metadata)
        answer = answer_of(text, checked, self._said(text, checked, asking), asking.usage)
        return Response(answer.answer, metadata=answer.to_dict())

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        text, asking = query_bundle.query_str, Asking(self._llm)
        if self._assist:
            checked = await acheck_assisted(text, asking.acomplete, import_=self._import, votes=self._votes)
        else:
            checked = self._alone(text)
        if self._streaming:
            metadata: dict[str, Any] = {"verdict": checked.verdict}
            return AsyncStreamingResponse(self._astreamed(text, checked, asking, metadata), metadata=metadata)
        answer = answer_of(text, checked, await self._asaid(text, checked, asking), asking.usage)
        return Response(answer.answer, metadata=answer.to_dict())

    def _alone(self, text: str) -> AssistedResult:
        return AssistedResult(check_argument(text, import_=self._import))

    def _said(self, text: str, checked: AssistedResult, asking: Asking) -> str | None:
        asked = explain_messages(text, checked) if self._explain else None
        return asking.say(asked) if asked is not None else None

    async def _asaid(self, text: str, checked: AssistedResult, asking: Asking) -> str | None:
        asked = explain_messages(text, checked) if self._explain else None
        return await asking.asay(asked) if asked is not None else None

    def _streamed(
        self, text: str, checked: AssistedResult, asking: Asking, metadata: dict[str, Any]
    ) -> Generator[str, None, None]:
        first = opening(text, checked)
        yield first
        answer = answer_of(text, checked, self._said(text, checked, asking), asking.usage)
        metadata.update(answer.to_dict())
        yield _rest(first, answer.answer)

    async def _astreamed(
        self, text: str, checked: AssistedResult, asking: Asking, metadata: dict[str, Any]
    ) -> AsyncGenerator[str, None]:
        first = opening(text, checked)
        yield first
        answer = answer_of(text, checked, await self._asaid(text, checked, asking), asking.usage)
        metadata.update(answer.to_dict())
        yield _rest(first, answer.answer)


def _rest(first: str, answer: str) -> str:
    if not first:
        return answer
    return answer.removeprefix(first) if answer.startswith(first) else f"\n\n{answer}"
