"""Programs that users write with LangChain and LangGraph, on the local engine: a real model answers.

The same programs are checked to the letter on the scripted server (`tests/unit/langchain/test_programs.py`). Here the
engine is real, so nothing depends on how clever a model of 135 million parameters is: calls are forced, schemas are
held by the grammar, and answers are a few tokens. Where a fault is part of the program, the fault server makes it.
"""

import operator
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypedDict
from uuid import UUID

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, SummarizationMiddleware, wrap_model_call
from langchain.agents.middleware.model_retry import ModelRetryMiddleware
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel, Field

from langchain_llama70b import AuthenticationError, ChatLlama70B
from llama70b import Endpoint

Make = Callable[..., ChatLlama70B]
pytestmark = pytest.mark.timeout(300)
FRANCE = "What is the capital of France?"


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"20 C in {city}"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Report(BaseModel):
    """A weather report."""

    warm: bool
    degrees: int = Field(ge=0, le=50)


@pytest.fixture
def endpoint(local_endpoint: Endpoint) -> Endpoint:
    """One engine is enough here: the wire of the other is in test_vllm_langchain.py."""
    return local_endpoint


@pytest.fixture
def dead(make: Make) -> Iterator[ChatLlama70B]:
    """A model whose server is gone."""
    with ChatLlama70B(base_url="http://127.0.0.1:9", api_key="k", max_retries=0, timeout=5) as model:
        yield model


async def test_prompt_model_parser(make: Make) -> None:
    llm = make(max_tokens=8)
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{text}")]) | llm | StrOutputParser()
    whole = chain.invoke({"text": FRANCE})
    assert "Paris" in whole
    assert "".join([piece async for piece in chain.astream({"text": FRANCE})]) == whole
    await llm.aclose()


