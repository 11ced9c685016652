"""Users' programs over the scripted server: agents, chat engines, query engines. None may overflow or miscount."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Document, Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import ReActAgent, ToolCallResult
from llama_index.core.chat_engine import ContextChatEngine, SimpleChatEngine
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import ChatMessage
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.utils import get_tokenizer
from pydantic import BaseModel

from llamaindex_llama70b import REACT_STOP, Llama70B, recommended_memory, recommended_settings
from tests.unit.scripted_server import WINDOW, Answer, Raw, Request, ScriptedServer, error

Make = Callable[..., Llama70B]
PROSE = " ".join(f"Fact {n}: the lighthouse keeper counted {n * 7} ships before the fog came." for n in range(1200))

# llama-index-workflows asks agents, which are pydantic models, for all their attributes, pydantic's old ones too.
pytestmark = pytest.mark.filterwarnings("ignore:(The `__fields|Accessing the 'model_):DeprecationWarning")


def prompt_tokens(request: Request) -> int:
    """Count as the F server of the notes did: cl100k is Llama 3's count on English, 35 and 5 for the template."""
    tokenizer = get_tokenizer()
    return 30 + sum(5 + len(tokenizer(m.get("content") or "")) for m in request.body["messages"])


def strict_window(answer: Callable[[Request], Answer]) -> Callable[[Request], Answer | Raw]:
    """Answer as an older vLLM does: 400 when prompt and max_tokens together exceed the window."""

    def look(request: Request) -> Answer | Raw:
        wanted = prompt_tokens(request) + request.body.get("max_tokens", 1)
        if wanted > WINDOW:
            return error(400, f"This model's maximum context length is {WINDOW} tokens. You requested {wanted} tokens")
        return answer(request)

    return look


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def index_settings(settings: Any, llm: Llama70B) -> Any:
    Settings.embed_model = MockEmbedding(embed_dim=8)
    recommended_settings(llm).apply(llm)
    return settings


def run(llm: Llama70B, agent: Any, question: str, **kwargs: Any) -> tuple[Any, list[Any]]:
    """Run an agent to its end; return its answer and all events."""

    async def main() -> tuple[Any, list[Any]]:
        handler = agent.run(question, **kwargs)
        events = [event async for event in handler.stream_events()]
        answer = await handler
        await llm.aclose()
        return answer, events

    return asyncio.run(main())


MODES = [
    ResponseMode.COMPACT,
    ResponseMode.REFINE,
    ResponseMode.TREE_SUMMARIZE,
    ResponseMode.SIMPLE_SUMMARIZE,
    ResponseMode.ACCUMULATE,
    ResponseMode.COMPACT_ACCUMULATE,
]


class TestOtherAgents:
    @pytest.mark.filterwarnings(
        "ignore:is_running called from within a step:DeprecationWarning"
    )  # core's ReActAgent does
    def test_react(self, make: Make, scripted: ScriptedServer) -> None:
        llm = make(stop=list(REACT_STOP))
        scripted.say(
            'Thought: I need a tool.\nAction: add\nAction Input: {"a": 2, "b": 3}',
            "Thought: I can answer without using any more tools.\nAnswer: It is 5.",
        )
        answer, events = run(llm, ReActAgent(tools=[add], llm=llm), "2+3?")
        assert str(answer) == "It is 5."
        assert [e.tool_output.content for e in events if isinstance(e, ToolCallResult)] == ["5"]
        assert scripted.bodies[0]["stop"] == ["\nObservation:"]
        assert "Observation: 5" in scripted.bodies[1]["messages"][-1]["content"]


class TestQueryEngines:
    def test_no_text_and_generation(self, llm: Llama70B, scripted: ScriptedServer, index_settings: Any) -> None:
        index = SummaryIndex.from_documents([Document(text=PROSE[:3000])])
        assert str(index.as_query_engine(response_mode=ResponseMode.GENERATION).query("x")) == "ok"
        assert index.as_query_engine(response_mode=ResponseMode.NO_TEXT).query("x").source_nodes

    def test_vector_index(self, make: Make, scripted: ScriptedServer, index_settings: Any) -> None:
        llm = make(max_tokens=512)
        scripted.answer(strict_window(lambda _: Answer("About ships.")))
        index = VectorStoreIndex.from_documents([Document(text=PROSE)])
        for mode in MODES:
            engine = index.as_query_engine(response_mode=mode, llm=llm, similarity_top_k=8)
            assert "About ships." in str(engine.query("x"))

    @pytest.mark.parametrize("mode", [ResponseMode.COMPACT, ResponseMode.REFINE, ResponseMode.TREE_SUMMARIZE])
    def test_structured(self, llm: Llama70B, scripted: ScriptedServer, index_settings: Any, mode: ResponseMode) -> None:
        class Topic(BaseModel):
            topic: str

        scripted.answer(strict_window(lambda _: Answer('{"topic": "ships"}')))
        index = SummaryIndex.from_documents([Document(text=PROSE[:30_000])])
        answer = index.as_query_engine(output_cls=Topic, response_mode=mode).query("x")
        assert answer.response == Topic(topic="ships")


class TestChatEngines:
    def test_streaming(self, llm: Llama70B, scripted: ScriptedServer, index_settings: Any) -> None:
        scripted.say("a b c d")
        index = VectorStoreIndex.from_documents([Document(text=PROSE[:3000])])
        engine = ContextChatEngine.from_defaults(
            retriever=index.as_retriever(similarity_top_k=1), llm=llm, memory=recommended_memory(llm)
        )
        assert "".join(engine.stream_chat("x").response_gen) == "a b c d"

        async def main() -> str:
            answer = await engine.astream_chat("x")
            text = "".join([token async for token in answer.async_response_gen()])
            await llm.aclose()
            return text

        assert asyncio.run(main()) == "a b c d"

    def test_history_survives(self, llm: Llama70B, scripted: ScriptedServer, index_settings: Any) -> None:
        said = [ChatMessage(role="user", content="I am Ann.")]
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=recommended_memory(llm, chat_history=said))
        engine.chat("Who am I?")
        assert scripted.bodies[-1]["messages"][0]["content"] == "I am Ann."
