"""One model run is one row, on every path of both frameworks, with the tokens its answer shows."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from langchain_llama70b import ChatLlama70B
from llama70b import observing
from llama70b.errors import Llama70BError
from llama70b.ledger import Ledger, LedgerRecorder
from llamaindex_llama70b import Llama70B
from tests.unit.scripted_server import KEY, Answer, Raw, ScriptedServer

pytestmark = pytest.mark.filterwarnings("ignore:(The `__fields|Accessing the 'model_):DeprecationWarning")

READ, WRITTEN = 11, 7
TEXT = Answer(content="a b c", pieces=["a ", "b ", "c"], usage=(READ, WRITTEN))
CALL = Answer(tool_calls=[("add", '{"a": 1, "b": 2}')], usage=(READ, WRITTEN))
OBJECT = Answer(content='{"city": "Paris"}', usage=(READ, WRITTEN))
SUBMIT = Answer(tool_calls=[("City", '{"city": "Paris"}')], usage=(READ, WRITTEN))
REFUSED = Raw(status=400, body=b'{"error": {"message": "no", "type": "BadRequestError", "code": 400}}')


class City(BaseModel):
    """A city."""

    city: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@dataclass(frozen=True)
class Path_:  # noqa: N801 - `Path` is taken
    """One way to ask.

    Attributes:
        name: For the report.
        script: What the server answers.
        run: Asks; may be a coroutine function.
        rows: Expected outcomes.
        counted: Whether the framework's own counter sees all of them: not what was left early.
    """

    name: str
    script: tuple[Answer | Raw, ...]
    run: Callable[[Any], Any]
    rows: tuple[str, ...] = ("answered",)
    counted: bool = True


def _early(llm: ChatLlama70B) -> None:
    stream = llm.stream("x")
    next(stream)
    next(stream)
    stream.close()  # type: ignore[attr-defined]


async def _aearly(llm: ChatLlama70B) -> None:
    stream = llm.astream("x")
    async for chunk in stream:
        if chunk.content:
            break
    await stream.aclose()  # type: ignore[attr-defined]


async def _drain(stream: Any) -> None:
    async for _ in stream:
        pass


def _failing(llm: ChatLlama70B) -> None:
    with pytest.raises(Llama70BError):
        llm.invoke("x")


def _agent(llm: ChatLlama70B) -> Any:
    return create_agent(llm, [tool(add)])


ASK = {"messages": [("user", "1 + 2?")]}

LANGCHAIN = [
    Path_("invoke", (TEXT,), lambda llm: llm.invoke("x")),
    Path_("ainvoke", (TEXT,), lambda llm: llm.ainvoke("x")),
    Path_("stream", (TEXT,), lambda llm: list(llm.stream("x"))),
    Path_("astream", (TEXT,), lambda llm: _drain(llm.astream("x"))),
    Path_("astream_events", (TEXT,), lambda llm: _drain(llm.astream_events("x", version="v2"))),
    Path_("stream, left early", (TEXT,), _early, ("closed",), counted=False),
    Path_("astream, left early", (TEXT,), _aearly, ("closed",), counted=False),
    Path_("batch", (TEXT,), lambda llm: llm.batch(["x", "y", "z"]), ("answered",) * 3),
    Path_("abatch", (TEXT,), lambda llm: llm.abatch(["x", "y", "z"]), ("answered",) * 3),
    Path_("generate", (TEXT,), lambda llm: llm.generate([[HumanMessage("x")], [HumanMessage("y")]]), ("answered",) * 2),
    Path_("bind_tools", (CALL,), lambda llm: llm.bind_tools([tool(add)]).invoke("x")),
    Path_("with_structured_output", (OBJECT,), lambda llm: llm.with_structured_output(City).invoke("x")),
    Path_(
        "with_structured_output by tool",
        (SUBMIT,),
        lambda llm: llm.with_structured_output(City, method="function_calling").invoke("x"),
    ),
    Path_("agent", (CALL, TEXT), lambda llm: _agent(llm).invoke(ASK), ("answered",) * 2),
    Path_("agent, async", (CALL, TEXT), lambda llm: _agent(llm).ainvoke(ASK), ("answered",) * 2),
    Path_(
        "agent, streamed",
        (CALL, TEXT),
        lambda llm: list(_agent(llm).stream(ASK, stream_mode="messages")),
        ("answered",) * 2,
    ),
    Path_("fallback", (REFUSED, TEXT), lambda llm: llm.with_fallbacks([llm]).invoke("x"), ("failed", "answered")),
    Path_("a failure", (REFUSED,), _failing, ("failed",), counted=False),
]


async def _li_early(llm: Llama70B) -> None:
    stream = await llm.astream_chat([ChatMessage(content="x")])
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]


def _li_close(llm: Llama70B) -> None:
    stream = llm.stream_chat([ChatMessage(content="x")])
    next(stream)
    stream.close()  # type: ignore[attr-defined]


async def _li_agent(llm: Llama70B) -> None:
    agent = FunctionAgent(tools=[FunctionTool.from_defaults(add)], llm=llm, streaming=False)
    await agent.run("1 + 2?")


async def _li_streaming_agent(llm: Llama70B) -> None:
    agent = FunctionAgent(tools=[FunctionTool.from_defaults(add)], llm=llm, streaming=True)
    handler = agent.run("1 + 2?")
    await _drain(handler.stream_events())
    await handler


async def _li_astream(llm: Llama70B) -> None:
    await _drain(await llm.astream_chat([ChatMessage(content="x")]))


X = [ChatMessage(content="x")]
LLAMAINDEX = [
    Path_("chat", (TEXT,), lambda llm: llm.chat(X)),
    Path_("achat", (TEXT,), lambda llm: llm.achat(X)),
    Path_("complete", (TEXT,), lambda llm: llm.complete("x")),
    Path_("acomplete", (TEXT,), lambda llm: llm.acomplete("x")),
    Path_("stream_chat", (TEXT,), lambda llm: list(llm.stream_chat(X))),
    Path_("astream_chat", (TEXT,), _li_astream),
    Path_("stream_complete", (TEXT,), lambda llm: list(llm.stream_complete("x"))),
    Path_("stream_chat, left early", (TEXT,), _li_close, ("closed",), counted=False),
    Path_("astream_chat, left early", (TEXT,), _li_early, ("closed",), counted=False),
    Path_("chat_with_tools", (CALL,), lambda llm: llm.chat_with_tools([FunctionTool.from_defaults(add)], "x")),
    # Core's StructuredLLM has the object in `raw`, where its TokenCountingHandler looks for usage: it guesses instead.
    Path_("as_structured_llm", (OBJECT,), lambda llm: llm.as_structured_llm(City).complete("x"), counted=False),
    Path_("agent", (CALL, TEXT), _li_agent, ("answered",) * 2),
    Path_("agent, streamed", (CALL, TEXT), _li_streaming_agent, ("answered",) * 2),
]


@pytest.fixture
def default(recorder: LedgerRecorder, monkeypatch: pytest.MonkeyPatch) -> LedgerRecorder:
    monkeypatch.setattr("llama70b._observe._default", recorder)
    return recorder


def _ask(path: Path_, llm: Any) -> None:
    got = path.run(llm)
    if asyncio.iscoroutine(got):

        async def run() -> None:
            await got

        asyncio.run(run())


def _check(
    path: Path_, ledger: Path, recorder: LedgerRecorder, scripted: ScriptedServer, framework: str
) -> tuple[int, int]:
    """Check the rows; return the tokens of those that were answered."""
    recorder.flush()
    rows = Ledger(ledger).runs()
    assert sorted(row.outcome for row in rows) == sorted(path.rows)
    assert len(rows) == len(scripted.chats)
    assert {row.id for row in rows} == {request.headers["x-request-id"] for request in scripted.chats}
    answered = [row for row in rows if row.outcome == "answered"]
    assert all((row.prompt_tokens, row.completion_tokens) == (READ, WRITTEN) for row in answered)
    assert all(row.usage_source == "server" for row in answered)
    assert {row.framework for row in rows} == {framework}
    return READ * len(answered), WRITTEN * len(answered)


@pytest.mark.parametrize("way", LANGCHAIN, ids=lambda way: way.name)
def test_langchain(way: Path_, scripted: ScriptedServer, default: LedgerRecorder, path: Path) -> None:
    scripted.answer(*way.script)
    llm = ChatLlama70B(base_url=scripted.url, api_key=KEY, progress_bar=False, max_retries=0)
    with get_usage_metadata_callback() as counted:
        _ask(way, llm)
    read, written = _check(way, path, default, scripted, "langchain")
    if way.counted:
        (usage,) = counted.usage_metadata.values()
        assert (usage["input_tokens"], usage["output_tokens"]) == (read, written)


@pytest.mark.parametrize("way", LLAMAINDEX, ids=lambda way: way.name)
def test_llamaindex(way: Path_, scripted: ScriptedServer, default: LedgerRecorder, path: Path) -> None:
    scripted.answer(*way.script)
    counter = TokenCountingHandler()
    llm = Llama70B(
        base_url=scripted.url,
        api_key=KEY,
        progress_bar=False,
        max_retries=0,
        context_window=4096,
        callback_manager=CallbackManager([counter]),
    )
    _ask(way, llm)
    read, written = _check(way, path, default, scripted, "llamaindex")
    if way.counted:
        assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (read, written)


def test_the_cost_is_on_exactly_one_chunk(scripted: ScriptedServer, default: LedgerRecorder, path: Path) -> None:
    scripted.answer(TEXT)
    llm = ChatLlama70B(base_url=scripted.url, api_key=KEY, progress_bar=False, price_per_hour=36.0)
    chunks = list(llm.stream("x"))
    (cost,) = [chunk.response_metadata["cost"] for chunk in chunks if "cost" in chunk.response_metadata]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.response_metadata["cost"] == cost
    assert cost["estimate"] is True
    default.flush()
    (row,) = Ledger(path).runs()
    seconds = whole.response_metadata["timing"]["total_s"]
    assert cost["usd"] == pytest.approx(0.01 * seconds, abs=2e-9)  # a cent a second
    assert cost["usd"] == pytest.approx(cost["boot_usd"] + cost["busy_usd"], abs=1e-8)
    assert row.cost_nano == pytest.approx(row.total_ns / 100, abs=2)


def test_the_cost_of_several_answers_is_told_once(scripted: ScriptedServer) -> None:
    scripted.answer(Answer(content="a", n=2))
    llm = ChatLlama70B(base_url=scripted.url, api_key=KEY, progress_bar=False, price_per_hour=1, n=2)
    generations = llm.generate([[HumanMessage("x")]]).generations[0]
    told = ["cost" in generation.message.response_metadata for generation in generations]  # type: ignore[union-attr]
    assert told == [True, False]


def test_no_price_no_cost_and_the_environments_price(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.answer(TEXT)
    options: dict[str, Any] = {"base_url": scripted.url, "api_key": KEY, "progress_bar": False}
    assert "cost" not in ChatLlama70B(**options).invoke("x").response_metadata
    assert "cost" not in Llama70B(**options, context_window=4096).chat(X).additional_kwargs
    monkeypatch.setenv("LLAMA70B_PROFILE", "a100x2-bf16")
    cost = Llama70B(**options, context_window=4096).chat(X).additional_kwargs["cost"]
    assert cost["price_per_hour"] == pytest.approx(5.885568, abs=1e-5)
    *pieces, last = Llama70B(**options, context_window=4096, price_per_hour=2).stream_chat(X)
    assert last.additional_kwargs["cost"]["price_per_hour"] == 2
    assert not any("cost" in piece.additional_kwargs for piece in pieces)


def test_a_row_knows_its_run(scripted: ScriptedServer, default: LedgerRecorder, path: Path) -> None:
    scripted.answer(TEXT)
    llm = ChatLlama70B(base_url=scripted.url, api_key=KEY, progress_bar=False)
    run_ids = [uuid4() for _ in range(2)]
    llm.invoke("x", {"run_id": run_ids[0], "tags": ["nightly"]})
    list(llm.stream("x", {"run_id": run_ids[1], "tags": ["nightly"]}))
    with observing(parent_run_id="agent-7", tags=("mine",)):
        llm.invoke("x")
    default.flush()
    rows = Ledger(path).runs()
    assert [row.parent_run_id for row in rows] == [*map(str, run_ids), "agent-7"]
    assert all("nightly" in row.tags for row in rows[:2])
    assert rows[2].tags == ("mine",)
