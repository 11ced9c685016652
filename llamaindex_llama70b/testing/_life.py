"""The life of a model object: copies, threads, loops, closing, secrets."""

# ruff: noqa: PLR2004, S301 - small numbers; the pickles are our own

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from llama70b.testing import KEY, MODEL, Answer, CountingServer, Request
from llamaindex_llama70b.testing._suite import USER, Make, Scripted, no_collection, run

MANY = 32
LONG = Answer(" ".join("word" for _ in range(80)), pause_s=0.05)


class Life(Scripted):
    """Behaviours of the object beyond one call."""

    @pytest.fixture
    def home(self, server: CountingServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """The environment from which a copy takes what a pickle or a dict leaves out."""
        for name, value in self.environment(server.url, KEY).items():
            monkeypatch.setenv(name, value)
        yield  # noqa: PT022 - undone by monkeypatch

    def test_nothing_is_sent_to_construct(self, make: Make, server: CountingServer) -> None:
        """Making a model asks the server nothing."""
        make()
        assert not server.requests

    def test_key_not_in_dict(self, llm: Any) -> None:
        """The key is not in `to_dict` and `to_json`."""
        assert KEY not in str(llm.to_dict())
        assert KEY not in llm.to_json()

    def test_key_not_in_repr(self, llm: Any) -> None:
        """The key is not in `repr` and `str`."""
        assert KEY not in repr(llm)
        assert KEY not in str(llm)

    def test_key_not_in_payload(self, llm: Any) -> None:
        """The key is not in what events carry of the model, in this core and in older ones."""
        payload = llm.to_payload() if hasattr(llm, "to_payload") else {}
        assert KEY not in f"{payload} {llm.to_dict()}"

    def test_a_foreign_key_is_not_sent(self, server: CountingServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """An `OPENAI_API_KEY` in the environment does not travel to this server."""
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
        server.require_key = False
        try:
            self.make_llm(server.url, "").chat(list(USER))
        except Exception:
            logging.getLogger(__name__).debug("refused without a key", exc_info=True)
        assert "sk-of-somebody-else" not in str(server.requests)

    @pytest.mark.usefixtures("home")
    def test_pickle(self, llm: Any) -> None:
        """A model not yet used survives a pickle and works."""
        twin = pickle.loads(pickle.dumps(llm))
        assert twin.metadata.model_name == MODEL
        assert twin.complete("hi").text == "ok"
        self.close_llm(twin)

    @pytest.mark.usefixtures("home")
    def test_pickle_after_use(self, llm: Any) -> None:
        """A used model survives a pickle and works."""
        llm.complete("hi")
        list(llm.stream_complete("hi"))
        twin = pickle.loads(pickle.dumps(llm))
        assert twin.complete("hi").text == "ok"
        assert llm.complete("hi").text == "ok"
        self.close_llm(twin)

    @pytest.mark.usefixtures("home")
    def test_deepcopy(self, llm: Any) -> None:
        """A model not yet used can be deep-copied."""
        twin = copy.deepcopy(llm)
        assert twin.complete("hi").text == "ok"
        self.close_llm(twin)

    @pytest.mark.usefixtures("home")
    def test_deepcopy_after_use(self, llm: Any) -> None:
        """A used model can be deep-copied."""
        llm.complete("hi")
        twin = copy.deepcopy(llm)
        assert twin.complete("hi").text == "ok"
        self.close_llm(twin)

    @pytest.mark.usefixtures("home")
    def test_from_dict(self, make: Make) -> None:
        """`from_dict(to_dict())` gives a model with the same settings, which works."""
        llm = make(temperature=0.5, system_prompt="Be terse.")
        twin = type(llm).from_dict(llm.to_dict())
        assert (twin.temperature, twin.system_prompt) == (0.5, "Be terse.")
        assert twin.complete("hi").text == "ok"
        self.close_llm(twin)

    def test_class_name(self, llm: Any) -> None:
        """`class_name` is told, in the dict too."""
        assert llm.to_dict()["class_name"] == type(llm).class_name() != "base_component"

    def test_threads(self, llm: Any, server: CountingServer) -> None:
        """Threads share a model, streaming at the same time, as chat engines do."""
        server.answer(Answer("a b c", pause_s=0.01))
        texts: list[str] = []
        threads = [
            threading.Thread(target=lambda: texts.append([e.text for e in llm.stream_complete("hi")][-1]))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert texts == ["a b c"] * 8

    def test_several_loops(self, llm: Any, caplog: pytest.LogCaptureFixture) -> None:
        """A model works in several event loops one after the other, without noise in the log."""
        for _ in range(3):
            assert run(llm, lambda: llm.acomplete("hi")).text == "ok"
        noise = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert not noise

    def test_async_is_concurrent(self, llm: Any, server: CountingServer) -> None:
        """32 awaited calls run side by side."""
        everyone = threading.Barrier(MANY, timeout=10)  # nobody is answered before all have asked

        def answer(_: Request) -> Answer:
            everyone.wait()
            return Answer("a b")

        async def many() -> list[str]:
            answers = await asyncio.gather(*(llm.achat(list(USER)) for _ in range(MANY)))
            return [answer.message.content for answer in answers]

        server.answer(answer)
        assert run(llm, many) == ["a b"] * MANY

    def test_async_streams_leave_the_loop_free(self, llm: Any, server: CountingServer) -> None:
        """An awaited stream does not block the event loop between its elements."""
        server.answer(Answer("a b c d e f", pause_s=0.05))

        async def main() -> int:
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.01)
                    ticks += 1

            ticker = asyncio.create_task(tick())
            async for _ in await llm.astream_chat(list(USER)):
                pass
            ticker.cancel()
            return ticks

        assert run(llm, main) > 8

    @pytest.mark.parametrize("method", ["stream_chat", "stream_complete"])
    def test_close_hangs_up(self, llm: Any, server: CountingServer, method: str) -> None:
        """Closing a stream early closes its connection at once: a generating GPU costs money."""
        server.answer(LONG)
        with no_collection():
            stream = getattr(llm, method)(list(USER) if method == "stream_chat" else "hi")
            next(stream)
            stream.close()
            assert server.left.wait(2)

    @pytest.mark.parametrize("method", ["astream_chat", "astream_complete"])
    def test_aclose_hangs_up(self, llm: Any, server: CountingServer, method: str) -> None:
        """Closing an awaited stream early closes its connection at once."""
        server.answer(LONG)

        async def main() -> bool:
            stream = await getattr(llm, method)(list(USER) if method == "astream_chat" else "hi")
            await anext(stream)
            await stream.aclose()
            return await asyncio.to_thread(server.left.wait, 2)

        with no_collection():
            assert run(llm, main)

    def test_cancelling_hangs_up(self, llm: Any, server: CountingServer) -> None:
        """Cancelling the task of an awaited stream closes its connection at once."""
        server.answer(LONG)

        async def consume(begun: asyncio.Event) -> None:
            async for _ in await llm.astream_chat(list(USER)):
                begun.set()

        async def main() -> bool:
            begun = asyncio.Event()
            task = asyncio.create_task(consume(begun))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await asyncio.to_thread(server.left.wait, 2)

        with no_collection():
            assert run(llm, main)

    def test_usable_after_hanging_up(self, llm: Any, server: CountingServer) -> None:
        """A model whose streams were left early answers as before."""
        server.answer(Answer("a b c d", pause_s=0.01))
        for _ in range(5):
            stream = llm.stream_chat(list(USER))
            next(stream)
            stream.close()
        assert llm.chat(list(USER)).message.content == "a b c d"
