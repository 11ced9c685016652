"""Subjects with more, or less, of a framework around the client: its agents, and the framework alone.

The floors are the least a framework can cost: a minimal subclass of its base class that yields elements made
beforehand. What a client adds is its reading (compare `httpx + json`) and the making of those elements.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from benchmarks.client import subjects
from benchmarks.client.subjects import MODELS, LangChain, LlamaIndex, Seen, Target


def _size(target: Target) -> int:
    return int(target.model.split("-")[1])


class LangChainFloor(LangChain):
    """`BaseChatModel.stream` over chunks that exist already."""

    def __init__(self, target: Target) -> None:
        from langchain_core.language_models.chat_models import BaseChatModel  # noqa: PLC0415
        from langchain_core.messages import AIMessageChunk  # noqa: PLC0415
        from langchain_core.outputs import ChatGenerationChunk  # noqa: PLC0415

        made: list[Any] = []

        class Floor(BaseChatModel):
            @property
            def _llm_type(self) -> str:
                return "floor"

            def _generate(self, *_: Any, **__: Any) -> Any:
                raise LookupError("the floor only streams")

            def _stream(self, *_: Any, **__: Any) -> Iterator[Any]:
                yield from made

            async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
                for chunk in made:
                    yield chunk

        def prepare() -> None:
            made[:] = [
                ChatGenerationChunk(message=AIMessageChunk(content=" the", response_metadata={"model_provider": "x"}))
                for _ in range(_size(target))
            ]

        self.prepare = prepare
        super().__init__(Floor())


class LlamaIndexFloor(LlamaIndex):
    """`stream_chat` with core's events over responses that exist already."""

    def __init__(self, target: Target) -> None:
        from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata  # noqa: PLC0415
        from llama_index.core.llms.callbacks import llm_chat_callback  # noqa: PLC0415
        from llama_index.core.llms.custom import CustomLLM  # noqa: PLC0415

        made: list[Any] = []

        class Floor(CustomLLM):
            @property
            def metadata(self) -> LLMMetadata:
                return LLMMetadata(is_chat_model=True)

            def complete(self, *_: Any, **__: Any) -> Any:
                raise LookupError("the floor only streams")

            def stream_complete(self, *_: Any, **__: Any) -> Any:
                raise LookupError("the floor only streams chats")

            @llm_chat_callback()
            def stream_chat(self, *_: Any, **__: Any) -> Any:
                return (response for response in made)

            @llm_chat_callback()
            async def astream_chat(self, *_: Any, **__: Any) -> Any:
                async def responses() -> AsyncIterator[Any]:
                    for response in made:
                        yield response

                return responses()

        def prepare() -> None:
            made[:] = [
                ChatResponse(message=ChatMessage(role="assistant", content=" the"), delta=" the", raw={})
                for _ in range(_size(target))
            ]

        self.prepare = prepare
        super().__init__(Floor())


def check(premises: list[str], conclusion: str) -> str:
    """Say whether a conclusion follows from its premises."""
    return f"{conclusion} does not follow from {len(premises)} premise(s)."


class LangChainAgent(LangChain):
    """`create_agent` with one tool over a chat model; every token passes through the graph."""

    def __init__(self, model: Any) -> None:
        from langchain.agents import create_agent  # noqa: PLC0415

        super().__init__(model)
        self._agent = create_agent(model, [check])

    async def aask(self, prompt: str) -> Seen:
        count = subjects.new_count()
        turns = {"messages": [("user", prompt)]}
        async for message, _ in self._agent.astream(turns, stream_mode="messages"):
            if message.type == "AIMessageChunk":
                count.text(message.content)
        return count.seen()


class LlamaIndexAgent(LlamaIndex):
    """`FunctionAgent` with one tool over a model; every token is an `AgentStream` event."""

    def __init__(self, model: Any) -> None:
        from llama_index.core.agent.workflow import FunctionAgent  # noqa: PLC0415

        super().__init__(model)
        self._agent = FunctionAgent(tools=[check], llm=model)

    async def aask(self, prompt: str) -> Seen:
        from llama_index.core.agent.workflow import AgentStream  # noqa: PLC0415

        count = subjects.new_count()
        handler = self._agent.run(user_msg=prompt)
        async for event in handler.stream_events():
            if isinstance(event, AgentStream):
                count.text(event.delta)
        await handler
        return count.seen()


FRAMED: dict[str, Any] = {
    "LangChain alone": LangChainFloor,
    "LlamaIndex alone": LlamaIndexFloor,
    "create_agent, ChatLlama70B": lambda target: LangChainAgent(MODELS["ChatLlama70B"](target)),
    "create_agent, ChatOpenAI": lambda target: LangChainAgent(MODELS["ChatOpenAI"](target)),
    "create_agent, ChatLlama": lambda target: LangChainAgent(MODELS["ChatLlama"](target)),
    "FunctionAgent, Llama70B": lambda target: LlamaIndexAgent(MODELS["Llama70B"](target)),
    "FunctionAgent, OpenAILike": lambda target: LlamaIndexAgent(MODELS["OpenAILike"](target)),
}
