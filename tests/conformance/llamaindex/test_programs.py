"""Programs as users write them, on the local engine: each ends, none overflows, every token is counted.

Where a 135M model could not write what a program needs, the program constrains it, as a careful user would.
"""

# Annotations stay objects in this file: FunctionTool cannot resolve them from text.
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import llama_index_instrumentation as instrumentation
import pytest
from llama_index.core import Document, Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.base_selector import SingleSelection
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.evaluation import FaithfulnessEvaluator
from llama_index.core.extractors import TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.program.function_program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.selectors import PydanticSingleSelector
from llama_index.core.selectors.prompts import DEFAULT_SINGLE_PYD_SELECT_PROMPT_TMPL
from llama_index.core.tools import QueryEngineTool, ToolMetadata
from llama_index_instrumentation.event_handlers import BaseEventHandler
from pydantic import BaseModel, Field

from llama70b import Endpoint
from llamaindex_llama70b import Llama70B, recommended_memory, recommended_settings
from llamaindex_llama70b.testing import WordEmbedding

On = Callable[..., Llama70B]
Short = Annotated[str, Field(min_length=1, max_length=24)]
FACTS = {
    "paris": "The capital of France is Paris. Paris lies on the river Seine.",
    "rome": "The capital of Italy is Rome. Rome lies on the river Tiber.",
    "oslo": "The capital of Norway is Oslo. Oslo lies on a fjord.",
}
QUESTION = "What is the capital of France?"

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


class Capital(BaseModel):
    """A capital."""

    country: Short
    town: Short


class Selection(SingleSelection):
    """A choice between two."""

    index: Literal[1, 2]
    reason: Short


class Usage(BaseEventHandler):
    """Tokens of every call's end event."""

    counts: list[tuple[int, int]] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Usage"

    def handle(self, event: Any, **_: Any) -> None:
        if isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent):
            assert event.response is not None
            usage = event.response.additional_kwargs
            self.counts.append((usage["prompt_tokens"], usage["completion_tokens"]))


@pytest.fixture
def llm(local_endpoint: Endpoint, on: On) -> Llama70B:
    llm = on(local_endpoint, max_tokens=20)
    recommended_settings(llm).apply(llm)
    Settings.embed_model = WordEmbedding()
    return llm


@pytest.fixture(autouse=True)
def counted(llm: Llama70B) -> Iterator[None]:
    """Every program: at least one call, all of them inside the window, and the framework's counter saw each."""
    counter, usage = TokenCountingHandler(), Usage()
    llm.callback_manager = Settings.callback_manager = CallbackManager([counter])
    instrumentation.root_dispatcher.add_event_handler(usage)
    yield
    instrumentation.root_dispatcher.event_handlers.remove(usage)
    assert usage.counts
    assert all(0 < prompt + completion <= 4096 for prompt, completion in usage.counts)
    assert counter.prompt_llm_token_count == sum(prompt for prompt, _ in usage.counts)
    assert counter.completion_llm_token_count == sum(completion for _, completion in usage.counts)


def sharing(llm: Llama70B, **changed: Any) -> Llama70B:
    """Return the model with other settings; events and counts go where the first one's go."""
    return llm.model_copy(update=changed)


def index() -> VectorStoreIndex:
    return VectorStoreIndex.from_documents([Document(text=text) for text in FACTS.values()])


def tools(llm: Llama70B) -> list[QueryEngineTool]:
    return [
        QueryEngineTool(
            query_engine=SummaryIndex.from_documents([Document(text=FACTS[name])]).as_query_engine(llm=llm),
            metadata=ToolMetadata(name=name, description=f"facts about {name}"),
        )
        for name in ("paris", "rome")
    ]


@pytest.mark.parametrize(
    "mode",
    [
        ResponseMode.COMPACT,
        ResponseMode.REFINE,
        ResponseMode.TREE_SUMMARIZE,
        ResponseMode.SIMPLE_SUMMARIZE,
        ResponseMode.ACCUMULATE,
    ],
)
def test_vector_index(llm: Llama70B, mode: ResponseMode) -> None:
    engine = index().as_query_engine(llm=llm, response_mode=mode, similarity_top_k=2)
    answer = engine.query(QUESTION)
    assert str(answer).strip()
    assert "Paris" in answer.source_nodes[0].get_content()


def test_streaming_query_engine(llm: Llama70B) -> None:
    answer: Any = index().as_query_engine(llm=llm, streaming=True, similarity_top_k=1).query(QUESTION)
    assert len(list(answer.response_gen)) > 1


