"""Users' programs: query engines, chat engines, routers, pipelines; none may overflow or miscount."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core import Document, Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.base.base_selector import SingleSelection
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine, SimpleChatEngine
from llama_index.core.evaluation import FaithfulnessEvaluator
from llama_index.core.extractors import TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.program.function_program import FunctionCallingProgram
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index.core.selectors.prompts import DEFAULT_SINGLE_PYD_SELECT_PROMPT_TMPL
from llama_index.core.tools import QueryEngineTool, ToolMetadata

from llama70b.testing import WINDOW, Answer, CountingServer
from llamaindex_llama70b.testing._embedding import WordEmbedding
from llamaindex_llama70b.testing._structured import as_asked
from llamaindex_llama70b.testing._suite import Caller, Make, Scripted, run

PROSE = " ".join(f"Fact {n}: the lighthouse keeper counted {n * 7} ships before the fog came." for n in range(800))
OUTPUT = 256


class Topic(BaseModel):
    """What a text is about."""

    topic: str


class Programs(Scripted):
    """Behaviours inside core's own engines."""

    @pytest.fixture
    def strict(self, server: CountingServer) -> CountingServer:
        """A server that refuses when prompt and `max_tokens` together exceed the window, as older vLLMs do."""
        server.clamp = False
        server.say("About ships.")
        Settings.embed_model = WordEmbedding()
        return server

    def pack(self, make: Make, server: CountingServer, call: Caller, mode: ResponseMode) -> None:
        """Query a long text; nothing may be refused, every call must be counted."""
        counter = TokenCountingHandler()
        llm = make(max_tokens=OUTPUT)
        self.settings(llm)
        Settings.callback_manager = CallbackManager([counter])  # engines give it to the model
        engine = SummaryIndex.from_documents([Document(text=PROSE)]).as_query_engine(response_mode=mode, llm=llm)
        answer = call.whole(_Queried(engine), "query", "What is it about?")
        assert "About ships." in str(answer)
        assert not server.refused
        assert max(server.prompts) + OUTPUT <= WINDOW
        assert counter.prompt_llm_token_count == sum(server.prompts)

    def test_compact(self, make: Make, strict: CountingServer, call: Caller) -> None:
        """A query over a long text, mode compact, fits the window and counts its tokens."""
        self.pack(make, strict, call, ResponseMode.COMPACT)

    def test_refine(self, make: Make, strict: CountingServer, call: Caller) -> None:
        """A query over a long text, mode refine, fits the window and counts its tokens."""
        self.pack(make, strict, call, ResponseMode.REFINE)

    def test_tree_summarize(self, make: Make, strict: CountingServer, call: Caller) -> None:
        """A query over a long text, mode tree_summarize, fits the window and counts its tokens."""
        self.pack(make, strict, call, ResponseMode.TREE_SUMMARIZE)

    def test_simple_summarize(self, make: Make, strict: CountingServer, call: Caller) -> None:
        """A query over a long text, mode simple_summarize, fits the window and counts its tokens."""
        self.pack(make, strict, call, ResponseMode.SIMPLE_SUMMARIZE)

    def test_accumulate(self, make: Make, strict: CountingServer, call: Caller) -> None:
        """A query over a long text, mode accumulate, fits the window and counts its tokens."""
        self.pack(make, strict, call, ResponseMode.ACCUMULATE)

    def test_compact_accumulate(self, make: Make, strict: CountingServer, call: Caller) -> None:
        """A query over a long text, mode compact_accumulate, fits the window and counts its tokens."""
        self.pack(make, strict, call, ResponseMode.COMPACT_ACCUMULATE)

    def test_chinese(self, make: Make, strict: CountingServer) -> None:
        """A query over a long Chinese text fits the window."""
        llm = make(max_tokens=OUTPUT)
        self.settings(llm)
        text = "".join(f"第{n}条：灯塔看守人在雾来之前数了{n * 7}艘船。" for n in range(500))
        engine = SummaryIndex.from_documents([Document(text=text)]).as_query_engine(
            llm=llm, response_mode=ResponseMode.COMPACT
        )
        assert "About ships." in str(engine.query("它讲的是什么？"))
        assert not strict.refused

    def test_vector_index(self, make: Make, strict: CountingServer, call: Caller) -> None:
        """A `VectorStoreIndex` query finds the fact and puts it into the prompt."""
        llm = make(max_tokens=OUTPUT)
        self.settings(llm)
        index = VectorStoreIndex.from_documents([Document(text=PROSE), Document(text="The keeper's cat is grey.")])
        engine = index.as_query_engine(llm=llm, similarity_top_k=2)
        call.whole(_Queried(engine), "query", "What colour is the keeper's cat?")
        assert "cat is grey" in str(strict.bodies[-1]["messages"])
        assert not strict.refused

    @pytest.mark.usefixtures("strict")
    def test_streaming_query_engine(self, llm: Any) -> None:
        """A streaming query engine yields the answer piece by piece."""
        engine: Any = SummaryIndex.from_documents([Document(text=PROSE[:3000])]).as_query_engine(
            streaming=True, llm=llm
        )
        pieces = list(engine.query("x").response_gen)
        assert "".join(pieces) == "About ships."
        assert len(pieces) > 1

    def test_query_engine_with_output_class(self, llm: Any, strict: CountingServer) -> None:
        """A query engine with `output_cls` answers with an object."""
        strict.answer(as_asked('{"topic": "ships"}'))
        index = SummaryIndex.from_documents([Document(text=PROSE[:6000])])
        answer: Any = index.as_query_engine(llm=llm, output_cls=Topic).query("x")
        assert answer.response.topic == "ships"

    def test_simple_chat_engine(self, llm: Any, strict: CountingServer) -> None:
        """`SimpleChatEngine` keeps the conversation, whole and streamed."""
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=self.memory(llm))
        assert str(engine.chat("hi")) == "About ships."
        assert "".join(engine.stream_chat("go on").response_gen) == "About ships."
        assert [m["role"] for m in strict.bodies[-1]["messages"]] == ["user", "assistant", "user"]

    def chatted(self, kind: Any, make: Make, server: CountingServer) -> None:
        """Chat for 30 turns over an index; nothing may be refused."""
        llm = make(max_tokens=OUTPUT)
        self.settings(llm)
        server.say("The keeper counted many ships that day. " * 8)
        retriever = VectorStoreIndex.from_documents([Document(text=PROSE)]).as_retriever(similarity_top_k=2)
        engine = kind.from_defaults(retriever=retriever, llm=llm, memory=self.memory(llm))
        for turn in range(30):
            asked = f"Question {turn}: what happened next, and what did the keeper write about it?"
            assert "many ships" in str(engine.chat(asked))
        assert not server.refused

    def test_context_chat_engine(self, make: Make, strict: CountingServer) -> None:
        """`ContextChatEngine` runs 30 turns with the recommended memory."""
        self.chatted(ContextChatEngine, make, strict)

    def test_condense_plus_context_chat_engine(self, make: Make, strict: CountingServer) -> None:
        """`CondensePlusContextChatEngine` runs 30 turns with the recommended memory."""
        self.chatted(CondensePlusContextChatEngine, make, strict)

    def test_router(self, llm: Any, strict: CountingServer) -> None:
        """`RouterQueryEngine` with the selector that asks for JSON text."""
        strict.say('[{"choice": 2, "reason": "ships"}]', "Seven.")
        assert str(self._router(llm, LLMSingleSelector.from_defaults(llm=llm)).query("How many?")) == "Seven."

    def test_pydantic_router(self, llm: Any, strict: CountingServer) -> None:
        """`RouterQueryEngine` with the pydantic selector."""
        strict.answer(Answer(tool_calls=[("SingleSelection", '{"index": 0, "reason": "x"}')]), Answer("Seven."))
        program = FunctionCallingProgram.from_defaults(
            SingleSelection, prompt_template_str=DEFAULT_SINGLE_PYD_SELECT_PROMPT_TMPL, llm=llm
        )
        selector = PydanticSingleSelector(selector_program=program)
        assert str(self._router(llm, selector).query("How many?")) == "Seven."

    def test_sub_questions(self, llm: Any, strict: CountingServer) -> None:
        """`SubQuestionQueryEngine` asks its sub-question and puts the answers together."""
        questions = {"items": [{"sub_question": "How many?", "tool_name": "ships"}]}
        strict.say(f"```json\n{json.dumps(questions)}\n```", "Seven.", "Seven ships.")
        asker = SubQuestionQueryEngine.from_defaults(
            self._tools(llm)[:1],
            llm=llm,
            question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
            use_async=False,
            verbose=False,
        )
        Settings.llm = llm
        assert str(asker.query("How many ships?")) == "Seven ships."

    def test_ingestion_pipeline(self, llm: Any, strict: CountingServer) -> None:
        """An `IngestionPipeline` with a `TitleExtractor` puts titles on nodes."""
        strict.say("Ships")
        splitter = SentenceSplitter(chunk_size=512)
        pipeline = IngestionPipeline(transformations=[splitter, TitleExtractor(llm=llm, nodes=1, num_workers=1)])
        nodes = run(llm, lambda: pipeline.arun(documents=[Document(text=PROSE[:3000])]))
        assert nodes[0].metadata["document_title"] == "Ships"

    def test_faithfulness(self, llm: Any, strict: CountingServer) -> None:
        """`FaithfulnessEvaluator` reads the verdict."""
        strict.say("YES")
        judge = FaithfulnessEvaluator(llm=llm)
        verdict = run(llm, lambda: judge.aevaluate(query="x", response="Ships.", contexts=[PROSE[:500]]))
        assert verdict.passing

    def _tools(self, llm: Any) -> list[QueryEngineTool]:
        engine = SummaryIndex.from_documents([Document(text=PROSE[:3000])]).as_query_engine(llm=llm)
        described = [ToolMetadata(name=name, description=f"about {name}") for name in ("ships", "trees")]
        return [QueryEngineTool(query_engine=engine, metadata=metadata) for metadata in described]

    def _router(self, llm: Any, selector: Any) -> RouterQueryEngine:
        return RouterQueryEngine(selector=selector, query_engine_tools=self._tools(llm), llm=llm)


class _Queried:
    """An engine whose model is closed in the loop it ran in."""

    def __init__(self, engine: Any) -> None:
        self.query = engine.query
        self.aquery = engine.aquery
        llm = engine._response_synthesizer._llm  # noqa: SLF001 - core has no public way
        if hasattr(llm, "aclose"):
            self.aclose = llm.aclose
