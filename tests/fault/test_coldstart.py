"""F43-F45 and both ingress modes of Modal at several boot times: one generation a call, one waker, deadlines kept."""

import asyncio
import os
import signal
import threading
import time
from typing import Any

import pytest

from llama70b import AsyncClient, Client, ColdStartProgress
from llama70b.errors import (
    AuthenticationError,
    ColdStartTimeout,
    EndpointUnavailable,
    Llama70BError,
    NotFound,
)
from tests.fault.asking import HELLO, Asker, endpoint, wait_for
from tests.fault.faultd import Case, FaultServer

SCALE = 0.003  # 150 s are 0.45 s
BOOTS = (0, 30, 150, 170, 400)
LIMITS: dict[str, Any] = {"cold_start": 900 * SCALE, "total": 900 * SCALE, "first_byte": 1.5, "poll": 0.02}


def _cold(server: FaultServer, mode: str, boot: float | None, *, stream: bool) -> Case:
    return server.case(f"cold_{mode}", scale=SCALE, boot=boot, stream=stream)


@pytest.mark.parametrize("boot", BOOTS)
@pytest.mark.parametrize("mode", ["server", "function"])
def test_f43_one_call_is_one_generation_however_long_the_boot(
    ask: Asker, faultd: FaultServer, mode: str, boot: float
) -> None:
    case = _cold(faultd, mode, boot, stream=ask.streaming)
    outcome = ask(endpoint(case, **LIMITS), max_retries=0)
    assert outcome.got.text == "Hello there"
    assert case.generations == 1
    assert case.posts == (2 if mode == "server" and boot else 1)
    assert boot * SCALE - 0.05 < outcome.seconds < boot * SCALE + 1
    timing = outcome.got.timing
    assert timing is not None
    waited = boot if mode == "server" or case.gets else 0
    assert timing.cold_start_s == pytest.approx(waited * SCALE, abs=0.5)
    if waited:
        assert outcome.progress[-1].state == "ready"
        assert {p.state for p in outcome.progress[:-1]} <= {"cold", "waking"}
        elapsed = [p.elapsed_s for p in outcome.progress]
        assert elapsed == sorted(elapsed)
        assert all(p.detail for p in outcome.progress)


@pytest.mark.parametrize("boot", [0, 150, 400])
@pytest.mark.parametrize("mode", ["server", "function"])
def test_f43_50_calls_are_50_generations_and_one_waker(
    ask_chat: Asker, faultd: FaultServer, mode: str, boot: float
) -> None:
    case = _cold(faultd, mode, boot, stream=False)
    limits = {**LIMITS, "total": 30, "cold_start": 30, "first_byte": 10}
    outcomes = ask_chat.all(endpoint(case, **limits), [HELLO] * 50, together=True, max_retries=0)
    assert [o.kind for o in outcomes] == ["answer"] * 50
    assert case.generations == 50
    if mode == "function":
        assert case.posts == 50
    else:
        assert case.posts <= 100
        looks = [a.at for a in case.log if a.path.endswith("/health")]
        assert len(looks) <= 3 + boot * SCALE / 0.04  # 0.02 s growing to 0.1 s, of one waker
        # Everybody hears of it, not only the one who looks.
        assert boot == 0 or sum(bool(o.progress) for o in outcomes) > 45


def test_f43_a_cold_start_costs_no_retry(ask: Asker, faultd: FaultServer) -> None:
    case = _cold(faultd, "server", 30, stream=False)
    outcomes = ask.all(endpoint(case, **LIMITS), [HELLO] * 3, max_retries=0)
    assert [o.got.text for o in outcomes] == ["Hello there"] * 3
    assert case.posts == 4


@pytest.mark.parametrize("mode", ["server", "function"])
def test_f44_never_ready(ask: Asker, faultd: FaultServer, mode: str) -> None:
    case = _cold(faultd, mode, None if mode == "server" else 10**6, stream=False)
    outcome = ask(endpoint(case, **{**LIMITS, "cold_start": 1.0}))
    assert isinstance(outcome.error, ColdStartTimeout)
    assert "timeouts.cold_start" in str(outcome.error)
    assert outcome.error.elapsed_s == pytest.approx(1.0, abs=0.9)
    assert case.posts == 1
    assert case.generations == 0
    assert 0.95 < outcome.seconds < 2
    assert outcome.progress[-1].state == "failed"


def test_f44_the_deadline_holds_for_those_who_wait_on_another(ask: Asker, faultd: FaultServer) -> None:
    case = _cold(faultd, "server", None, stream=False)
    outcomes = ask.all(endpoint(case, **{**LIMITS, "cold_start": 0.7}), [HELLO] * 10, together=True)
    assert all(isinstance(o.error, ColdStartTimeout) for o in outcomes)
    assert max(o.seconds for o in outcomes) < 1.7
    assert case.posts == 10


def test_f45_healthy_but_hanging_engine(faultd: FaultServer) -> None:
    case = faultd.case("probe")
    with Client(endpoint(case, total=0.4), progress_bar=False) as client:
        assert client.wait_until_ready() == 0.0
        with pytest.raises(EndpointUnavailable, match="one-token"):
            client.wait_until_ready(probe=True)
    assert case.posts == 1


