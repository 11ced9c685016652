"""Instrumentation: one pair of events a call, true token counts, cold starts told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import llama_index_instrumentation as instrumentation
import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.prompts import PromptTemplate
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.event_handlers import BaseEventHandler
from pydantic import BaseModel, Field

from llamaindex_llama70b import ColdStartEvent, Llama70B
from tests.unit.scripted_server import KEY, Answer, Raw, Request, ScriptedServer

Make = Callable[..., Llama70B]
ASK = PromptTemplate("x {y}")


class Named(BaseModel):
    name: str


class Recorder(BaseEventHandler):
    events: list[Any] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Recorder"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self.events.append(event)

    def of(self, *kinds: type[BaseEvent]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    root = instrumentation.root_dispatcher
    handler = Recorder()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)


class TestOnePairACall:
    @pytest.mark.parametrize("method", ["structured_predict", "stream_structured_predict"])
    def test_structured(
        self, llm: Llama70B, scripted: ScriptedServer, recorder: Recorder, call: Any, method: str
    ) -> None:
        scripted.say('{"name": "Ann"}')
        getattr(call, method)(llm, Named, ASK, y=1)
        assert len(recorder.of(LLMChatStartEvent)) == len(recorder.of(LLMChatEndEvent)) == 1

    @pytest.mark.parametrize("method", ["chat", "stream_chat", "complete"])
    def test_structured_llm(
        self, llm: Llama70B, scripted: ScriptedServer, recorder: Recorder, call: Any, method: str
    ) -> None:
        scripted.say('{"name": "Ann"}')
        getattr(call, method)(llm.as_structured_llm(Named))
        assert len(recorder.of(LLMChatStartEvent, LLMCompletionStartEvent)) == 1
        assert len(recorder.of(LLMChatEndEvent, LLMCompletionEndEvent)) == 1

    def test_no_credential_in_any_event(self, llm: Llama70B, recorder: Recorder, call: Any) -> None:
        call.chat(llm)
        call.stream_complete(llm)
        assert recorder.events
        assert KEY not in "".join(event.model_dump_json() for event in recorder.events)
        start = recorder.of(LLMChatStartEvent)[0].model_dict
        assert start["model_name"] == start["model"] == "meta-llama/Llama-3.3-70B-Instruct"
        assert start["class_name"] == "Llama70B"

    def test_announcing_asks_the_server_nothing(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        call.chat(llm)
        assert [request.path for request in scripted.requests] == ["/v1/chat/completions"]


class TestCounting:
    def test_structured(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer('{"name": "Ann"}', usage=(36, 4)))
        counter = TokenCountingHandler()
        llm = make(callback_manager=CallbackManager([counter]))
        structured = llm.as_structured_llm(Named)
        for use in (
            lambda: call.structured_predict(llm, Named, ASK, y=1),
            lambda: call.stream_structured_predict(llm, Named, ASK, y=1),
            lambda: call.chat(structured),
            lambda: call.stream_chat(structured),
        ):
            use()
            assert counter.prompt_llm_token_count == 36
            counter.reset_counts()


class TestColdStart:
    """A sleeping endpoint answers 503 for a while; the call waits, tells, and is counted as one attempt."""

    @staticmethod
    def asleep(scripted: ScriptedServer, looks: int) -> None:
        left = [looks]

        def health(_: Request) -> Raw:
            left[0] -= 1
            return Raw(200, "") if left[0] < 0 else Raw(503, "starting")

        scripted.routes["/health"] = health
        scripted.answer(
            lambda _: Raw(503, {"error": "starting"}, headers={"Retry-After": "1"}) if left[0] >= 0 else Answer("awake")
        )

    @pytest.mark.parametrize("method", ["complete", "stream_complete"])
    def test_it_is_told(self, make: Make, scripted: ScriptedServer, recorder: Recorder, call: Any, method: str) -> None:
        from llama70b import Timeouts

        heard: list[Any] = []
        self.asleep(scripted, looks=3)
        llm = make(timeout=Timeouts(poll=0.05, cold_start=20), on_progress=heard.append)
        answer = getattr(call, method)(llm)
        answer = answer[-1] if isinstance(answer, list) else answer
        assert answer.text == "awake"
        assert answer.additional_kwargs["timing"]["cold_start_s"] > 0
        events = recorder.of(ColdStartEvent)
        assert events[-1].state == "ready"
        assert events[0].state in {"cold", "waking"}
        assert [event.state for event in events] == [progress.state for progress in heard]
        assert events[-1].class_name() == "ColdStartEvent"
        assert "elapsed_s" in events[-1].model_dump()

    def test_warm_up(self, make: Make, scripted: ScriptedServer, recorder: Recorder, call: Any) -> None:
        from llama70b import Timeouts

        heard: list[Any] = []
        self.asleep(scripted, looks=2)
        llm = make(timeout=Timeouts(poll=0.05))
        waited = call._whole(llm, "warm_up", on_progress=heard.append)
        assert waited > 0
        assert heard[-1].state == "ready"
        assert recorder.of(ColdStartEvent)
        assert call._whole(llm, "warm_up") == 0.0
