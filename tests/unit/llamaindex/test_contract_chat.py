"""Answers and messages, where our class says more than the conformance suite asks of every class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import TextBlock
from llama_index.core.llms import ChatMessage

from llamaindex_llama70b import ConfigurationError, Llama70B
from tests.unit.scripted_server import Answer, ScriptedServer

Make = Callable[..., Llama70B]
USER = [ChatMessage(role="user", content="hi")]


class TestAnswers:
    def test_completion_to_prompt_unless_formatted(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        llm = make(completion_to_prompt=lambda text: f"<{text}>")
        call.complete(llm, "hi")
        call.complete(llm, "hi", formatted=True)
        assert [body["messages"][0]["content"] for body in scripted.bodies] == ["<hi>", "hi"]

    def test_raw_is_a_plain_dict(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        for answer in (call.chat(llm), call.stream_chat(llm)[-1]):
            assert type(answer.raw) is dict
            assert answer.raw["usage"] == {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
            assert answer.raw["choices"][0]["message"]["content"] == "ok"

    def test_what_additional_kwargs_say(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer("x", finish_reason="length", stop_reason=None, cached_tokens=8, metrics={"a_ms": 1.5}))
        for answer in (call.chat(llm), call.stream_chat(llm)[-1], call.complete(llm), call.stream_complete(llm)[-1]):
            said = answer.additional_kwargs
            assert said["prompt_tokens"] == 11
            assert said["completion_tokens"] == 7
            assert said["total_tokens"] == 18
            assert said["cached_tokens"] == 8
            assert said["finish_reason"] == "length"
            assert said["model_name"] == "meta-llama/Llama-3.3-70B-Instruct"
            assert said["model_provider"] == "llama70b"
            assert said["metrics"] == {"a_ms": 1.5}
            assert said["system_fingerprint"] == "vllm-scripted"
            assert said["timing"]["attempts"] == 1
            assert 0 < said["timing"]["first_token_s"] <= said["timing"]["total_s"]
            assert said["request_id"]

    def test_stop_reason(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer("x", stop_reason="END"))
        assert call.chat(llm, stop=["END"]).additional_kwargs["stop_reason"] == "END"
        assert call.stream_chat(llm, stop="END")[-1].additional_kwargs["stop_reason"] == "END"
        assert scripted.bodies[0]["stop"] == scripted.bodies[1]["stop"] == ["END"]


class TestStreams:
    def test_usage_stands_on_the_last_element_only(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer("a b c", cumulative_usage=True))
        elements = call.stream_chat(llm)
        assert ["total_tokens" in e.additional_kwargs for e in elements] == [False, False, False, True]
        assert elements[-1].raw["usage"]["total_tokens"] == 18

    def test_nothing_is_sent_before_the_first_element(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        stream = llm.stream_chat(USER)
        assert not scripted.chats
        next(stream)
        assert len(scripted.chats) == 1
        stream.close()

    async def test_nothing_is_sent_before_the_first_element_async(
        self, llm: Llama70B, scripted: ScriptedServer
    ) -> None:
        stream = await llm.astream_chat(USER)
        assert not scripted.chats
        await anext(stream)
        assert len(scripted.chats) == 1
        await stream.aclose()
        await llm.aclose()


class TestMessages:
    def test_roles(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        roles = ["system", "developer", "user", "assistant", "chatbot", "model"]
        call.chat(llm, [ChatMessage(role=role, content=role) for role in roles])
        assert [m["role"] for m in scripted.bodies[-1]["messages"]] == [
            "system",
            "system",
            "user",
            "assistant",
            "assistant",
            "assistant",
        ]

    def test_a_picture_is_refused(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        from llama_index.core.base.llms.types import ImageBlock

        message = ChatMessage(role="user", blocks=[TextBlock(text="a"), ImageBlock(url="https://example.org/a.png")])
        with pytest.raises(ConfigurationError, match=r"block 1 of a user message is ImageBlock.*reads text only"):
            call.chat(llm, [message])
        with pytest.raises(ConfigurationError, match="ImageBlock"):
            call.stream_chat(llm, [message])
        assert not scripted.chats

    def test_legacy_tool_calls_in_additional_kwargs(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        legacy = [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]
        call.chat(llm, [*USER, ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": legacy})])
        assert scripted.bodies[-1]["messages"][-1]["tool_calls"] == legacy
