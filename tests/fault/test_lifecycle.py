"""F54-F57: cancelled, dropped, shared between loops and threads, forked. Measured at the server."""

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llama70b import AsyncClient, ChatRequest, Client, Message
from llama70b.errors import IncompleteStream, Llama70BError
from tests.fault.asking import HELLO, endpoint, wait_for
from tests.fault.faultd import Case, FaultServer, delta

ROOT = Path(__file__).parents[2]


@pytest.fixture
def endless(faultd: FaultServer) -> Case:
    """Two tokens, then nothing for ever."""
    return faultd.case("events", blocks=[delta("Hel"), delta("lo")], then="stall")


def _patient(case: Case, **changes: Any) -> Any:
    return endpoint(case, stream_idle=30, first_byte=30, total=30, **changes)


@pytest.fixture
def client(endless: Case) -> Iterator[Client]:
    with Client(_patient(endless), progress_bar=False) as client:
        yield client


def _break(client: Client) -> None:
    for _ in client.stream(HELLO):
        break


def _close(client: Client) -> None:
    stream = client.stream(HELLO)
    next(iter(stream))
    stream.close()


def _close_unread(client: Client) -> None:
    client.stream(HELLO).close()


def _leave_context(client: Client) -> None:
    with client.stream(HELLO) as stream:
        next(iter(stream))


def _raise_in_context(client: Client) -> None:
    with contextlib.suppress(ZeroDivisionError), client.stream(HELLO) as stream:
        for _ in stream:
            raise ZeroDivisionError


def _raise_in_loop(client: Client) -> None:
    def consume() -> None:
        for _ in client.stream(HELLO):
            raise ZeroDivisionError

    with contextlib.suppress(ZeroDivisionError):
        consume()


def _drop_unread(client: Client) -> None:
    client.stream(HELLO)


def _drop_half_read(client: Client) -> None:
    next(iter(client.stream(HELLO)))


def _drop_in_a_cycle(client: Client) -> None:
    stream = client.stream(HELLO)
    next(iter(stream))
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()


def _close_from_another_thread(client: Client) -> None:
    stream = client.stream(HELLO)
    threading.Timer(0.15, stream.close).start()
    with pytest.raises(IncompleteStream) as caught:
        list(stream)
    assert caught.value.text == "Hello"


def _close_the_client(client: Client) -> None:
    stream = client.stream(HELLO)
    next(iter(stream))
    client.close()


@pytest.mark.parametrize(
    "leave",
    [
        _break,
        _close,
        _close_unread,
        _leave_context,
        _raise_in_context,
        _raise_in_loop,
        _drop_unread,
        _drop_half_read,
        _drop_in_a_cycle,
        _close_from_another_thread,
        _close_the_client,
    ],
)
def test_f57_the_server_sees_the_end(
    client: Client, endless: Case, faultd: FaultServer, leave: Callable[[Client], None]
) -> None:
    leave(client)
    wait_for(lambda: endless.hangups, 1.0)
    assert endless.posts == 1
    for _ in range(3):  # and the client goes on working
        with client.stream(HELLO) as stream:
            assert next(iter(stream)).content == "Hel"
    wait_for(lambda: endless.open_connections == 0, 1.0)


async def _abreak(client: AsyncClient) -> None:
    async for _ in await client.stream(HELLO):
        break


async def _aclose(client: AsyncClient) -> None:
    stream = await client.stream(HELLO)
    await anext(aiter(stream))
    await stream.aclose()


async def _aclose_unread(client: AsyncClient) -> None:
    await (await client.stream(HELLO)).aclose()


async def _araise(client: AsyncClient) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with await client.stream(HELLO) as stream:
            async for _ in stream:
                raise ZeroDivisionError


async def _adrop_unread(client: AsyncClient) -> None:
    await client.stream(HELLO)


async def _adrop_half_read(client: AsyncClient) -> None:
    await anext(aiter(await client.stream(HELLO)))


async def _adrop_in_a_cycle(client: AsyncClient) -> None:
    stream = await client.stream(HELLO)
    await anext(aiter(stream))
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()


async def _read_all(client: AsyncClient) -> None:
    async with await client.stream(HELLO) as stream:
        async for _ in stream:
            pass


async def _read_all_unmanaged(client: AsyncClient) -> None:
    async for _ in await client.stream(HELLO):
        pass


async def _acancel(client: AsyncClient) -> None:
    task = asyncio.create_task(_read_all(client))
    await asyncio.sleep(0.15)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _await_for(client: AsyncClient) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_read_all_unmanaged(client), 0.15)


async def _atimeout(client: AsyncClient) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await _read_all(client)


async def _atask_group(client: AsyncClient) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.15)
        raise ZeroDivisionError

    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(_read_all(client))
            group.create_task(fail())


