"""A sleeping endpoint through both frameworks: one generation a call, one waker, deadlines kept, everybody told."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import llama_index_instrumentation as instrumentation
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from llama_index.core.llms import ChatMessage
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.event_handlers import BaseEventHandler
from pydantic import Field

from langchain_llama70b import COLD_START_EVENT, ChatLlama70B
from llama70b.errors import ColdStartTimeout, EndpointUnavailable
from llamaindex_llama70b import ColdStartEvent
from tests.fault.faultd import Case, FaultServer
from tests.fault.frameworks import OURS, QUESTION, LangChain, Stack, note

SCALE = 0.0015  # 150 s are 0.225 s
BOOTS = (0, 30, 150, 170, 400)
LIMITS = {"cold_start": 3.0, "total": 3.0, "first_byte": 1.5, "poll": 0.02}
PATIENT = {**LIMITS, "cold_start": 30.0, "total": 30.0, "first_byte": 10.0}
MANY = 50
WAITING = 50


def _cold(server: FaultServer, mode: str, boot: float | None, *, stream: bool = False, scale: float = SCALE) -> Case:
    return server.case(f"cold_{mode}", scale=scale, boot=boot, stream=stream)


@pytest.mark.parametrize("way", ["chat-sync", "stream-async"])
@pytest.mark.parametrize("boot", BOOTS)
@pytest.mark.parametrize("mode", ["server", "function"])
@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f43_one_call_is_one_generation_however_long_the_boot(  # noqa: PLR0917 - fixtures and parameters
    request: pytest.FixtureRequest, faultd: FaultServer, stack: Stack, mode: str, boot: float, way: str
) -> None:
    case = _cold(faultd, mode, boot, stream=way.startswith("stream"))
    llm = stack.make(case, limits=LIMITS, max_retries=0)
    seen = stack.call(llm, way)
    stack.close(llm)
    note(request, stack, seen)
    assert seen.error is None
    assert seen.text == "Hello there"
    assert case.generations == 1
    assert case.posts == (2 if mode == "server" and boot else 1)
    assert boot * SCALE - 0.05 < seen.seconds < boot * SCALE + 1


def _batch(stack: Stack, llm: Any) -> list[str]:
    if isinstance(stack, LangChain):
        return [str(m.text) for m in llm.batch([QUESTION] * MANY, {"max_concurrency": MANY})]
    messages = [ChatMessage(role="user", content=QUESTION)]
    with ThreadPoolExecutor(MANY) as pool:
        return [r.message.content for r in pool.map(lambda _: llm.chat(messages), range(MANY))]


async def _abatch(stack: Stack, llm: Any) -> list[str]:
    if isinstance(stack, LangChain):
        return [str(m.text) for m in await llm.abatch([QUESTION] * MANY, {"max_concurrency": MANY})]
    return await _gather(stack, llm)


async def _gather(stack: Stack, llm: Any) -> list[str]:
    if isinstance(stack, LangChain):
        return [str(m.text) for m in await asyncio.gather(*(llm.ainvoke(QUESTION) for _ in range(MANY)))]
    messages = [ChatMessage(role="user", content=QUESTION)]
    return [r.message.content for r in await asyncio.gather(*(llm.achat(messages) for _ in range(MANY)))]


@pytest.mark.parametrize("form", ["batch", "abatch", "gather"])
@pytest.mark.parametrize("mode", ["server", "function"])
@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f43_50_calls_are_50_generations_and_one_waker(
    request: pytest.FixtureRequest, faultd: FaultServer, stack: Stack, mode: str, form: str
) -> None:
    case = _cold(faultd, mode, 400)
    llm = stack.make(case, limits=PATIENT, max_retries=0)
    note(request, stack)

    async def awaited() -> list[str]:
        try:
            return await (_abatch if form == "abatch" else _gather)(stack, llm)
        finally:
            await llm.aclose()

    texts = _batch(stack, llm) if form == "batch" else asyncio.run(awaited())
    stack.close(llm)
    assert texts == ["Hello there"] * MANY
    assert case.generations == MANY
    assert not case.hangups  # none abandoned
    if mode == "function":
        assert case.posts == MANY
    else:
        assert case.posts <= 2 * MANY
        looks = [a for a in case.log if a.path.endswith("/health")]
        assert len(looks) <= 3 + 400 * SCALE / 0.02  # of one waker: 50 would make fifty times as many


@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f44_the_deadline_holds_for_all_who_wait(
    request: pytest.FixtureRequest, faultd: FaultServer, stack: Stack
) -> None:
    case = _cold(faultd, "server", None)
    llm = stack.make(case, limits={**PATIENT, "cold_start": 0.6})
    note(request, stack)

    async def one() -> tuple[BaseException | None, float]:
        began = time.monotonic()
        try:
            if isinstance(stack, LangChain):
                await llm.ainvoke(QUESTION)
            else:
                await llm.achat([ChatMessage(role="user", content=QUESTION)])
        except ColdStartTimeout as error:
            return error, time.monotonic() - began
        return None, 0.0

    async def main() -> list[tuple[BaseException | None, float]]:
        try:
            return await asyncio.gather(*(one() for _ in range(WAITING)))
        finally:
            await llm.aclose()

    results = asyncio.run(main())
    assert all(isinstance(error, ColdStartTimeout) for error, _ in results)
    assert max(seconds for _, seconds in results) < 1.6
    assert case.posts == WAITING  # each prompt once; all the waiting was done by cheap looks
    assert case.generations == 0


@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("mode", ["server", "function"])
@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f43_warm_up(
    request: pytest.FixtureRequest, faultd: FaultServer, stack: Stack, mode: str, awaits: bool
) -> None:
    case = _cold(faultd, mode, 200)
    llm = stack.make(case, limits=LIMITS)
    note(request, stack)
    told: list[Any] = []

    async def awaited() -> list[float]:
        try:
            return [await llm.awarm_up(on_progress=told.append), await llm.awarm_up()]
        finally:
            await llm.aclose()

    first, second = asyncio.run(awaited()) if awaits else [llm.warm_up(on_progress=told.append), llm.warm_up()]
    stack.close(llm)
    if mode == "server" or told:  # a function that boots within its first 150 s looks like a slow answer
        assert first == pytest.approx(200 * SCALE, abs=0.3)
        assert told[-1].state == "ready"
    assert second == 0.0
    assert case.posts == 0  # no generation is spent on waking


@pytest.mark.parametrize("awaits", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f45_healthy_but_hanging_engine(
    request: pytest.FixtureRequest, faultd: FaultServer, stack: Stack, awaits: bool
) -> None:
    case = faultd.case("probe")
    llm = stack.make(case, limits={"total": 0.3})
    note(request, stack)

    async def awaited() -> None:
        try:
            await llm.awarm_up(probe=True)
        finally:
            await llm.aclose()

    with pytest.raises(EndpointUnavailable, match="one-token") as caught:
        asyncio.run(awaited()) if awaits else llm.warm_up(probe=True)
    stack.close(llm)
    assert stack.typed(caught.value, "EndpointUnavailable")
    assert case.posts == 1


class _Handler(BaseCallbackHandler):
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        assert name == COLD_START_EVENT
        self.told.append(data)


class _Recorder(BaseEventHandler):
    told: list[dict[str, Any]] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Recorder"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        if isinstance(event, ColdStartEvent):
            self.told.append(event.model_dump())


@pytest.fixture
def recorder() -> Iterator[_Recorder]:
    handler = _Recorder()
    instrumentation.root_dispatcher.add_event_handler(handler)
    yield handler
    instrumentation.root_dispatcher.event_handlers.remove(handler)


@pytest.mark.parametrize("way", ["chat-sync", "chat-async", "stream-sync", "stream-async"])
@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f43_everybody_is_told_state_elapsed_and_estimate(
    request: pytest.FixtureRequest, faultd: FaultServer, recorder: _Recorder, stack: Stack, way: str
) -> None:
    case = _cold(faultd, "server", 100)
    handler = _Handler()
    more = {"callbacks": [handler]} if isinstance(stack, LangChain) else {}
    llm = stack.make(case, limits=LIMITS, **more)
    note(request, stack)
    told = handler.told if isinstance(stack, LangChain) else recorder.told
    assert stack.call(llm, way).text == "Hello there"
    _check_told(told, estimate=None)
    case.memory.clear()  # asleep again
    told.clear()
    assert stack.call(llm, way).text == "Hello there"
    stack.close(llm)
    _check_told(told, estimate=100 * SCALE)


def _check_told(told: list[dict[str, Any]], *, estimate: float | None) -> None:
    states = [step["state"] for step in told]
    assert states[0] == "cold"
    assert states[-1] == "ready"
    assert set(states[1:-1]) <= {"waking"}
    elapsed = [step["elapsed_s"] for step in told]
    assert elapsed == sorted(elapsed)
    assert elapsed[-1] == pytest.approx(100 * SCALE, abs=0.3)
    assert all(step["detail"] for step in told)
    for step in told:
        if estimate is None:
            assert step["estimate_s"] is None
        else:
            assert step["estimate_s"] == pytest.approx(estimate, abs=0.3)


@pytest.mark.parametrize("chained", [False, True], ids=["alone", "in a chain"])
async def test_f43_astream_events_show_the_wait(
    request: pytest.FixtureRequest, faultd: FaultServer, chained: bool
) -> None:
    case = _cold(faultd, "function", 400, stream=True)
    llm: ChatLlama70B = OURS[0].make(case, limits=LIMITS)
    note(request, OURS[0])
    runnable: Any = (RunnableLambda(lambda text: text) | llm) if chained else llm
    events = [event async for event in runnable.astream_events(QUESTION, version="v2")]
    await llm.aclose()
    told = [event["data"] for event in events if event["event"] == "on_custom_event"]
    assert [step["state"] for step in told] == ["waking"] * (len(told) - 1) + ["ready"]
    assert "".join(e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream") == "Hello there"
    assert case.generations == 1
