"""A cold start shows: in callbacks, in custom events, in the answer's metadata."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.runnables import RunnableLambda

from langchain_llama70b import COLD_START_EVENT, ChatLlama70B
from llama70b import ColdStartProgress, Timeouts
from tests.unit.scripted_server import Answer, Raw, Request, ScriptedServer

Make = Callable[..., ChatLlama70B]
Ask = Callable[..., Any]
QUICK = Timeouts(cold_start=20, poll=0.05)


@pytest.fixture
def sleeping(scripted: ScriptedServer) -> ScriptedServer:
    """A server that is ready at the fourth look."""
    looks = {"left": 3}

    def health(_: Request) -> Raw:
        looks["left"] -= 1
        return Raw(200 if looks["left"] < 0 else 503, "")

    def chat(_: Request) -> Answer | Raw:
        return Answer("awake now") if looks["left"] < 0 else Raw(503, {"error": "cold"})

    scripted.routes["/health"] = health
    scripted.answer(chat)
    return scripted


class _Handler(BaseCallbackHandler):
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any], UUID]] = []
        self.run_ids: set[UUID] = set()

    def on_chat_model_start(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        self.run_ids.add(run_id)

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self.events.append((name, data, run_id))


async def test_callback_event_and_timing(ask: Ask, make: Make, sleeping: ScriptedServer) -> None:
    told: list[ColdStartProgress] = []
    own: list[ColdStartProgress] = []
    handler = _Handler()
    llm = make(timeout=QUICK, on_progress=told.append)
    message = await ask(llm, "hi", config={"callbacks": [handler]}, on_progress=own.append)
    assert message.content == "awake now"
    assert message.response_metadata["timing"]["cold_start_s"] > 0
    assert told[-1].state == "ready"
    assert [progress.state for progress in own] == [progress.state for progress in told]
    names = {name for name, _, _ in handler.events}
    assert names == {COLD_START_EVENT} == {"llama70b_cold_start"}
    assert handler.events[-1][1]["state"] == "ready"
    assert set(handler.events[0][1]) >= {"state", "elapsed_s", "estimate_s", "detail"}
    assert {run_id for _, _, run_id in handler.events} == handler.run_ids
    assert len([body for body in sleeping.bodies if body]) <= 2
    await llm.aclose()


async def test_async_handlers_and_awaitable_callbacks(make: Make, sleeping: ScriptedServer) -> None:
    class Handler(AsyncCallbackHandler):
        events: list[str] = []  # noqa: RUF012 - one instance

        async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            await asyncio.sleep(0)
            self.events.append(name)

    told: list[str] = []

    async def tell(progress: ColdStartProgress) -> None:
        await asyncio.sleep(0)
        told.append(progress.state)

    handler = Handler()
    llm = make(timeout=QUICK)
    await llm.ainvoke("hi", {"callbacks": [handler]}, on_progress=tell)
    assert told[-1] == "ready"
    assert set(handler.events) == {COLD_START_EVENT}
    await llm.aclose()


async def test_inside_a_chain(ask: Ask, make: Make, sleeping: ScriptedServer) -> None:
    handler = _Handler()
    llm = make(timeout=QUICK)
    chain = RunnableLambda(lambda text: f"{text}?") | llm
    await ask(chain, "hi", config={"callbacks": [handler]})
    assert {name for name, _, _ in handler.events} == {COLD_START_EVENT}
    await llm.aclose()


@pytest.mark.parametrize("chained", [False, True])
async def test_astream_events(make: Make, sleeping: ScriptedServer, chained: bool) -> None:
    llm = make(timeout=QUICK)
    runnable: Any = (RunnableLambda(lambda text: text) | llm) if chained else llm
    events = [event async for event in runnable.astream_events("hi", version="v2")]
    customs = [event for event in events if event["event"] == "on_custom_event"]
    assert customs
    assert all(event["name"] == COLD_START_EVENT for event in customs)
    assert customs[-1]["data"]["state"] == "ready"
    text = "".join(e["data"]["chunk"].content for e in events if e["event"] == "on_chat_model_stream")
    assert text == "awake now"
    await llm.aclose()


def test_warm_up(make: Make, sleeping: ScriptedServer) -> None:
    entry = {"id": "meta-llama/Llama-3.3-70B-Instruct", "max_model_len": 2048}
    sleeping.routes["/v1/models"] = Raw(200, {"data": [entry]})
    told: list[ColdStartProgress] = []
    llm = make(timeout=QUICK)
    assert llm.warm_up(told.append) > 0
    assert told[-1].state == "ready"
    assert sleeping.chats == []
    assert (llm.profile or {})["max_input_tokens"] == 2048
    assert llm.warm_up() == 0.0
    assert llm.warm_up(probe=True) == 0.0
    assert len(sleeping.chats) == 1


async def test_awarm_up_inside_a_run(make: Make, sleeping: ScriptedServer) -> None:
    handler = _Handler()
    llm = make(timeout=QUICK)

    async def wake(_: str) -> float:
        return await llm.awarm_up()

    assert await RunnableLambda(wake).ainvoke("x", {"callbacks": [handler]}) > 0
    assert {name for name, _, _ in handler.events} == {COLD_START_EVENT}
    await llm.aclose()


def test_an_awake_endpoint_makes_no_noise(make: Make, scripted: ScriptedServer) -> None:
    told: list[ColdStartProgress] = []
    make(on_progress=told.append).invoke("hi")
    assert told == []
    assert len(scripted.requests) == 1
