"""Instrumentation: one pair of events a call, true counts, no credential."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import llama_index_instrumentation as instrumentation
import pytest
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionStartEvent,
)
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.event_handlers import BaseEventHandler

from llama70b.testing import KEY, CountingServer, error
from llamaindex_llama70b.testing._structured import ASK, JSON, Person, as_asked
from llamaindex_llama70b.testing._suite import Caller, Make, Scripted, failure


class Recorder(BaseEventHandler):
    """Keeps every event."""

    events: list[Any] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        """Return the name core knows it by."""
        return "Recorder"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        """Keep an event."""
        self.events.append(event)

    def of(self, *kinds: type[BaseEvent]) -> list[Any]:
        """Return the events of some kinds."""
        return [event for event in self.events if isinstance(event, kinds)]


class Limiter:
    """Counts how often it is asked."""

    taken = 0

    def acquire(self) -> None:
        """Count."""
        self.taken += 1

    async def async_acquire(self) -> None:
        """Count."""
        self.taken += 1


class Events(Scripted):
    """Behaviours that tracers and token counters see."""

    @pytest.fixture
    def recorder(self) -> Iterator[Recorder]:
        """Everything that is dispatched during a test."""
        root = instrumentation.root_dispatcher
        handler = Recorder()
        root.add_event_handler(handler)
        yield handler
        root.event_handlers.remove(handler)

    def test_one_pair_a_chat(self, llm: Any, recorder: Recorder, call: Caller) -> None:
        """`chat` dispatches one start and one end, and no completion events."""
        call.chat(llm)
        assert len(recorder.of(LLMChatStartEvent)) == len(recorder.of(LLMChatEndEvent)) == 1
        assert not recorder.of(LLMCompletionStartEvent)

    def test_one_pair_a_stream(self, llm: Any, recorder: Recorder, server: CountingServer, call: Caller) -> None:
        """`stream_chat` dispatches one start, one end, and an event for every element."""
        server.say("a b c")
        elements = call.stream_chat(llm)
        assert len(recorder.of(LLMChatStartEvent)) == len(recorder.of(LLMChatEndEvent)) == 1
        assert len(recorder.of(LLMChatInProgressEvent)) == len(elements)

    def test_one_pair_a_completion(self, llm: Any, recorder: Recorder, call: Caller) -> None:
        """`complete` and its stream dispatch one pair each, and no chat events."""
        call.complete(llm)
        call.stream_complete(llm)
        starts, ends = recorder.of(LLMCompletionStartEvent), recorder.of(LLMCompletionEndEvent)
        assert len(starts) == len(ends) == 2  # noqa: PLR2004 - two calls
        assert not recorder.of(LLMChatStartEvent)

    def test_one_pair_a_structured_chat(
        self, llm: Any, recorder: Recorder, server: CountingServer, call: Caller
    ) -> None:
        """A chat of `as_structured_llm` is announced once."""
        server.answer(as_asked(JSON))
        call.chat(llm.as_structured_llm(Person))
        assert len(recorder.of(LLMChatStartEvent)) == len(recorder.of(LLMChatEndEvent)) == 1

    def test_no_credential_in_events(self, llm: Any, recorder: Recorder, call: Caller) -> None:
        """No event holds the key."""
        call.chat(llm)
        call.stream_complete(llm)
        assert recorder.events
        assert KEY not in "".join(event.model_dump_json() for event in recorder.events)

    def test_a_failure_ends_the_event(self, make: Make, server: CountingServer, call: Caller) -> None:
        """A call that fails ends its legacy event, with the exception."""
        server.answer(error(400, "no"))
        debug = LlamaDebugHandler(print_trace_on_end=False)
        raised = failure(lambda: call.chat(make(callback_manager=CallbackManager([debug]))))
        ((_, end),) = debug.get_event_pairs(CBEventType.LLM)
        assert (end.payload or {})["exception"] is raised

    def test_counts_of_chat(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`TokenCountingHandler` has the server's counts after `chat`, counted once."""
        counter = TokenCountingHandler()
        call.chat(make(callback_manager=CallbackManager([counter])))
        assert counter.prompt_llm_token_count == server.prompts[-1]
        assert counter.completion_llm_token_count == 2  # noqa: PLR2004 - "ok" and the end of the turn

    def test_counts_of_streams(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`TokenCountingHandler` has the server's counts after streams."""
        counter = TokenCountingHandler()
        llm = make(callback_manager=CallbackManager([counter]))
        call.stream_chat(llm)
        call.stream_complete(llm)
        assert counter.prompt_llm_token_count == sum(server.prompts)

    def test_counts_of_structured_output(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`TokenCountingHandler` has the server's counts after `structured_predict`, counted once."""
        server.answer(as_asked(JSON))
        counter = TokenCountingHandler()
        llm = make(callback_manager=CallbackManager([counter]))
        call.whole(llm, "structured_predict", Person, ASK, town="x")
        assert counter.prompt_llm_token_count == server.prompts[-1]

    def test_rate_limiter(self, make: Make, call: Caller) -> None:
        """Core's `rate_limiter` is asked once a call."""
        limiter = Limiter()
        llm = make(rate_limiter=limiter)
        call.chat(llm)
        call.stream_complete(llm)
        assert limiter.taken == 2  # noqa: PLR2004 - two calls

    def test_announcing_sends_nothing(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A chat is one request: events ask the server nothing."""
        call.chat(llm)
        assert [request.path for request in server.requests] == ["/v1/chat/completions"]
