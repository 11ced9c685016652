"""Users' programs over the scripted server: agents, chat engines, query engines. None may overflow or miscount."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Document, Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine, SimpleChatEngine
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.evaluation import FaithfulnessEvaluator
from llama_index.core.extractors import TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import ChatMessage
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index.core.tools import FunctionTool, QueryEngineTool, ToolMetadata
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


def huge() -> str:
    """Return a lot of text."""
    return "lorem ipsum " * 3000


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


CALL = Answer(tool_calls=[("c1", "add", '{"a": 2, "b": 3}')])


MODES = [
    ResponseMode.COMPACT,
    ResponseMode.REFINE,
    ResponseMode.TREE_SUMMARIZE,
    ResponseMode.SIMPLE_SUMMARIZE,
    ResponseMode.ACCUMULATE,
    ResponseMode.COMPACT_ACCUMULATE,
]


class TestFunctionAgent:
    @pytest.mark.parametrize("streaming", [True, False])
    def test_one_tool(self, llm: Llama70B, scripted: ScriptedServer, streaming: bool) -> None:
        scripted.answer(CALL, Answer("It is 5."))
        answer, events = run(llm, FunctionAgent(tools=[add], llm=llm, streaming=streaming), "2+3?")
        assert str(answer) == "It is 5."
        (result,) = [event for event in events if isinstance(event, ToolCallResult)]
        assert result.tool_output.content == "5"
        first, second = scripted.bodies
        assert first["parallel_tool_calls"] is True
        assert [m["role"] for m in second["messages"]] == ["user", "assistant", "tool"]
        assert second["messages"][2] == {"role": "tool", "content": "5", "tool_call_id": "c1"}
        if streaming:
            deltas = [event.delta for event in events if isinstance(event, AgentStream)]
            assert "".join(deltas) == "It is 5."

    def test_no_tools(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        scripted.say("Hello.")
        assert str(run(llm, FunctionAgent(tools=[], llm=llm), "hi")[0]) == "Hello."
        assert "tools" not in scripted.bodies[-1]

    def test_two_calls_at_once_are_split_for_the_template(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        two = Answer(tool_calls=[("c1", "add", '{"a": 2, "b": 3}'), ("c2", "add", '{"a": 1, "b": 1}')])
        scripted.answer(two, Answer("5 and 2"))
        assert str(run(llm, FunctionAgent(tools=[add], llm=llm), "x")[0]) == "5 and 2"
        turns = scripted.bodies[-1]["messages"]
        assert [m["role"] for m in turns] == ["user", "assistant", "tool", "assistant", "tool"]

    def test_malformed_arguments_are_shown_to_the_model(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        scripted.answer(Answer(tool_calls=[("c1", "add", '{"a": 2, "b"')]), CALL, Answer("5"))
        answer, events = run(llm, FunctionAgent(tools=[add], llm=llm), "2+3?")
        assert str(answer) == "5"
        results = [event.tool_output for event in events if isinstance(event, ToolCallResult)]
        assert [result.is_error for result in results] == [True, False]
        assert "malformed_arguments" in scripted.bodies[1]["messages"][-1]["content"]

    def test_initial_tool_choice(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        scripted.answer(CALL, Answer("5"))
        run(llm, FunctionAgent(tools=[add], llm=llm, initial_tool_choice="add"), "2+3?")
        assert scripted.bodies[0]["tool_choice"] == {"type": "function", "function": {"name": "add"}}
        assert "tool_choice" not in scripted.bodies[1]

    def test_a_huge_tool_result(self, make: Make, scripted: ScriptedServer) -> None:
        llm = make(context_guard="trim", max_tokens=256)
        script = iter([Answer(tool_calls=[("huge", "{}")]), Answer("Long.")])
        scripted.answer(strict_window(lambda _: next(script)))
        assert str(run(llm, FunctionAgent(tools=[huge], llm=llm), "x")[0]) == "Long."
        assert "left out to fit the context window" in scripted.bodies[-1]["messages"][-1]["content"]

    def test_structured_answer(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        class Total(BaseModel):
            total: int

        scripted.answer(CALL, Answer("It is 5."), Answer('{"total": 5}'))
        answer, _ = run(llm, FunctionAgent(tools=[add], llm=llm, output_cls=Total), "2+3?")
        assert answer.structured_response == {"total": 5}
        assert scripted.bodies[-1]["response_format"]["json_schema"]["name"] == "Total"


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

    def test_workflow_of_two_agents(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        adder = FunctionAgent(name="adder", description="Adds.", tools=[add], llm=llm)
        desk = FunctionAgent(name="desk", description="Answers.", tools=[], llm=llm, can_handoff_to=["adder"])
        handoff = Answer(tool_calls=[("c1", "handoff", '{"to_agent": "adder", "reason": "sum"}')])
        scripted.answer(handoff, CALL, Answer("It is 5."))
        answer, events = run(llm, AgentWorkflow(agents=[desk, adder], root_agent="desk"), "2+3?")
        assert str(answer) == "It is 5."
        assert [e.tool_name for e in events if isinstance(e, ToolCallResult)] == ["handoff", "add"]

    def test_workflow_chooses_the_function_agent(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        workflow = AgentWorkflow.from_tools_or_functions([add], llm=llm)
        assert isinstance(next(iter(workflow.agents.values())), FunctionAgent)
        scripted.answer(CALL, Answer("5"))
        assert str(run(llm, workflow, "2+3?")[0]) == "5"


class TestQueryEngines:
    @pytest.mark.parametrize("awaits", [False, True])
    @pytest.mark.parametrize("mode", MODES)
    def test_summary_index(
        self, make: Make, scripted: ScriptedServer, index_settings: Any, mode: ResponseMode, awaits: bool
    ) -> None:
        counter = TokenCountingHandler()
        llm = make(max_tokens=256)
        recommended_settings(llm).apply(llm)
        Settings.callback_manager = CallbackManager([counter])  # engines give it to the model
        scripted.answer(strict_window(lambda request: Answer("About ships.", usage=(prompt_tokens(request), 4))))
        index = SummaryIndex.from_documents([Document(text=PROSE[:30_000])])
        engine = index.as_query_engine(response_mode=mode, llm=llm)
        asked = "What is it about?"
        answer = asyncio.run(_aquery(llm, engine, asked)) if awaits else engine.query(asked)
        assert "About ships." in str(answer)
        assert counter.total_llm_token_count == sum(prompt_tokens(request) + 4 for request in scripted.chats)

    def test_no_text_and_generation(self, llm: Llama70B, scripted: ScriptedServer, index_settings: Any) -> None:
        index = SummaryIndex.from_documents([Document(text=PROSE[:3000])])
        assert str(index.as_query_engine(response_mode=ResponseMode.GENERATION).query("x")) == "ok"
        assert index.as_query_engine(response_mode=ResponseMode.NO_TEXT).query("x").source_nodes

    def test_streaming(self, llm: Llama70B, scripted: ScriptedServer, index_settings: Any) -> None:
        scripted.say("About many ships.")
        engine = SummaryIndex.from_documents([Document(text=PROSE[:3000])]).as_query_engine(streaming=True)
        assert "".join(engine.query("x").response_gen) == "About many ships."

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

    def test_sub_questions(self, llm: Llama70B, scripted: ScriptedServer, index_settings: Any) -> None:
        engine = SummaryIndex.from_documents([Document(text=PROSE[:3000])]).as_query_engine()
        tool = QueryEngineTool(query_engine=engine, metadata=ToolMetadata(name="ships", description="about ships"))
        questions = {"items": [{"sub_question": "How many?", "tool_name": "ships"}]}
        scripted.say(f"```json\n{json.dumps(questions)}\n```", "Seven.", "Seven ships.")
        asker = SubQuestionQueryEngine.from_defaults(
            [tool], llm=llm, question_gen=LLMQuestionGenerator.from_defaults(llm=llm), use_async=False, verbose=False
        )
        assert str(asker.query("How many ships?")) == "Seven ships."

    @pytest.mark.parametrize("kind", ["llm", "pydantic"])
    def test_router(self, llm: Llama70B, scripted: ScriptedServer, index_settings: Any, kind: str) -> None:
        engine = SummaryIndex.from_documents([Document(text=PROSE[:3000])]).as_query_engine()
        tools = [
            QueryEngineTool(query_engine=engine, metadata=ToolMetadata(name=name, description=name))
            for name in ("ships", "trees")
        ]
        if kind == "llm":
            scripted.say('[{"choice": 1, "reason": "ships"}]', "Seven.")
            selector: Any = LLMSingleSelector.from_defaults(llm=llm)
        else:
            scripted.answer(Answer(tool_calls=[("SingleSelection", '{"index": 0, "reason": "x"}')]), Answer("Seven."))
            from llama_index.core.base.base_selector import SingleSelection
            from llama_index.core.program.function_program import FunctionCallingProgram
            from llama_index.core.selectors.prompts import DEFAULT_SINGLE_PYD_SELECT_PROMPT_TMPL

            program = FunctionCallingProgram.from_defaults(
                SingleSelection, prompt_template_str=DEFAULT_SINGLE_PYD_SELECT_PROMPT_TMPL, llm=llm
            )
            selector = PydanticSingleSelector(selector_program=program)
        router = RouterQueryEngine(selector=selector, query_engine_tools=tools, llm=llm)
        assert str(router.query("How many?")) == "Seven."

    def test_extraction_and_evaluation(self, llm: Llama70B, scripted: ScriptedServer, index_settings: Any) -> None:
        scripted.say("Ships")
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(chunk_size=512), TitleExtractor(llm=llm, nodes=1, num_workers=1)]
        )
        nodes = pipeline.run(documents=[Document(text=PROSE[:3000])])
        assert nodes[0].metadata["document_title"] == "Ships"
        scripted.say("YES")
        verdict = FaithfulnessEvaluator(llm=llm).evaluate(
            query="x", response="Ships were counted.", contexts=[PROSE[:500]]
        )
        assert verdict.passing


async def _aquery(llm: Llama70B, engine: Any, question: str) -> Any:
    try:
        return await engine.aquery(question)
    finally:
        await llm.aclose()


class TestChatEngines:
    def test_simple(self, llm: Llama70B, scripted: ScriptedServer, index_settings: Any) -> None:
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=recommended_memory(llm))
        assert str(engine.chat("hi")) == "ok"
        scripted.say("one two")
        assert "".join(engine.stream_chat("go on").response_gen) == "one two"
        assert len(scripted.bodies[-1]["messages"]) == 3

    @pytest.mark.parametrize("kind", ["context", "condense_plus_context"])
    def test_thirty_turns(self, make: Make, scripted: ScriptedServer, index_settings: Any, kind: str) -> None:
        llm = make(max_tokens=512)
        scripted.answer(strict_window(lambda _: Answer("The keeper counted many ships that day. " * 8)))
        index = VectorStoreIndex.from_documents([Document(text=PROSE)])
        advice = recommended_settings(llm)
        memory = recommended_memory(llm)
        retriever = index.as_retriever(similarity_top_k=advice.similarity_top_k)
        made = ContextChatEngine if kind == "context" else CondensePlusContextChatEngine
        engine = made.from_defaults(retriever=retriever, llm=llm, memory=memory)
        for turn in range(30):
            answer = engine.chat(f"Question {turn}: what happened next, and what did the keeper write about it?")
            assert "many ships" in str(answer)

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


def test_a_function_tool_over_the_model(llm: Llama70B, scripted: ScriptedServer) -> None:
    scripted.answer(CALL)
    assert llm.predict_and_call([FunctionTool.from_defaults(add)], "2+3?").response == "5"
