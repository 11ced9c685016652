"""The window guard: nothing that fits is refused or changed, nothing that cannot fit is sent unnoticed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.llms import ChatMessage
from llama_index.core.utils import get_tokenizer

from llama70b import ChatRequest, Message, ToolCall, ToolSpec
from llamaindex_llama70b import ContextOverflow, Llama70B
from llamaindex_llama70b._guard import certainly_fits, estimate, guarded
from tests.unit.scripted_server import MODEL, Raw, ScriptedServer

Make = Callable[..., Llama70B]
WORD = "word "


def count(text: str) -> int:
    return len(get_tokenizer()(text))


def request(*messages: Message, **given: Any) -> ChatRequest:
    return ChatRequest(messages=messages, **given)


def talk(turns: int, size: int) -> list[Message]:
    return [Message("user" if n % 2 == 0 else "assistant", f"{n} " + WORD * size) for n in range(turns)]


class TestEstimate:
    def test_one_user_turn(self) -> None:
        # 35 for the template [notes: llamaindex 5], and the text
        assert estimate(request(Message("user", "Hello there")), count).high == 35 + count("Hello there")

    def test_further_turns_and_tools(self) -> None:
        base = estimate(request(Message("user", "a")), count).high
        assert estimate(request(Message("user", "a"), Message("assistant", "")), count).high == base + 5
        tool = ToolSpec("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})
        assert estimate(request(Message("user", "a"), tools=(tool,)), count).high > base + 50 + count("add Add.")
        call = Message("assistant", "", tool_calls=(ToolCall("c", "add", '{"a": 1}'),))
        assert estimate(request(Message("user", "a"), call), count).high > base + 5 + count('add{"a": 1}')

    def test_other_scripts_have_a_wide_margin(self) -> None:
        size = estimate(request(Message("user", "用中文解释什么是机器学习" * 20)), count)
        assert size.low < size.high / 2
        plain = estimate(request(Message("user", "hello " * 20)), count)
        assert plain.low == plain.high

    @settings(max_examples=40, deadline=None)
    @given(st.text(max_size=300))
    def test_what_certainly_fits_does(self, text: str) -> None:
        asked = request(Message("user", text))
        size = estimate(asked, count)
        assert size.low <= size.high
        assert certainly_fits(asked, len(text.encode()) + 35)
        assert size.high <= len(text.encode()) + 35


class TestModes:
    @pytest.mark.parametrize("mode", ["error", "trim", "shrink", "off"])
    def test_what_fits_is_not_touched(self, mode: Any) -> None:
        asked = request(*talk(5, 100), max_tokens=100)
        assert guarded(asked, mode, 4096, count) is asked

    @pytest.mark.parametrize("mode", ["error", "shrink"])
    def test_too_long(self, mode: Any) -> None:
        with pytest.raises(ContextOverflow, match="about 5036 tokens, the context window is 4096") as caught:
            guarded(request(Message("user", WORD * 5000), max_tokens=10), mode, 4096, count)
        assert (caught.value.prompt_tokens, caught.value.max_model_len) == (5036, 4096)
        assert caught.value.requested_tokens == 10

    def test_off_lets_the_server_decide(self) -> None:
        asked = request(Message("user", WORD * 5000))
        assert guarded(asked, "off", 4096, count) is asked

    def test_shrink(self) -> None:
        asked = guarded(request(Message("user", WORD * 3000), max_tokens=2000), "shrink", 4096, count)
        assert asked.max_tokens == 4096 - estimate(asked, count).high

    def test_error_leaves_a_clamped_answer_to_the_server_and_says_so(self, caplog: pytest.LogCaptureFixture) -> None:
        asked = request(Message("user", WORD * 3000), max_tokens=2000)
        with caplog.at_level(logging.INFO):
            assert guarded(asked, "error", 4096, count) is asked
        assert "may be cut short" in caplog.text

    def test_text_that_may_fit_is_not_refused(self) -> None:
        # cl100k overcounts Chinese: 4,500 of its tokens may be 3,100 of Llama's
        text = "用中文解释什么是机器学习。"
        asked = request(Message("user", text * (4500 // count(text))))
        assert estimate(asked, count).high > 4096
        assert guarded(asked, "error", 4096, count) is asked

    def test_trim_drops_the_oldest_exchanges(self, caplog: pytest.LogCaptureFixture) -> None:
        system = Message("system", "Be terse.")
        asked = guarded(request(system, *talk(21, 400), max_tokens=500), "trim", 4096, count)
        assert asked.messages[0] == system
        assert asked.messages[1].role == "user"
        assert asked.messages[-1].content.startswith("20 ")
        assert estimate(asked, count).high + 500 <= 4096
        assert len(asked.messages) < 21
        assert "left out the" in caplog.text

    def test_trim_keeps_calls_with_their_results(self) -> None:
        call = Message("assistant", "", tool_calls=(ToolCall("c", "f", "{}"),))
        exchange = [Message("user", WORD * 600), call, Message("tool", WORD * 600, tool_call_id="c")]
        asked = guarded(request(*exchange * 5), "trim", 4096, count)
        roles = [message.role for message in asked.messages]
        assert roles == ["user", "assistant", "tool"] * (len(roles) // 3)

    def test_trim_cuts_a_huge_tool_result(self) -> None:
        call = Message("assistant", "", tool_calls=(ToolCall("c", "f", "{}"),))
        text = "START " + WORD * 6000 + " END"
        asked = guarded(
            request(Message("user", "sum up"), call, Message("tool", text, tool_call_id="c")), "trim", 4096, count
        )
        kept = asked.messages[-1].content
        assert kept.startswith("START ")
        assert kept.endswith(" END")
        assert "characters left out to fit the context window" in kept
        assert estimate(asked, count).high + 512 <= 4096
        assert len(kept) > 10_000  # not more than needed

    def test_trim_never_cuts_the_user_s_words(self) -> None:
        with pytest.raises(ContextOverflow):
            guarded(request(Message("user", WORD * 5000)), "trim", 4096, count)

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), st.integers(0, 400)), min_size=1),
        st.sampled_from(["error", "trim", "shrink"]),
    )
    def test_always_an_answer(self, turns: list[tuple[Any, int]], mode: Any) -> None:
        asked = request(*(Message(role, "a b" * size) for role, size in turns), max_tokens=50)
        try:
            fitted = guarded(asked, mode, 600, count)
        except ContextOverflow as error:
            size, fitted = error.prompt_tokens, None
        else:
            size = estimate(fitted, count).low
        assert size is not None
        assert (size < 600) is (fitted is not None)


class TestThroughTheModel:
    def test_refused_before_sending(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        for method in (call.complete, call.stream_complete):
            with pytest.raises(ContextOverflow):
                method(llm, WORD * 6000)
        assert not scripted.chats

    def test_a_larger_window_is_learnt_first(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.routes["/v1/models"] = Raw(200, {"data": [{"id": MODEL, "max_model_len": 131072}]})
        call.complete(llm, WORD * 6000)
        assert len(scripted.chats) == 1

    def test_with_the_window_unknown_the_server_decides(
        self, llm: Llama70B, scripted: ScriptedServer, call: Any
    ) -> None:
        scripted.routes["/v1/models"] = Raw(500, "")
        call.complete(llm, WORD * 6000)
        assert len(scripted.chats) == 1

    def test_small_prompts_ask_nobody(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        call.complete(llm, "hi")
        assert len(scripted.requests) == 1

    def test_modes_by_field_and_by_call(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        history = [ChatMessage(role="user", content=WORD * 3000)] * 3
        call.chat(make(context_guard="trim"), history)
        call.chat(make(), history, context_guard="trim")
        assert [len(body["messages"]) for body in scripted.bodies] == [1, 1]
        call.chat(make(context_guard="shrink", max_tokens=3000), history[:1])
        assert scripted.bodies[-1]["max_tokens"] < 1100
        call.chat(make(context_guard="off"), history)
        assert len(scripted.bodies[-1]["messages"]) == 3
        assert len(history) == 3