async def test_f45_healthy_but_hanging_engine_async(faultd: FaultServer) -> None:
    case = faultd.case("probe")
    async with AsyncClient(endpoint(case, total=0.4), progress_bar=False) as client:
        assert await client.wait_until_ready() == 0.0
        with pytest.raises(EndpointUnavailable, match="one-token"):
            await client.wait_until_ready(probe=True)


async def test_wait_until_ready(faultd: FaultServer) -> None:
    seen: list[ColdStartProgress] = []
    case = _cold(faultd, "server", 60, stream=False)
    async with AsyncClient(endpoint(case, **LIMITS), progress_bar=False) as client:
        waited = await client.wait_until_ready(seen.append)
        assert waited == pytest.approx(60 * SCALE, abs=0.3)
        assert seen[0].state == "cold"
        assert seen[-1].state == "ready"
        assert await client.wait_until_ready() == 0.0
        case.memory.clear()  # asleep again
        seen.clear()
        await client.wait_until_ready(seen.append)
        assert seen[0].estimate_s == pytest.approx(waited, abs=0.05)
        with pytest.raises(NotFound, match="served here"):
            await AsyncClient(endpoint(case, model="other", **LIMITS), progress_bar=False).wait_until_ready()
    assert case.posts == 0


def test_a_wrong_key_ends_the_wait_at_once(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("cold_then_401")
    outcome = ask(endpoint(case, **LIMITS))
    assert isinstance(outcome.error, AuthenticationError)
    assert outcome.seconds < 1


def test_if_the_waker_is_cancelled_another_takes_over(faultd: FaultServer) -> None:
    case = _cold(faultd, "server", 200, stream=False)

    async def main() -> list[Any]:
        async with AsyncClient(endpoint(case, **LIMITS), progress_bar=False) as client:
            tasks = [asyncio.create_task(client.chat(HELLO)) for _ in range(5)]
            await asyncio.sleep(0.2)
            tasks[0].cancel()
            await asyncio.sleep(0.1)
            tasks[1].cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(main())
    assert all(isinstance(r, asyncio.CancelledError) for r in results[:2])
    assert [r.text for r in results[2:]] == ["Hello there"] * 3
    assert case.generations == 3


def test_if_the_wakers_listener_raises_only_its_own_call_fails(faultd: FaultServer) -> None:
    case = _cold(faultd, "server", 60, stream=False)

    def refuse(_: object) -> None:
        raise ZeroDivisionError

    with Client(endpoint(case, **LIMITS), progress_bar=False) as client:
        texts: list[str] = []
        others = [threading.Thread(target=lambda: texts.append(client.chat(HELLO).text)) for _ in range(3)]
        with pytest.raises(ZeroDivisionError):
            client.chat(HELLO, on_progress=refuse)
        for thread in others:
            thread.start()
        for thread in others:
            thread.join()
    assert texts == ["Hello there"] * 3


@pytest.mark.parametrize("mode", ["server", "function"])
def test_ctrl_c_during_the_wait(faultd: FaultServer, mode: str) -> None:
    case = _cold(faultd, mode, 1000, stream=False)
    client = Client(endpoint(case, **LIMITS), progress_bar=False)
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client.chat(HELLO)
    assert time.monotonic() - started < 0.8
    arrived = len(case.log)
    client.close()
    wait_for(lambda: case.open_connections == 0)
    time.sleep(0.2)
    assert len(case.log) == arrived


@pytest.mark.parametrize("mode", ["server", "function"])
async def test_cancelling_the_wait(faultd: FaultServer, mode: str) -> None:
    case = _cold(faultd, mode, 1000, stream=False)
    async with AsyncClient(endpoint(case, **LIMITS), progress_bar=False) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.chat(HELLO), 0.3)
        arrived = len(case.log)
        await asyncio.sleep(0.2)
        assert len(case.log) == arrived
        if mode == "function":
            wait_for(lambda: case.open_connections == 0)


async def test_async_listeners_are_awaited(faultd: FaultServer) -> None:
    case = _cold(faultd, "server", 30, stream=False)
    seen: list[str] = []

    async def listen(progress: ColdStartProgress) -> None:
        await asyncio.sleep(0)
        seen.append(progress.state)

    async with AsyncClient(endpoint(case, **LIMITS), on_progress=listen, progress_bar=False) as client:
        await asyncio.gather(*(client.chat(HELLO, on_progress=listen) for _ in range(3)))
    assert seen.count("ready") >= 2


def test_errors_of_the_wait_are_typed(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("cold_then_500")
    outcome = ask(endpoint(case, **{**LIMITS, "cold_start": 0.4}))
    assert isinstance(outcome.error, ColdStartTimeout)
    assert isinstance(outcome.error, Llama70BError)


@pytest.mark.parametrize("mode", ["server", "function"])
def test_the_progress_bar_goes_when_the_wait_is_broken_off(
    faultd: FaultServer, mode: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("llama70b._progress.SHOW_AFTER_S", 0.0)
    case = _cold(faultd, mode, 10**6, stream=False)

    async def main() -> None:
        async with AsyncClient(endpoint(case, **LIMITS), progress_bar=True) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.chat(HELLO), 0.7)
            assert client._bar is not None
            assert client._bar._bar is None

    asyncio.run(main())
    shown = capsys.readouterr().err
    assert "waking" in shown
    assert shown.endswith("\r")  # wiped
