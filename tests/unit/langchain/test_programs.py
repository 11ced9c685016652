"""Programs that users write with LangChain and LangGraph, on the scripted server."""

import asyncio
import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, SummarizationMiddleware
from langchain.agents.middleware.model_retry import ModelRetryMiddleware
from langchain.agents.structured_output import ProviderStrategy
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableParallel
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from langchain_llama70b import ChatLlama70B
from tests.unit.scripted_server import MODEL, Answer, Request, ScriptedServer, error

Make = Callable[..., ChatLlama70B]
Ask = Callable[..., Any]
OVERFLOW = error(
    400,
    "This model's maximum context length is 4096 tokens. However, your prompt contains at least 4097 input tokens. "
    "Please reduce the length of the input prompt.",
    param="input_tokens",
)


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

    city: str
    degrees: int


def scripted_agent(request: Request) -> Answer:
    """Call both tools, one after the other, then answer; by the schema's tool where there is one."""
    results = [turn for turn in request.body["messages"] if turn["role"] == "tool"]
    names = [offered["function"]["name"] for offered in request.body.get("tools", [])]
    if not results:
        return Answer(tool_calls=[("id-w", "weather", '{"city": "Rome"}')])
    if len(results) == 1:
        return Answer(tool_calls=[("id-a", "add", '{"a": 1, "b": 2}')])
    if "Report" in names:
        return Answer(tool_calls=[("id-r", "Report", '{"city": "Rome", "degrees": 20}')])
    return Answer("It is 20 C in Rome, and 1 + 2 = 3.")