def test_context_chat_engine(llm: Llama70B) -> None:
    engine = ContextChatEngine.from_defaults(
        retriever=index().as_retriever(similarity_top_k=1), llm=llm, memory=recommended_memory(llm)
    )
    assert str(engine.chat(QUESTION)).strip()
    assert "".join(engine.stream_chat("On which river does it lie?").response_gen).strip()


def test_condense_plus_context_chat_engine(llm: Llama70B) -> None:
    engine = CondensePlusContextChatEngine.from_defaults(
        retriever=index().as_retriever(similarity_top_k=1), llm=llm, memory=recommended_memory(llm)
    )
    for question in (QUESTION, "On which river does it lie?", "And Rome?"):
        assert str(engine.chat(question)).strip()


def test_sub_questions(llm: Llama70B) -> None:
    question = {
        "type": "object",
        "properties": {
            "sub_question": {"type": "string", "minLength": 3, "maxLength": 40},
            "tool_name": {"enum": ["paris", "rome"]},
        },
        "required": ["sub_question", "tool_name"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"items": {"type": "array", "items": question, "minItems": 1, "maxItems": 2}},
        "required": ["items"],
        "additionalProperties": False,
    }
    asker = sharing(llm, max_tokens=160, structured_outputs={"json": schema})
    engine = SubQuestionQueryEngine.from_defaults(
        tools(llm),
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm=asker),
        use_async=False,
        verbose=False,
    )
    answer = engine.query("Compare the rivers of Paris and Rome.")
    assert str(answer).strip()
    assert answer.source_nodes


def test_router_with_the_pydantic_selector(llm: Llama70B) -> None:
    program = FunctionCallingProgram.from_defaults(
        Selection,
        prompt_template_str=DEFAULT_SINGLE_PYD_SELECT_PROMPT_TMPL,
        llm=sharing(llm, max_tokens=80),
        tool_choice="Selection",
    )
    selector = PydanticSingleSelector(selector_program=program)  # type: ignore[arg-type]
    answer = RouterQueryEngine(selector=selector, query_engine_tools=tools(llm), llm=llm).query(QUESTION)
    assert str(answer).strip()
    assert (answer.metadata or {})["selector_result"].ind in {0, 1}


async def test_workflow_of_two_agents(llm: Llama70B) -> None:
    """The first agent must hand over; the loop ends whatever so small a model writes into the handover."""

    def river(town: Short) -> str:
        """Return the river of a town."""
        return f"{town} lies on a river."

    model = sharing(llm, max_tokens=48)
    expert = FunctionAgent(name="expert", description="Knows rivers.", tools=[river], llm=model)
    desk = FunctionAgent(
        name="desk",
        description="Answers.",
        tools=[],
        llm=model,
        can_handoff_to=["expert"],
        initial_tool_choice="handoff",
    )
    workflow = AgentWorkflow(agents=[desk, expert], root_agent="desk", early_stopping_method="generate")
    handler = workflow.run("On which river lies Rome?", max_iterations=2)
    events = [event async for event in handler.stream_events()]
    assert await handler is not None
    assert events
    await model.aclose()


def test_extraction_over_a_document(llm: Llama70B) -> None:
    splitter = SentenceSplitter(chunk_size=64, chunk_overlap=0)
    nodes = splitter.get_nodes_from_documents([Document(text=" ".join(FACTS.values()) * 3)])
    assert len(nodes) > 1
    extractor = sharing(llm, max_tokens=48)
    prompt = PromptTemplate("Extract the first capital.\n\n{text}")
    found = [extractor.structured_predict(Capital, prompt, text=node.get_content()) for node in nodes[:3]]
    assert all(isinstance(capital, Capital) for capital in found)


async def test_ingestion_pipeline(llm: Llama70B) -> None:
    splitter = SentenceSplitter(chunk_size=64, chunk_overlap=0)
    pipeline = IngestionPipeline(transformations=[splitter, TitleExtractor(llm=llm, nodes=1, num_workers=1)])
    nodes = await pipeline.arun(documents=[Document(text=FACTS["paris"])])
    await llm.aclose()
    assert nodes[0].metadata["document_title"].strip()


async def test_faithfulness(llm: Llama70B) -> None:
    judge = sharing(llm, structured_outputs={"choice": ["YES", "NO"]})
    verdict = await FaithfulnessEvaluator(llm=judge).aevaluate(
        query=QUESTION, response="The capital of France is Paris.", contexts=[FACTS["paris"]]
    )
    await judge.aclose()
    assert verdict.feedback in {"YES", "NO"}
    assert verdict.passing is (verdict.feedback == "YES")