async def _aclose_from_another_task(client: AsyncClient) -> None:
    stream = await client.stream(HELLO)

    async def read() -> None:
        async for _ in stream:
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.15)
    await stream.aclose()
    with pytest.raises(Llama70BError):
        await task


async def _aclose_the_client(client: AsyncClient) -> None:
    stream = await client.stream(HELLO)
    await anext(aiter(stream))
    await client.aclose()


@pytest.mark.parametrize(
    "leave",
    [
        _abreak,
        _aclose,
        _aclose_unread,
        _araise,
        _adrop_unread,
        _adrop_half_read,
        _adrop_in_a_cycle,
        _acancel,
        _await_for,
        _atimeout,
        _atask_group,
        _aclose_from_another_task,
        _aclose_the_client,
    ],
)
async def test_f57_the_server_sees_the_end_async(
    endless: Case, leave: Callable[[AsyncClient], Awaitable[None]]
) -> None:
    async with AsyncClient(_patient(endless), progress_bar=False) as client:
        await leave(client)
        await _soon(lambda: endless.hangups)
        assert endless.posts == 1
        for _ in range(3):
            async with await client.stream(HELLO) as stream:
                assert (await anext(aiter(stream))).content == "Hel"
        await _soon(lambda: endless.open_connections == 0)


async def _soon(condition: Callable[[], Any], seconds: float = 1.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it holds in another thread, which sets no event of ours
            await asyncio.sleep(0.005)


async def test_f57_cancelling_a_call_that_does_not_stream(faultd: FaultServer) -> None:
    case = faultd.case("silent")
    async with AsyncClient(_patient(case), progress_bar=False) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.chat(HELLO), 0.15)
        await _soon(lambda: case.hangups)


@pytest.mark.parametrize("rounds", [1, 4], ids=["500", "2000"])
async def test_f54_cancellations_under_contention(faultd: FaultServer, rounds: int) -> None:
    case = faultd.case("ok", delay=0.03)
    slots = 8
    ended: dict[str, int] = {}

    async def call(client: AsyncClient, number: int) -> None:
        request = HELLO
        if number % 2:
            async with await client.stream(request) as stream:
                async for _ in stream:
                    pass
        else:
            await client.chat(request)

    async with AsyncClient(_patient(case, max_connections=slots, pool=30), progress_bar=False) as client:
        for _ in range(rounds):
            tasks = [asyncio.create_task(call(client, n)) for n in range(500)]
            for number, task in enumerate(tasks):
                if number % 25 == 0:
                    await asyncio.sleep(0.01)
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                ended[type(result).__name__] = ended.get(type(result).__name__, 0) + 1
            # What was cancelled is seen closed at the server within a second; what is kept alive fits the slots.
            await _soon(lambda: case.open_connections <= slots)
        assert set(ended) <= {"CancelledError", "NoneType"}
        assert ended["CancelledError"] > 400 * rounds
        answers = await asyncio.gather(*(client.chat(HELLO) for _ in range(2 * slots)))  # every slot still works
        assert [a.text for a in answers] == ["Hello there"] * 2 * slots
    await _soon(lambda: case.open_connections == 0)


