"""The frameworks act on our errors: fallbacks, retries and middleware; agents and query engines let them through."""

import asyncio
import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, SummarizationMiddleware
from langchain.agents.middleware.model_retry import ModelRetryMiddleware
from langchain_core import exceptions as lc
from langchain_core.messages import AIMessage, HumanMessage
from llama_index.core import SummaryIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.schema import TextNode

import langchain_llama70b
from langchain_llama70b import ChatLlama70B
from llama70b.errors import ContextOverflow, IncompleteStream, ServerError
from llamaindex_llama70b import Llama70B
from tests.fault.faultd import Case, FaultServer, completion, delta, vllm_error
from tests.fault.frameworks import OURS, QUESTION, note
from tests.fault.scenarios import OVERFLOW

# llama-index-workflows asks agents, which are pydantic models, for all their attributes; ReActAgent calls what is old.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(The `__fields|Accessing the .model_|is_running called):DeprecationWarning"
)
BAD = vllm_error("temperature must be non-negative", 400)


@pytest.fixture(autouse=True)
def _noted(request: pytest.FixtureRequest) -> Iterator[None]:
    note(request, OURS["llamaindex" in request.node.name])
    yield
    if "llamaindex" in request.node.name:  # its chat memory leaves an SQLite connection to the garbage collector
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def _chat(case: Case, **options: Any) -> ChatLlama70B:
    llm: ChatLlama70B = OURS[0].make(case, **options)
    return llm


def _index(case: Case, **options: Any) -> Llama70B:
    llm: Llama70B = OURS[1].make(case, **options)
    return llm


def _run(runnable: Any, given: Any, *, awaits: bool) -> Any:
    return asyncio.run(runnable.ainvoke(given)) if awaits else runnable.invoke(given)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def awaits(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_f50_with_fallbacks_takes_the_other_endpoint(faultd: FaultServer, awaits: bool) -> None:
    down, up = faultd.case("fixed", status=502), faultd.case("ok", text="from the other")
    chain = _chat(down, max_retries=0).with_fallbacks([_chat(up)], exceptions_to_handle=(lc.ModelAPIError,))
    assert _run(chain, QUESTION, awaits=awaits).text == "from the other"
    assert (down.posts, up.posts) == (1, 1)


def test_f48_with_fallbacks_leaves_what_another_endpoint_cannot_mend(faultd: FaultServer, awaits: bool) -> None:
    down, up = faultd.case("fixed", status=400, body=vllm_error(OVERFLOW, 400)), faultd.case("ok")
    chain = _chat(down).with_fallbacks([_chat(up)], exceptions_to_handle=(lc.ModelRateLimitError, lc.ModelTimeoutError))
    with pytest.raises(lc.ContextOverflowError) as caught:
        _run(chain, QUESTION, awaits=awaits)
    assert isinstance(caught.value, ContextOverflow)
    assert (down.posts, up.posts) == (1, 0)


def test_f14_with_retry_asks_anew_after_an_interrupted_stream(faultd: FaultServer, awaits: bool) -> None:
    cut = ("events", {"blocks": [delta("Hel")], "then": "end"})
    case = faultd.case("mixed", pick=lambda n: cut if n == 1 else ("ok", {}))
    llm = _chat(case, streaming=True)
    retried = llm.with_retry(
        retry_if_exception_type=(lc.ModelConnectionError,), stop_after_attempt=2, wait_exponential_jitter=False
    )
    assert _run(retried, QUESTION, awaits=awaits).text == "Hello there"
    assert case.posts == 2


@pytest.mark.parametrize(("params", "posts"), [({"status": 502, "times": 2}, 3), ({"status": 400, "body": BAD}, 1)])
def test_f50_the_retry_middleware_retries_what_is_retryable(
    faultd: FaultServer, awaits: bool, params: dict[str, Any], posts: int
) -> None:
    case = faultd.case("fixed", **params)
    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False, on_failure="error")
    agent = create_agent(_chat(case, max_retries=0), [], middleware=[retry])
    given = {"messages": [HumanMessage(QUESTION)]}
    if posts == 1:
        with pytest.raises(langchain_llama70b.BadRequest) as caught:
            _run(agent, given, awaits=awaits)
        assert caught.value.request_id == _request_id(case)
    else:
        assert _run(agent, given, awaits=awaits)["messages"][-1].text == "Hello there"
    assert case.posts == posts


def test_f44_the_fallback_middleware_leaves_an_endpoint_that_never_wakes(faultd: FaultServer, awaits: bool) -> None:
    asleep, up = faultd.case("cold_server", boot=None), faultd.case("ok", text="from the other")
    agent = create_agent(_chat(asleep, limits={"cold_start": 0.3}), [], middleware=[ModelFallbackMiddleware(_chat(up))])
    answer = _run(agent, {"messages": [HumanMessage(QUESTION)]}, awaits=awaits)
    assert answer["messages"][-1].text == "from the other"
    assert (asleep.posts, up.posts) == (1, 1)


