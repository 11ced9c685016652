"""F54-F57 through the frameworks: left, cancelled, shared, forked, pickled. Measured at the server."""

import asyncio
import contextlib
import copy
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import END, START, StateGraph
from llama_index.core.agent.workflow import FunctionAgent

from llama70b.errors import ConfigurationError
from tests.fault.asking import wait_for
from tests.fault.faultd import Case, FaultServer, delta
from tests.fault.frameworks import BEHAVIOURS, KEYS, OURS, QUESTION, Stack, note
from tests.fault.scenarios import Seen

ROOT = Path(__file__).parents[2]
PATIENT = {"stream_idle": 30.0, "first_byte": 30.0, "total": 30.0}


@pytest.fixture
def endless(faultd: FaultServer) -> Case:
    """Two tokens, then nothing for ever."""
    return faultd.case("events", blocks=[delta("Hel"), delta("lo")], then="stall")


async def _soon(condition: Callable[[], Any], seconds: float = 1.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it holds in another thread, which sets no event of ours
            await asyncio.sleep(0.005)


def _break(stack: Stack, llm: Any) -> None:
    for _ in stack.pieces(llm):
        break


def _close(stack: Stack, llm: Any) -> None:
    stream = stack.pieces(llm)
    next(stream)
    stream.close()


def _raise(stack: Stack, llm: Any) -> None:
    with contextlib.suppress(ZeroDivisionError):
        for _ in stack.pieces(llm):
            raise ZeroDivisionError


def _drop(stack: Stack, llm: Any) -> None:
    next(stack.pieces(llm))


def _drop_in_a_cycle(stack: Stack, llm: Any) -> None:
    stream = stack.pieces(llm)
    next(stream)
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()


@pytest.mark.parametrize("leave", [_break, _close, _raise, _drop, _drop_in_a_cycle])
@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f57_the_server_sees_the_end(
    request: pytest.FixtureRequest, endless: Case, stack: Stack, leave: Callable[[Stack, Any], None]
) -> None:
    llm = stack.make(endless, limits=PATIENT)
    note(request, stack)
    leave(stack, llm)
    wait_for(lambda: endless.hangups, 1.0)
    _close(stack, llm)  # and the model goes on working
    assert endless.posts == 2
    stack.close(llm)
    wait_for(lambda: endless.open_connections == 0, 1.0)


async def _read(stack: Stack, llm: Any) -> None:
    async for _ in await stack.apieces(llm):
        pass


async def _abreak(stack: Stack, llm: Any) -> None:
    async for _ in await stack.apieces(llm):
        break


async def _aclose(stack: Stack, llm: Any) -> None:
    stream = await stack.apieces(llm)
    await anext(aiter(stream))
    await stream.aclose()


async def _araise(stack: Stack, llm: Any) -> None:
    async def consume() -> None:
        async for _ in await stack.apieces(llm):
            raise ZeroDivisionError

    with contextlib.suppress(ZeroDivisionError):
        await consume()


async def _adrop(stack: Stack, llm: Any) -> None:
    await anext(aiter(await stack.apieces(llm)))
    gc.collect()


async def _acancel(stack: Stack, llm: Any) -> None:
    task = asyncio.create_task(_read(stack, llm))
    await asyncio.sleep(0.15)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _await_for(stack: Stack, llm: Any) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_read(stack, llm), 0.15)


async def _await_whole_for(stack: Stack, llm: Any) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stack.awaiting(llm, Seen(), stream=False), 0.15)


async def _task_group(stack: Stack, llm: Any) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.15)
        raise ZeroDivisionError

    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(_read(stack, llm))
            group.create_task(fail())


@pytest.mark.parametrize(
    "leave", [_abreak, _aclose, _araise, _adrop, _acancel, _await_for, _await_whole_for, _task_group]
)
@pytest.mark.parametrize("stack", OURS, ids=repr)
async def test_f57_the_server_sees_the_end_async(
    request: pytest.FixtureRequest, endless: Case, stack: Stack, leave: Callable[[Stack, Any], Awaitable[None]]
) -> None:
    llm = stack.make(endless, limits=PATIENT)
    note(request, stack)
    await leave(stack, llm)
    await _soon(lambda: endless.hangups)
    await _aclose(stack, llm)
    assert endless.posts == 2
    await llm.aclose()
    await _soon(lambda: endless.open_connections == 0)