async def test_prompt_model_parser(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.say("Hello Ann")
    chain = ChatPromptTemplate.from_messages([("system", "Be {how}."), ("human", "{text}")]) | llm | StrOutputParser()
    pieces = [piece async for piece in chain.astream({"how": "kind", "text": "hi"})]
    assert "".join(pieces) == "Hello Ann"
    assert len(pieces) > 1
    assert chain.invoke({"how": "kind", "text": "hi"}) == "Hello Ann"
    assert scripted.bodies[0]["messages"][0] == {"role": "system", "content": "Be kind."}
    await llm.aclose()


@pytest.mark.parametrize("output_version", [None, "v1"])
async def test_an_agent_with_two_tools(make: Make, scripted: ScriptedServer, output_version: str | None) -> None:
    scripted.answer(scripted_agent)
    llm = make(output_version=output_version)
    agent: Any = create_agent(llm, [weather, add], system_prompt="Be exact.")
    result = agent.invoke({"messages": [HumanMessage("How warm is Rome, and 1 + 2?")]})
    assert result["messages"][-1].text == "It is 20 C in Rome, and 1 + 2 = 3."
    assert [message.content for message in result["messages"] if isinstance(message, ToolMessage)] == [
        "20 C in Rome",
        "3",
    ]
    streamed = ""
    async for message, _ in agent.astream({"messages": [("human", "hi")]}, stream_mode="messages"):
        if isinstance(message, AIMessage):
            streamed += str(message.text)
    assert streamed == "It is 20 C in Rome, and 1 + 2 = 3."
    await llm.aclose()


@pytest.mark.parametrize("strategy", [Report, ProviderStrategy(Report)], ids=["default", "provider"])
def test_an_agent_with_a_structured_answer(llm: ChatLlama70B, scripted: ScriptedServer, strategy: Any) -> None:
    scripted.answer(scripted_agent)
    agent: Any = create_agent(llm, [weather, add], response_format=strategy)
    result = agent.invoke({"messages": [("human", "How warm is Rome?")]})
    assert result["structured_response"] == Report(city="Rome", degrees=20)
    assert all("response_format" not in body for body in scripted.bodies)
    assert all(body["tool_choice"] == "required" for body in scripted.bodies)


class State(TypedDict):
    messages: Annotated[list[AnyMessage], operator.add]


async def test_a_graph_that_is_interrupted_and_resumed(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(lambda request: Answer(f"I heard {len(request.body['messages'])} turns"))

    async def talk(state: State) -> dict[str, Any]:
        return {"messages": [await llm.ainvoke(state["messages"])]}

    def review(state: State) -> dict[str, Any]:
        return {"messages": [HumanMessage(interrupt({"read": state["messages"][-1].text}))]}

    graph = StateGraph(State)
    graph.add_node("talk", talk)
    graph.add_node("review", review)
    graph.add_node("again", talk)
    graph.add_edge(START, "talk")
    graph.add_edge("talk", "review")
    graph.add_edge("review", "again")
    graph.add_edge("again", END)
    app = graph.compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    paused: Any = await app.ainvoke({"messages": [HumanMessage("hi")]}, thread)
    assert paused["__interrupt__"][0].value == {"read": "I heard 1 turns"}
    done: Any = await app.ainvoke(Command(resume="go on"), thread)
    assert [message.content for message in done["messages"]] == ["hi", "I heard 1 turns", "go on", "I heard 3 turns"]
    kept = (await app.aget_state(thread)).values["messages"][1]
    assert kept.response_metadata["model_provider"] == "llama70b"
    assert kept.usage_metadata["total_tokens"] == 18
    await llm.aclose()


def test_summarization_recovers_from_an_overflow(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    """The middleware knows an overflow by its type; then it cuts the history and asks for the summary again."""

    def answer(request: Request) -> Any:
        words = sum(len(turn["content"].split()) for turn in request.body["messages"])
        if words > 1500:
            return OVERFLOW
        return Answer("They talked at length." if words > 300 else "Short answer.")

    scripted.answer(answer)
    middleware = SummarizationMiddleware(
        model=llm, trigger=("tokens", 1000), keep=("messages", 1), trim_tokens_to_summarize=None
    )
    agent: Any = create_agent(llm, [], middleware=[middleware])
    history: list[Any] = []
    for _ in range(10):
        history += [HumanMessage("word " * 100), AIMessage("word " * 100)]
    result = agent.invoke({"messages": [*history, HumanMessage("And now?")]})
    assert result["messages"][-1].content == "Short answer."
    assert "They talked at length." in result["messages"][0].content
    assert len(scripted.chats) == 3


def test_retry_middleware(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(error(500, "boom"), error(500, "boom"), Answer("third time"))
    retry = ModelRetryMiddleware(max_retries=3, initial_delay=0.01, jitter=False, on_failure="error")
    agent: Any = create_agent(llm, [], middleware=[retry])
    assert agent.invoke({"messages": [("human", "hi")]})["messages"][-1].content == "third time"
    assert len(scripted.chats) == 3


async def test_fallbacks(ask: Ask, make: Make, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    other = ScriptedServer()
    try:
        scripted.answer(error(500, "boom"))
        other.say("from the other")
        spare = make(base_url=other.url)
        assert (await ask(llm.with_fallbacks([spare]))).content == "from the other"
        agent: Any = create_agent(llm, [], middleware=[ModelFallbackMiddleware(spare)])
        assert agent.invoke({"messages": [("human", "hi")]})["messages"][-1].content == "from the other"
        await spare.aclose()
        await llm.aclose()
    finally:
        other.close()


async def test_thirty_two_at_once(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(lambda request: Answer(request.body["messages"][0]["content"].upper()))
    branches = RunnableParallel(
        {f"b{n}": ChatPromptTemplate.from_template(f"branch {n} {{x}}") | llm for n in range(32)}
    )
    expected = {f"b{n}": f"BRANCH {n} HI" for n in range(32)}
    assert {name: message.content for name, message in (await branches.ainvoke({"x": "hi"})).items()} == expected
    assert {name: message.content for name, message in branches.invoke({"x": "hi"}).items()} == expected
    await llm.aclose()


async def test_batch_keeps_to_its_concurrency(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    busy, most, lock = 0, 0, asyncio.Lock()
    client = await llm._async_client()
    inner = client.chat

    async def watched(*args: Any, **given: Any) -> Any:
        nonlocal busy, most
        async with lock:
            busy += 1
            most = max(most, busy)
        try:
            return await inner(*args, **given)
        finally:
            busy -= 1

    client.chat = watched  # type: ignore[method-assign]
    answers = await llm.abatch(["hi"] * 12, {"max_concurrency": 3})
    assert len(answers) == 12
    assert most == 3
    await llm.aclose()


async def test_events_v2(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("one two three", usage=(5, 3)))
    events = [event async for event in (llm | StrOutputParser()).astream_events("hi", version="v2")]
    kinds = [event["event"] for event in events]
    assert kinds.count("on_chat_model_start") == kinds.count("on_chat_model_end") == 1
    end = next(event for event in events if event["event"] == "on_chat_model_end")
    output: Any = end["data"].get("output")
    assert output.usage_metadata["total_tokens"] == 8
    start = next(event for event in events if event["event"] == "on_chat_model_start")
    assert start["metadata"]["ls_provider"] == "llama70b"
    assert start["metadata"]["ls_model_name"] == MODEL
    await llm.aclose()


async def test_events_v3(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("one two", reasoning="Hm. ", tool_calls=[("weather", '{"city": "Rome"}')], usage=(5, 3)))
    stream: Any = llm.bind_tools([weather]).stream_events("hi", version="v3")
    assert "".join(stream.text) == "one two"
    message = stream.output
    assert message.tool_calls[0]["args"] == {"city": "Rome"}
    assert message.usage_metadata["total_tokens"] == 8
    astream: Any = await llm.bind_tools([weather]).astream_events("hi", version="v3")
    assert "".join([piece async for piece in astream.text]) == "one two"
    assert (await astream.output).tool_calls[0]["args"] == {"city": "Rome"}
    await llm.aclose()