def _script(source: str, case: Case, *, seconds: float = 60) -> str:
    """Run a script under `-W error`; return what it says on standard error."""
    head = f"""
        import asyncio, gc, os, sys, threading
        from llama70b import AsyncClient, ChatRequest, Client, Endpoint, Message
        ENDPOINT = Endpoint({case.url!r}, api_key="key-of-the-tests")
        HELLO = ChatRequest(messages=(Message("user", "Say hello"),))
        def words(text): return ChatRequest(messages=(Message("user", text),))
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(head) + textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_f55_asyncio_run_three_times_leaves_nothing_open(faultd: FaultServer) -> None:
    said = _script(
        """
        client = AsyncClient(ENDPOINT)
        async def chat():
            assert (await client.chat(HELLO)).text == "Hello there"
            async for _ in await client.stream(HELLO):
                pass
        async def leave_early():
            async for _ in await client.stream(HELLO):
                break
            await client.stream(HELLO)
        for main in (chat, chat, chat, leave_early, chat):
            asyncio.run(main())
            gc.collect()
        assert len(client._loops) <= 1, client._loops
        """,
        faultd.case("ok"),
    )
    assert said == ""


def test_f55_a_blocking_client_that_nobody_closes_warns_of_nothing(faultd: FaultServer) -> None:
    said = _script(
        """
        def use():
            client = Client(ENDPOINT)
            assert client.chat(HELLO).text == "Hello there"
            for _ in client.stream(HELLO):
                break
            client.stream(HELLO)
        use()
        gc.collect()
        use()
        """,
        faultd.case("ok"),
    )
    assert said == ""


def test_f55_two_loops_in_two_threads_and_many_one_after_the_other(faultd: FaultServer) -> None:
    case = faultd.case("echo")
    client = AsyncClient(endpoint(case), progress_bar=False)
    wrong: list[str] = []

    async def main(name: str) -> None:
        for number in range(20):
            text = f"{name} {number}"
            request = ChatRequest(messages=(Message("user", text),))
            answers = await asyncio.gather(client.chat(request), client.chat(request))
            wrong.extend(a.text for a in answers if a.text != text)

    threads = [threading.Thread(target=lambda n=n: asyncio.run(main(f"loop {n}"))) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(20):
        asyncio.run(main(f"run {number}"))
    assert wrong == []
    assert case.posts == 22 * 40
    assert len(client._loops) <= 1
    wait_for(lambda: case.open_connections == 0)


def test_f55_eight_threads_on_one_blocking_client(faultd: FaultServer) -> None:
    case = faultd.case("echo")
    wrong: list[str] = []
    with Client(endpoint(case), progress_bar=False) as client:

        def work(name: str) -> None:
            for number in range(25):
                text = f"{name} {number} words"
                request = ChatRequest(messages=(Message("user", text),))
                said = client.chat(request).text
                streamed = "".join(d.content for d in client.stream(request))
                wrong.extend(t for t in (said, streamed) if t != text)

        threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert case.posts == 400
    assert len(case.connections) <= 16


def test_f55_closing_a_client_that_others_are_using_is_typed(faultd: FaultServer) -> None:
    case = faultd.case("ok")
    odd: list[BaseException] = []
    client = Client(endpoint(case), progress_bar=False)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            try:
                client.chat(HELLO)
            except Llama70BError:
                pass
            except BaseException as error:  # noqa: BLE001 - that is what is looked for
                odd.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        time.sleep(0.01)
        client.close()
    over.set()
    for thread in threads:
        thread.join()
    client.close()
    assert odd == []


FORK = """
        def check(call, name, times=40):
            wrong = [t for t in (f"{name} {n}" for n in range(times)) if call(words(t)) != t]
            assert not wrong, wrong

        def both(call, before=lambda: None):
            before()
            child = os.fork()
            name = "parent" if child else "child"
            try:
                check(call, name)
            except BaseException:
                if child:
                    raise
                import traceback
                traceback.print_exc()
                os._exit(1)
            if not child:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize(
    "use",
    [
        """
        client = Client(ENDPOINT)
        both(lambda r: client.chat(r).text, before=lambda: client.chat(HELLO))
        """,
        """
        client = Client(ENDPOINT)
        both(lambda r: "".join(d.content for d in client.stream(r)), before=lambda: list(client.stream(HELLO)))
        """,
        """
        client = AsyncClient(ENDPOINT)
        async def chat(r):
            return (await client.chat(r)).text
        both(lambda r: asyncio.run(chat(r)), before=lambda: asyncio.run(chat(HELLO)))
        """,
        """
        client = AsyncClient(ENDPOINT)
        async def main():
            await client.chat(HELLO)
            child = os.fork()
            name = "parent" if child else "child"
            if child:
                for n in range(40):
                    assert (await client.chat(words(f"{name} {n}"))).text == f"{name} {n}"
                assert os.waitpid(child, 0)[1] == 0
            else:
                async def more():
                    for n in range(40):
                        assert (await client.chat(words(f"{name} {n}"))).text == f"{name} {n}"
                thread = threading.Thread(target=lambda: asyncio.run(more()))
                thread.start(); thread.join()
                os._exit(0)
        asyncio.run(main())
        """,
        """
        client = Client(ENDPOINT)
        stop = threading.Event()
        def busy():
            while not stop.wait(0.002):
                client.chat(HELLO)
        threads = [threading.Thread(target=busy) for _ in range(3)]
        for t in threads: t.start()
        for _ in range(3):
            both(lambda r: client.chat(r).text)
        stop.set()
        for t in threads: t.join()
        client.close()
        """,
    ],
    ids=["sync", "stream", "async", "inside a loop", "while other threads hold locks"],
)
def test_f56_fork_and_both_sides_call_40_times(faultd: FaultServer, use: str) -> None:
    said = _script(textwrap.dedent(FORK) + textwrap.dedent(use), faultd.case("echo"))
    assert said == ""


def test_f56_a_child_that_drops_its_parents_stream_does_not_end_it(faultd: FaultServer) -> None:
    said = _script(
        """
        client = Client(ENDPOINT)
        stream = client.stream(words("one two three"))
        first = next(iter(stream)).content
        child = os.fork()
        if not child:
            del stream
            gc.collect()
            client.chat(HELLO)
            client.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert first + "".join(d.content for d in stream) == "one two three"
        client.close()
        """,
        faultd.case("echo", delay=0.15),
    )
    assert said == ""