class _State(TypedDict):
    text: str


def _graph(llm: Any) -> Any:
    async def ask(state: _State, config: RunnableConfig) -> _State:
        return {"text": str((await llm.ainvoke(state["text"], config)).text)}

    graph = StateGraph(_State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile()


@pytest.mark.parametrize("how", ["astream_events", "astream messages", "cancelled", "step_timeout"])
async def test_f57_langgraph_left_early(request: pytest.FixtureRequest, endless: Case, how: str) -> None:
    llm = OURS[0].make(endless, limits=PATIENT)
    note(request, OURS[0])
    graph = _graph(llm)
    match how:
        case "astream_events":
            events = graph.astream_events({"text": QUESTION}, version="v2")
            async for event in events:
                if event["event"] == "on_chat_model_stream":
                    break
            await events.aclose()
        case "astream messages":
            pieces = graph.astream({"text": QUESTION}, stream_mode="messages")
            async for _ in pieces:
                break
            await pieces.aclose()
        case "cancelled":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(graph.ainvoke({"text": QUESTION}), 0.3)
        case _:
            graph.step_timeout = 0.3
            with pytest.raises(TimeoutError):
                await graph.ainvoke({"text": QUESTION})
    await _soon(lambda: endless.hangups)
    await llm.aclose()


async def test_f57_a_chain_left_early(request: pytest.FixtureRequest, endless: Case) -> None:
    llm = OURS[0].make(endless, limits=PATIENT)
    note(request, OURS[0])
    chain = RunnableLambda(lambda text: text) | llm
    pieces = chain.astream(QUESTION)
    async for _ in pieces:
        break
    await pieces.aclose()
    await _soon(lambda: endless.hangups)
    await llm.aclose()


@pytest.mark.filterwarnings("ignore:(The `__fields|Accessing the .model_):DeprecationWarning")  # the workflow looks
@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
async def test_f57_cancelling_a_llamaindex_run(
    request: pytest.FixtureRequest, faultd: FaultServer, endless: Case, streaming: bool
) -> None:
    case = endless if streaming else faultd.case("silent")
    llm = OURS[1].make(case, limits=PATIENT)
    note(request, OURS[1])
    agent = FunctionAgent(llm=llm, tools=[], streaming=streaming)
    handler = agent.run(user_msg=QUESTION)
    await _soon(lambda: case.posts, 10)
    await asyncio.sleep(0.1)
    await handler.cancel_run()
    await _soon(lambda: case.hangups)
    with contextlib.suppress(Exception):  # how a cancelled run ends is the framework's affair
        await handler
    await llm.aclose()


@pytest.mark.parametrize("stack", OURS, ids=repr)
async def test_f54_500_cancellations_under_contention(
    request: pytest.FixtureRequest, faultd: FaultServer, stack: Stack
) -> None:
    case, slots = faultd.case("ok", delay=0.03), 8
    llm = stack.make(case, limits={**PATIENT, "pool": 30.0}, max_connections=slots)
    note(request, stack)
    tasks = [
        asyncio.create_task(_read(stack, llm) if n % 2 else stack.awaiting(llm, Seen(), stream=False))
        for n in range(500)
    ]
    for number, task in enumerate(tasks):
        if number % 25 == 0:
            await asyncio.sleep(0.01)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result).__name__ for result in results} <= {"CancelledError", "NoneType"}
    await _soon(lambda: case.open_connections <= slots)
    answers = [Seen() for _ in range(2 * slots)]
    await asyncio.gather(*(stack.awaiting(llm, seen, stream=False) for seen in answers))  # every slot still works
    assert [seen.text for seen in answers] == ["Hello there"] * 2 * slots
    await llm.aclose()
    await _soon(lambda: case.open_connections == 0)


@pytest.mark.parametrize("stack", OURS, ids=repr)
@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case} {what}") for case, (what, _) in BEHAVIOURS.items()])
def test_what_the_peers_are_asked_for_too(
    request: pytest.FixtureRequest, faultd: FaultServer, stack: Stack, case: str
) -> None:
    note(request, stack)
    assert BEHAVIOURS[case][1](stack, faultd) == []
    gc.collect()