async def test_an_agent_with_two_tools(make: Make) -> None:
    """The model's part is to fill in the arguments; which tool is called is forced, one after the other."""
    llm = make(max_tokens=40)

    @wrap_model_call
    async def force(request: Any, handler: Any) -> Any:
        done = sum(isinstance(message, ToolMessage) for message in request.messages)
        choice = ["weather", "add", "none"][done]
        settings = {"max_tokens": 4} if choice == "none" else {}
        return await handler(request.override(tool_choice=choice, model_settings=settings))

    agent: Any = create_agent(llm, [weather, add], middleware=[force])
    messages = (await agent.ainvoke({"messages": [HumanMessage("Weather in Rome, and 1 + 2?")]}))["messages"]
    called = [call["name"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    assert called == ["weather", "add"]
    results = [message for message in messages if isinstance(message, ToolMessage)]
    assert [message.status for message in results] == ["success", "success"]
    assert str(results[0].content).startswith("20 C in ")
    last = messages[-1]
    assert isinstance(last, AIMessage)
    assert last.usage_metadata is not None
    assert last.usage_metadata["input_tokens"] > messages[1].usage_metadata["input_tokens"]
    await llm.aclose()


def test_an_agent_that_must_answer_by_a_schema(make: Make) -> None:
    agent: Any = create_agent(make(max_tokens=64), [], response_format=Report)
    assert isinstance(agent.invoke({"messages": [("human", "It is 20 C.")]})["structured_response"], Report)


class State(TypedDict):
    messages: Annotated[list[AnyMessage], operator.add]


async def test_a_graph_with_a_checkpointer_is_interrupted_and_resumed(make: Make) -> None:
    llm = make(max_tokens=6)

    async def talk(state: State) -> dict[str, Any]:
        return {"messages": [await llm.ainvoke(state["messages"])]}

    def review(state: State) -> dict[str, Any]:
        return {"messages": [HumanMessage(interrupt(state["messages"][-1].text))]}

    graph = StateGraph(State).add_node("talk", talk).add_node("review", review).add_node("again", talk)
    graph.add_edge(START, "talk").add_edge("talk", "review").add_edge("review", "again").add_edge("again", END)
    app = graph.compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    paused: Any = await app.ainvoke({"messages": [HumanMessage(FRANCE)]}, thread)
    first = paused["__interrupt__"][0].value
    assert first
    done: Any = await app.ainvoke(Command(resume="And of Italy?"), thread)
    assert [message.type for message in done["messages"]] == ["human", "ai", "human", "ai"]
    assert done["messages"][1].text == first, "what was said before the interrupt came out of the checkpoint"
    kept = (await app.aget_state(thread)).values["messages"]
    assert kept[3].usage_metadata["input_tokens"] > kept[1].usage_metadata["input_tokens"]
    assert kept[3].response_metadata["model_provider"] == "llama70b"
    await llm.aclose()


def test_summarization_recovers_from_an_overflow(make: Make) -> None:
    """The engine's own refusal, of a prompt longer than its window, makes the middleware cut and ask again."""
    llm = make(max_tokens=8)
    window = (llm.warm_up(), (llm.profile or {})["max_input_tokens"])[1]
    middleware = SummarizationMiddleware(
        model=llm, trigger=("tokens", window // 2), keep=("messages", 1), trim_tokens_to_summarize=None
    )
    agent: Any = create_agent(llm, [], middleware=[middleware])
    history: list[Any] = []
    for _ in range(10):
        history += [HumanMessage("word " * (window // 18)), AIMessage("word " * (window // 18))]
    messages = agent.invoke({"messages": [*history, HumanMessage(FRANCE)]})["messages"]
    assert messages[0].additional_kwargs["lc_source"] == "summarization"
    assert "Error generating summary" not in messages[0].text
    answer: Any = messages[-1]
    assert answer.usage_metadata["input_tokens"] < window // 2


def test_retry_middleware_asks_again_only_what_can_be_retried(make: Make, dead: ChatLlama70B) -> None:
    tried: list[str] = []

    @wrap_model_call
    def mend(request: Any, handler: Any) -> Any:
        tried.append("once")
        return handler(request.override(model=dead) if len(tried) < 3 else request)

    retry = ModelRetryMiddleware(max_retries=3, initial_delay=0.01, jitter=False, on_failure="error")
    agent: Any = create_agent(make(max_tokens=8), [], middleware=[retry, mend])
    assert "Paris" in agent.invoke({"messages": [("human", FRANCE)]})["messages"][-1].text
    assert len(tried) == 3
    tried[:] = ["once"] * 5
    wrong: Any = create_agent(make(api_key="wrong"), [], middleware=[retry, mend])
    with pytest.raises(AuthenticationError):
        wrong.invoke({"messages": [("human", FRANCE)]})
    assert len(tried) == 6, "a refused key is not tried again"


async def test_fallbacks(make: Make, dead: ChatLlama70B) -> None:
    llm = make(max_tokens=8)
    chain = dead.with_fallbacks([llm])
    assert "Paris" in chain.invoke(FRANCE).text
    assert "Paris" in (await chain.ainvoke(FRANCE)).text
    agent: Any = create_agent(dead, [], middleware=[ModelFallbackMiddleware(llm)])
    assert "Paris" in agent.invoke({"messages": [("human", FRANCE)]})["messages"][-1].text
    await llm.aclose()
    await dead.aclose()


async def test_thirty_two_branches(make: Make) -> None:
    llm = make(max_tokens=1)
    branches: Any = RunnableParallel({f"b{n}": RunnableLambda(lambda x: x) | llm for n in range(32)})
    counter = UsageMetadataCallbackHandler()
    answers = await branches.ainvoke("Say hello", {"callbacks": [counter]})
    assert len(answers) == 32
    assert len({message.text for message in answers.values()}) == 1
    (usage,) = counter.usage_metadata.values()
    assert usage["output_tokens"] == 32
    await llm.aclose()


async def test_batch_with_max_concurrency(make: Make) -> None:
    llm = make(max_tokens=2)
    questions: list[Any] = [f"Say {word}" for word in ("one", "two", "three", "four", "five", "six")]
    one_by_one = [llm.invoke(question).text for question in questions]
    assert [answer.text for answer in llm.batch(questions, {"max_concurrency": 3})] == one_by_one
    assert [answer.text for answer in await llm.abatch(questions, {"max_concurrency": 3})] == one_by_one
    await llm.aclose()


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")  # v3 is in beta
async def test_events_v2_and_v3(make: Make) -> None:
    llm = make(max_tokens=8)
    events = [event async for event in (llm | StrOutputParser()).astream_events(FRANCE, version="v2")]
    chunks = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    (end,) = (event["data"]["output"] for event in events if event["event"] == "on_chat_model_end")
    assert "".join(chunk.text for chunk in chunks) == end.text
    assert end.usage_metadata["output_tokens"] <= 8
    stream: Any = await llm.astream_events(FRANCE, version="v3")
    assert "".join([piece async for piece in stream.text]) == end.text
    used = (await stream.output).usage_metadata  # the second time more of the prompt comes from the cache
    assert used["total_tokens"] == end.usage_metadata["total_tokens"]
    blocking: Any = llm.stream_events(FRANCE, version="v3")
    assert "".join(blocking.text) == end.text
    await llm.aclose()


class Tracer(BaseTracer):
    """Keeps finished runs as LangSmith's tracer would send them."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)


def test_a_tracer_receives_name_parameters_and_usage(make: Make) -> None:
    llm, tracer = make(max_tokens=4, seed=7), Tracer()
    (ChatPromptTemplate.from_template("{x}") | llm).invoke({"x": FRANCE}, {"callbacks": [tracer], "run_name": "ask"})
    (root,) = tracer.roots
    assert root.name == "ask"
    (run,) = (child for child in root.child_runs if child.run_type == "llm")
    assert run.name == "ChatLlama70B"
    assert isinstance(run.id, UUID)
    metadata, params = (run.extra or {})["metadata"], (run.extra or {})["invocation_params"]
    assert (metadata["ls_provider"], metadata["ls_model_name"], metadata["ls_max_tokens"]) == ("llama70b", llm.model, 4)
    assert (params["model"], params["seed"]) == (llm.model, 7)
    message = (run.outputs or {})["generations"][0][0]["message"]["kwargs"]
    assert message["usage_metadata"]["output_tokens"] <= 4
