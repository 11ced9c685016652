"""Ask the core client in any of its four ways, and say in one shape what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from llama70b import AsyncClient, ChatRequest, Client, ColdStartProgress, Completion, Delta, Endpoint, Message, Timeouts
from llama70b.errors import Llama70BError
from tests.fault.faultd import Case

WAYS = ("chat-sync", "chat-async", "stream-sync", "stream-async")
CHATS, STREAMS = WAYS[:2], WAYS[2:]
QUICK = Timeouts(connect=5, pool=2, write=2, first_byte=1, stream_idle=0.5, total=5, cold_start=3, poll=0.02)
HELLO = ChatRequest(messages=(Message("user", "Say hello"),))


def endpoint(case: Case, **changes: Any) -> Endpoint:
    """Return the case's endpoint, with limits of a few seconds; changes to `Timeouts` may be given by name."""
    limits = {name: changes.pop(name) for name in list(changes) if name in Timeouts.__slots__}
    timeouts = Timeouts(**{**{name: getattr(QUICK, name) for name in Timeouts.__slots__}, **limits})
    return Endpoint(**{"base_url": case.url, "api_key": "key-of-the-tests", "timeouts": timeouts, **changes})


@dataclass
class Outcome:
    """What came of one call."""

    completion: Completion | None = None
    error: Llama70BError | None = None
    deltas: list[Delta] = field(default_factory=list)
    progress: list[ColdStartProgress] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """Of the answer, or what had arrived of it."""
        if self.completion is not None:
            return self.completion.text
        return self.error.text if self.error is not None else ""

    @property
    def got(self) -> Completion:
        """The answer; raises the error if there is none."""
        if self.completion is None:
            raise self.error or AssertionError("neither answer nor error")
        return self.completion

    @property
    def kind(self) -> str:
        """Class of the error, or "answer"."""
        return "answer" if self.error is None else type(self.error).__name__


class Asker:
    """Calls in one of the four ways. `note` is told what was seen, for the table."""

    def __init__(self, way: str, note: Callable[[str], None]) -> None:
        self.way = way
        self.streaming = way.startswith("stream")
        self.awaiting = way.endswith("async")
        self._note = note

    def __call__(self, endpoint: Endpoint, request: ChatRequest = HELLO, **options: Any) -> Outcome:
        """Call once."""
        return self.all(endpoint, [request], **options)[0]

    def all(
        self,
        endpoint: Endpoint,
        requests: list[ChatRequest],
        *,
        together: bool = False,
        pause: float = 0.0,
        **options: Any,
    ) -> list[Outcome]:
        """Call with one client, one request after the other with `pause` seconds between, or all `together`."""
        outcomes = [Outcome() for _ in requests]
        work = list(zip(requests, outcomes, strict=True))
        if self.awaiting:
            asyncio.run(self._await_all(endpoint, work, together, pause, options))
        else:
            self._block_all(endpoint, work, together, pause, options)
        for outcome in outcomes[:1]:
            self._note(outcome.kind)
        return outcomes

    def _block_all(self, endpoint: Endpoint, work: list[Any], together: bool, pause: float, options: Any) -> None:
        with Client(endpoint, progress_bar=False) as client:

            def one(pair: tuple[ChatRequest, Outcome]) -> None:
                self._block(client, *pair, options)

            if together:
                with ThreadPoolExecutor(len(work)) as pool:
                    list(pool.map(one, work))
                return
            for number, pair in enumerate(work):
                time.sleep(pause if number else 0.0)
                one(pair)

    async def _await_all(self, endpoint: Endpoint, work: list[Any], together: bool, pause: float, options: Any) -> None:
        async with AsyncClient(endpoint, progress_bar=False) as client:
            if together:
                await asyncio.gather(*(self._await(client, *pair, options) for pair in work))
                return
            for number, pair in enumerate(work):
                await asyncio.sleep(pause if number else 0.0)
                await self._await(client, *pair, options)

    def _block(self, client: Client, request: ChatRequest, outcome: Outcome, options: dict[str, Any]) -> None:
        started = time.monotonic()
        try:
            if not self.streaming:
                outcome.completion = client.chat(request, on_progress=outcome.progress.append, **options)
                return
            with client.stream(request, on_progress=outcome.progress.append, **options) as stream:
                for delta in stream:
                    outcome.deltas.append(delta)
                outcome.completion = stream.completion
        except Llama70BError as error:
            outcome.error = error
        finally:
            outcome.seconds = time.monotonic() - started

    async def _await(
        self, client: AsyncClient, request: ChatRequest, outcome: Outcome, options: dict[str, Any]
    ) -> None:
        started = time.monotonic()
        try:
            if not self.streaming:
                outcome.completion = await client.chat(request, on_progress=outcome.progress.append, **options)
                return
            async with await client.stream(request, on_progress=outcome.progress.append, **options) as stream:
                async for delta in stream:
                    outcome.deltas.append(delta)
                outcome.completion = stream.completion
        except Llama70BError as error:
            outcome.error = error
        finally:
            outcome.seconds = time.monotonic() - started


def wait_for(condition: Callable[[], Any], seconds: float = 1.0) -> float:
    """Wait until something holds on the server's side; return the seconds it took, raise if it never does."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.005)
    return time.monotonic() - started