@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f55_eight_threads_on_one_model(request: pytest.FixtureRequest, faultd: FaultServer, stack: Stack) -> None:
    case = faultd.case("echo")
    llm = stack.make(case, limits=PATIENT)
    note(request, stack)
    wrong: list[str] = []

    def work(name: str) -> None:
        for number in range(12):
            text = f"{name} {number} words"
            for stream in (False, True):
                seen = Seen()
                stack.blocking(llm, seen, stream=stream, question=text)
                wrong.extend([] if seen.text == text else [str(seen.text)])

    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stack.close(llm)
    assert wrong == []
    assert case.posts == 8 * 24
    assert len(case.connections) <= 16


_MODELS = {
    "langchain": ("from langchain_llama70b import ChatLlama70B", "llm.invoke(t).text", "(await llm.ainvoke(t)).text"),
    "llamaindex": ("from llamaindex_llama70b import Llama70B", "llm.complete(t).text", "(await llm.acomplete(t)).text"),
}
_LOOPS_AND_FORKS = """
    import asyncio, gc, os, sys, traceback
    llm = {cls}(base_url={url!r}, api_key="k", progress_bar=False)
    def say(t): return {blocking}
    async def asay(t): return {awaiting}
    for number in range(3):
        assert asyncio.run(asay(f"run {{number}}")) == f"run {{number}}"
        gc.collect()
    for call in (say, lambda t: asyncio.run(asay(t))):
        call("before")
        child = os.fork()
        name = "parent" if child else "child"
        try:
            wrong = [t for t in (f"{{name}} {{n}}" for n in range(40)) if call(t) != t]
            assert not wrong, wrong
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        if not child:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    llm.close()
"""


@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f56_three_loops_then_a_fork_and_both_sides_call_40_times(
    request: pytest.FixtureRequest, faultd: FaultServer, stack: Stack
) -> None:
    note(request, stack)
    head, blocking, awaiting = _MODELS[stack.framework]
    source = _LOOPS_AND_FORKS.format(cls=stack.name, url=faultd.case("echo").url, blocking=blocking, awaiting=awaiting)
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", f"{head}\n{textwrap.dedent(source)}"],
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f55_a_copy_works_and_a_pickle_asks_for_the_key(
    request: pytest.FixtureRequest, faultd: FaultServer, monkeypatch: pytest.MonkeyPatch, stack: Stack
) -> None:
    case = faultd.case("ok")
    llm = stack.make(case)
    note(request, stack)
    assert stack.call(llm, "chat-sync").text == "Hello there"
    for twin in (copy.deepcopy(llm), copy.copy(llm)):
        assert stack.call(twin, "stream-async").text == "Hello there"
        stack.close(twin)
    assert case.log[-1].headers["authorization"] == case.log[0].headers["authorization"]
    stack.close(llm)
    monkeypatch.setenv("LLAMA70B_BASE_URL", case.url)
    monkeypatch.setenv("LLAMA70B_API_KEY", KEYS["api_key"])
    there = pickle.loads(pickle.dumps(llm))
    assert stack.call(there, "chat-sync").text == "Hello there"
    assert case.log[-1].headers["authorization"] == f"Bearer {KEYS['api_key']}"
    stack.close(there)


def _in_another_process(pickled: bytes, url: str, answers: Any) -> None:
    os.environ["LLAMA70B_BASE_URL"], os.environ["LLAMA70B_API_KEY"] = url, KEYS["api_key"]
    chain, config = pickle.loads(pickled)
    try:
        answers.put((chain.invoke(QUESTION, config).text, config["configurable"]["thread_id"]))
    except ConfigurationError as error:
        answers.put((str(error), ""))


def test_f55_a_model_and_its_config_in_another_process(request: pytest.FixtureRequest, faultd: FaultServer) -> None:
    case = faultd.case("ok")
    llm = OURS[0].make(case)
    note(request, OURS[0])
    config: RunnableConfig = {"tags": ["x"], "configurable": {"thread_id": "t7"}, "metadata": {"a": 1}}
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    pickled = pickle.dumps((llm, config))
    process = context.Process(target=_in_another_process, args=(pickled, case.url, answers))
    process.start()
    assert answers.get() == ("Hello there", "t7")
    process.join(10)
    assert process.exitcode == 0
    assert llm.invoke(QUESTION, config).text == "Hello there"
    llm.close()
