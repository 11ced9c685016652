"""Retrieval for real: this repository's documents, an embedding with real weights, Llama 3's own token counts.

The server counts with Llama 3's tokenizer and refuses, as vLLM does, what does not fit the window. So nothing here is
an estimate of ours: a prompt that is one token too long fails the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ClearToolUsesEdit, ContextEditingMiddleware
from langchain_core.exceptions import ContextOverflowError
from langchain_core.tools import tool
from llama_index.core import Document, Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.response_synthesizers import ResponseMode

from langchain_llama70b import ChatLlama70B
from llama70b.testing import KEY, WINDOW, Answer, CountingServer, prompt_tokens
from llamaindex_llama70b import ContextOverflow, Llama70B, recommended_memory, recommended_settings

OUTPUT = 300
PAGES = Path(__file__).parents[3] / "docs"
HUGE = "a line of a very long log\n" * 924  # 24,024 characters
MODES = [ResponseMode.COMPACT, ResponseMode.REFINE, ResponseMode.TREE_SUMMARIZE, ResponseMode.SIMPLE_SUMMARIZE]
Make = Callable[..., Llama70B]

# llama-index-workflows asks agents, which are pydantic models, for all their attributes, pydantic's old ones too.
pytestmark = pytest.mark.filterwarnings("ignore:(The `__fields|Accessing the 'model_):DeprecationWarning")


@pytest.fixture(scope="module")
def embedding() -> BaseEmbedding:
    """WordLlama's static embedding, whose weights come with its package (its logging setup does not stay)."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    wordllama = pytest.importorskip("wordllama", exc_type=ImportError)
    root.handlers[:], root.level = before
    weights = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)

    class Real(BaseEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            vector: list[float] = weights.embed(text, norm=True)[0].tolist()
            return vector

        def _get_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

    return Real()


@pytest.fixture(autouse=True)
def no_loop_left() -> Iterator[None]:
    """Close the event loop that core's blocking wrappers (`asyncio_run`) make for the thread and leave open."""
    yield
    with contextlib.suppress(RuntimeError):  # none was left
        asyncio.get_event_loop_policy().get_event_loop().close()
        asyncio.set_event_loop(None)


@pytest.fixture
def server() -> Iterator[CountingServer]:
    """It refuses when prompt and `max_tokens` together exceed the window, as older vLLMs do."""
    counting = CountingServer(clamp=False)
    counting.say("As the page says.")
    yield counting
    counting.close()


@pytest.fixture
def llm(server: CountingServer, embedding: BaseEmbedding) -> Iterator[Llama70B]:
    names = ("_llm", "_embed_model", "_prompt_helper", "_node_parser", "_callback_manager")
    before = {name: getattr(Settings, name) for name in names}
    model = Llama70B(base_url=server.url, api_key=KEY, max_tokens=OUTPUT, progress_bar=False)
    recommended_settings(model).apply(model)
    Settings.embed_model = embedding
    yield model
    model.close()
    for name, value in before.items():
        setattr(Settings, name, value)


@pytest.fixture
def documents() -> list[Document]:
    # Named, not globbed: a new page on the same subject would be as right an answer, and change what is found.
    names = ("evaluation", "local-engine", "reliability", "routing", "serving", "usage")
    pages = [PAGES / f"{name}.md" for name in names]
    return [Document(text=page.read_text(encoding="utf-8"), metadata={"page": page.name}) for page in pages]


def inside(server: CountingServer) -> None:
    """Check every prompt as it went over the wire, counted here once more."""
    assert not server.refused
    sizes = [prompt_tokens(body["messages"], body.get("tools")) for body in server.bodies if "messages" in body]
    assert sizes
    assert max(sizes) + OUTPUT <= WINDOW
    assert sizes == server.prompts


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
class TestPacking:
    def test_retrieved(
        self, mode: ResponseMode, llm: Llama70B, server: CountingServer, documents: list[Document]
    ) -> None:
        """Twenty chunks, far more than a prompt holds."""
        engine = VectorStoreIndex.from_documents(documents).as_query_engine(response_mode=mode, similarity_top_k=20)
        answer = engine.query("What does the local engine answer until its model is loaded?")
        assert "As the page says." in str(answer)
        assert len(answer.source_nodes) == 20
        inside(server)

    def test_every_page(
        self, mode: ResponseMode, llm: Llama70B, server: CountingServer, documents: list[Document]
    ) -> None:
        """All pages, many windows long."""
        engine = SummaryIndex.from_documents(documents).as_query_engine(response_mode=mode)
        assert "As the page says." in str(engine.query("What is this project about?"))
        inside(server)
        assert "\\n" not in str(server.bodies[0]["messages"][-1]["content"])  # text, not a list's repr of it
        if mode in {ResponseMode.COMPACT, ResponseMode.TREE_SUMMARIZE}:  # those that are to fill a prompt do
            assert max(server.prompts) > (WINDOW - OUTPUT) * 0.8


class TestRetrieval:
    @pytest.mark.parametrize(
        ("question", "page"),
        [
            ("Which model file does the local engine use and how is it unpacked?", "local-engine.md"),
            ("What happens when a stream is cut off or a redirect is refused?", "reliability.md"),
            ("How are questions routed between the 8B and the 70B?", "routing.md"),
            ("How many GPUs does the deployment's profile take and what does an hour cost?", "serving.md"),
        ],
    )
    def test_the_right_page_is_read(
        self, question: str, page: str, llm: Llama70B, server: CountingServer, documents: list[Document]
    ) -> None:
        top = recommended_settings(llm).similarity_top_k
        answer = VectorStoreIndex.from_documents(documents).as_query_engine(similarity_top_k=top).query(question)
        assert page in {node.metadata["page"] for node in answer.source_nodes}
        assert page in str(server.bodies[-1]["messages"])
        inside(server)

    @pytest.mark.parametrize("mode", [ChatMode.CONTEXT, ChatMode.CONDENSE_PLUS_CONTEXT], ids=lambda mode: mode.value)
    def test_thirty_turns(
        self, mode: ChatMode, llm: Llama70B, server: CountingServer, documents: list[Document]
    ) -> None:
        server.say("A ship carries goods over the sea. " * 30)
        engine = VectorStoreIndex.from_documents(documents).as_chat_engine(
            chat_mode=mode,
            memory=recommended_memory(llm),
            similarity_top_k=recommended_settings(llm).similarity_top_k,
        )
        for turn in range(30):
            reply = engine.chat(f"Question {turn}: how long does a client wait for a cold start?")
            assert str(reply).startswith("A ship")
            assert reply.source_nodes
        inside(server)
        assert max(server.prompts) > WINDOW // 2  # the memory was full, not empty


class TestAHugeToolResult:
    """A tool answers 24,000 characters: a typed error, or a cut with a note that the model sees."""

    CALL = Answer(tool_calls=[("read_log", "{}")])

    def ask(self, llm: Llama70B) -> str:
        def read_log() -> str:
            """Read the log."""
            return HUGE

        async def run() -> str:
            try:
                return str(await FunctionAgent(tools=[read_log], llm=llm).run("What is in the log?"))
            finally:
                await llm.aclose()

        return asyncio.run(run())

    def test_llamaindex_by_default(self, llm: Llama70B, server: CountingServer) -> None:
        server.answer(self.CALL)
        with pytest.raises(ContextOverflow, match="the context window is 4096") as caught:
            self.ask(llm)
        assert caught.value.prompt_tokens is not None
        assert caught.value.prompt_tokens > WINDOW
        assert "context_guard='trim'" in str(caught.value.hint)
        assert not server.refused  # it was not even sent

    def test_llamaindex_trimmed(self, llm: Llama70B, server: CountingServer) -> None:
        server.answer(self.CALL, Answer("A long log."))
        assert self.ask(llm.model_copy(update={"context_guard": "trim"})) == "A long log."
        (result,) = [turn for turn in server.bodies[-1]["messages"] if turn["role"] == "tool"]
        assert "characters left out to fit the context window" in result["content"]
        assert result["content"].startswith("a line of a very long log")
        inside(server)

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_langchain(self, asynchronous: bool, server: CountingServer) -> None:
        @tool
        def read_log() -> str:
            """Read the log."""
            return HUGE

        def ask(**options: Any) -> Any:
            with ChatLlama70B(base_url=server.url, api_key=KEY, max_tokens=OUTPUT, progress_bar=False) as model:
                agent: Any = create_agent(model, [read_log], **options)
                given = {"messages": [("user", "What is in the log?")]}
                return asyncio.run(self.awaited(agent, model, given)) if asynchronous else agent.invoke(given)

        server.answer(self.CALL, Answer("A long log."))
        with pytest.raises(ContextOverflowError) as caught:
            ask()
        assert caught.value.prompt_tokens > caught.value.max_model_len == WINDOW  # type: ignore[attr-defined]

        server.refused.clear()
        server.prompts.clear()
        server.requests.clear()
        server.answer(self.CALL, Answer("A long log."))
        cut = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=WINDOW - OUTPUT, keep=0)])
        assert ask(middleware=[cut])["messages"][-1].content == "A long log."
        (result,) = [turn for turn in server.bodies[-1]["messages"] if turn["role"] == "tool"]
        assert result["content"] == "[cleared]"
        inside(server)

    @staticmethod
    async def awaited(agent: Any, model: ChatLlama70B, given: dict[str, Any]) -> Any:
        try:
            return await agent.ainvoke(given)
        finally:
            await model.aclose()