def test_f48_an_overflow_is_caught_and_the_history_shortened(faultd: FaultServer, awaits: bool) -> None:
    """What summarising middleware does: catch LangChain's class, shorten, ask again."""
    too_long = ("fixed", {"status": 400, "body": vllm_error(OVERFLOW, 400)})
    case = faultd.case("mixed", pick=lambda n: too_long if n == 1 else ("echo", {}))
    llm = _chat(case)
    history = [HumanMessage("word " * 100), AIMessage("yes"), HumanMessage("the question")]
    with pytest.raises(lc.ContextOverflowError) as caught:
        _run(llm, history, awaits=awaits)
    assert isinstance(caught.value, ContextOverflow)
    assert caught.value.max_model_len == 4096
    assert _run(llm, history[-1:], awaits=awaits).text == "the question"
    assert case.posts == 2


def test_f48_the_summarization_middleware_summarises_with_our_model(faultd: FaultServer, awaits: bool) -> None:
    case = faultd.case("mixed", pick=lambda n: ("ok", {"text": "a summary" if n == 1 else "the answer"}))
    llm = _chat(case)
    shorten = SummarizationMiddleware(llm, trigger=("messages", 4), keep=("messages", 1))
    agent = create_agent(llm, [], middleware=[shorten])
    turns = [HumanMessage("a"), AIMessage("b"), HumanMessage("c"), AIMessage("d"), HumanMessage(QUESTION)]
    answer = _run(agent, {"messages": turns}, awaits=awaits)
    assert answer["messages"][-1].text == "the answer"
    asked = [message["content"] for message in case.log[-1].json["messages"]]
    assert "a summary" in asked[0]
    assert len(asked) == 2


def _request_id(case: Case) -> str:
    """Return the id under which the prompt last arrived; LlamaIndex also asks for the window."""
    return [a.headers["x-request-id"] for a in case.log if a.method == "POST"][-1]


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
@pytest.mark.parametrize("kind", ["function", "react", "workflow"])
def test_f50_llamaindex_agents_let_our_errors_through(faultd: FaultServer, kind: str, streaming: bool) -> None:
    case = faultd.case("fixed", status=502)
    llm = _index(case, max_retries=0)

    async def main() -> None:
        agents: dict[str, Any] = {"function": FunctionAgent, "react": ReActAgent, "workflow": FunctionAgent}
        agent = agents[kind](llm=llm, tools=[], streaming=streaming, name="a", description="d")
        runner: Any = AgentWorkflow(agents=[agent], root_agent="a") if kind == "workflow" else agent
        try:
            await runner.run(user_msg=QUESTION)
        finally:
            await llm.aclose()

    with pytest.raises(ServerError) as caught:  # not wrapped
        asyncio.run(main())
    assert caught.value.retryable
    assert caught.value.request_id == _request_id(case)
    assert case.posts == 1


def test_f14_a_llamaindex_agent_keeps_the_text_of_an_interrupted_stream(faultd: FaultServer) -> None:
    case = faultd.case("events", blocks=[delta("Hel"), delta("lo")])
    llm = _index(case)

    async def main() -> None:
        try:
            await FunctionAgent(llm=llm, tools=[], streaming=True).run(user_msg=QUESTION)
        finally:
            await llm.aclose()

    with pytest.raises(IncompleteStream) as caught:
        asyncio.run(main())
    assert caught.value.text == "Hello"


def test_f50_llamaindex_query_and_chat_engines_let_our_errors_through(faultd: FaultServer, awaits: bool) -> None:
    case = faultd.case("fixed", status=502)
    llm = _index(case, max_retries=0, context_window=4096)
    index = SummaryIndex([TextNode(text="All roses are flowers.")])
    engines: list[Any] = [index.as_query_engine(llm=llm), SimpleChatEngine.from_defaults(llm=llm)]
    for number, engine in enumerate(engines):
        names = ("query", "aquery") if number == 0 else ("chat", "achat")
        with pytest.raises(ServerError) as caught:
            _ask_engine(engine, names, llm, awaits=awaits)
        assert caught.value.request_id == _request_id(case)
        assert caught.value.retryable
    assert case.posts == 2
    llm.close()


def _ask_engine(engine: Any, names: tuple[str, str], llm: Llama70B, *, awaits: bool) -> None:
    async def main() -> None:
        try:
            await getattr(engine, names[1])(QUESTION)
        finally:
            await llm.aclose()

    asyncio.run(main()) if awaits else getattr(engine, names[0])(QUESTION)


def test_f22_a_langgraph_agent_lets_our_errors_through(faultd: FaultServer, awaits: bool) -> None:
    case = faultd.case("fixed", body={**completion(), "choices": []})
    agent = create_agent(_chat(case), [])
    with pytest.raises(langchain_llama70b.ProtocolError) as caught:
        _run(agent, {"messages": [HumanMessage(QUESTION)]}, awaits=awaits)
    assert caught.value.request_id == _request_id(case)
    assert case.posts == 1
