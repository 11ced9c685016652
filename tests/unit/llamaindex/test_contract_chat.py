"""What every LlamaIndex model owes its callers: whole and streamed answers, blocking and awaited."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.llms import ChatMessage, MessageRole

from llamaindex_llama70b import ConfigurationError, Llama70B
from tests.unit.scripted_server import Answer, ScriptedServer

Make = Callable[..., Llama70B]
USER = [ChatMessage(role="user", content="hi")]


class TestAnswers:
    def test_chat(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.say("Hello there")
        answer = call.chat(llm)
        assert answer.message.role == MessageRole.ASSISTANT
        assert answer.message.content == "Hello there"
        assert answer.message.blocks == [TextBlock(text="Hello there")]
        assert scripted.bodies[-1]["messages"] == [{"role": "user", "content": "hi"}]
        assert scripted.bodies[-1]["stream"] is False

    def test_complete_is_one_user_turn(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.say("Hello")
        answer = call.complete(llm, "hi")
        assert answer.text == "Hello"
        assert scripted.bodies[-1]["messages"] == [{"role": "user", "content": "hi"}]
        assert answer.raw["usage"]["total_tokens"] == 18

    def test_completion_to_prompt_unless_formatted(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        llm = make(completion_to_prompt=lambda text: f"<{text}>")
        call.complete(llm, "hi")
        call.complete(llm, "hi", formatted=True)
        assert [body["messages"][0]["content"] for body in scripted.bodies] == ["<hi>", "hi"]

    def test_an_empty_answer_has_text(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer("", usage=(11, 1)))
        assert call.chat(llm).message.content == ""
        assert call.stream_chat(llm)[-1].message.content == ""

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

    def test_logprobs(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer(pieces=["a", "b"], logprobs=[("a", -0.5), ("b", -1.0)]))
        answer = call.chat(llm, logprobs=True, top_logprobs=2)
        assert [[(p.token, p.logprob) for p in token] for token in answer.logprobs] == [[("a", -0.5)], [("b", -1.0)]]
        assert answer.logprobs[0][0].bytes == [97]
        assert scripted.bodies[-1]["logprobs"] is True
        assert scripted.bodies[-1]["top_logprobs"] == 2
        elements = call.stream_chat(llm, logprobs=True)
        assert [p[0].token for e in elements[:-1] for p in e.logprobs or ()] == ["a", "b"]
        assert call.complete(llm, logprobs=True).logprobs[1][0].token == "b"

    def test_thoughts(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer("Yes.", reasoning="Let me think"))
        whole = call.chat(llm)
        elements = call.stream_chat(llm)
        for answer in (whole, elements[-1]):
            thought, text = answer.message.blocks
            assert isinstance(thought, ThinkingBlock)
            assert thought.content == "Let me think"
            assert isinstance(text, TextBlock)
            assert answer.message.content == "Yes."
        deltas = [e.additional_kwargs["thinking_delta"] for e in elements if "thinking_delta" in e.additional_kwargs]
        assert "".join(deltas) == "Let me think"
        call.chat(llm, [whole.message, ChatMessage("go on")])
        assert scripted.bodies[-1]["messages"][0] == {"role": "assistant", "content": "Yes."}  # never sent back


class TestStreams:
    def test_deltas_make_the_text(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.say("one two three four")
        elements = call.stream_chat(llm)
        assert "".join(e.delta for e in elements) == "one two three four"
        assert [e.message.content for e in elements] == [
            "one ",
            "one two ",
            "one two three ",
            "one two three four",
            "one two three four",
        ]
        completions = call.stream_complete(llm)
        assert "".join(e.delta for e in completions) == completions[-1].text == "one two three four"

    def test_usage_is_always_asked_for(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        call.stream_chat(llm)
        assert scripted.bodies[-1]["stream_options"] == {"include_usage": True}

    def test_usage_stands_on_the_last_element_only(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer("a b c", cumulative_usage=True))
        elements = call.stream_chat(llm)
        assert ["total_tokens" in e.additional_kwargs for e in elements] == [False, False, False, True]
        assert elements[-1].raw["usage"]["total_tokens"] == 18

    def test_a_stream_without_usage(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer("a b", usage=None))
        last = call.stream_chat(llm)[-1]
        assert last.additional_kwargs["finish_reason"] == "stop"
        assert "total_tokens" not in last.additional_kwargs

    def test_earlier_elements_do_not_change(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer("a b", tool_calls=[("f", '{"x": [1, 2, 3]}')]))
        seen, dumped = [], []
        for element in llm.stream_chat(USER):
            seen.append(element)
            dumped.append(element.model_dump_json())
        assert [element.model_dump_json() for element in seen] == dumped

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


class TestAsyncIsAsync:
    async def test_calls_run_side_by_side(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        everyone = threading.Barrier(16, timeout=20)  # nobody is answered before all have asked

        def answer(_: Any) -> Answer:
            everyone.wait()
            return Answer("a b")

        async def one(number: int) -> str:
            if number % 2:
                return (await llm.acomplete("hi")).text
            return "".join([element.delta async for element in await llm.astream_chat(USER)])

        scripted.answer(answer)
        assert await asyncio.gather(*(one(number) for number in range(16))) == ["a b"] * 16
        await llm.aclose()

    async def test_the_loop_stays_free(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        scripted.answer(Answer("a b c d", pause_s=0.05))
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticker = asyncio.create_task(tick())
        async for _ in await llm.astream_complete("hi"):
            pass
        ticker.cancel()
        await llm.aclose()
        assert ticks > 10

    def test_several_event_loops_one_after_the_other(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        for _ in range(3):
            assert asyncio.run(llm.acomplete("hi")).text == "ok"

    def test_threads_share_a_model(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        scripted.answer(Answer("a b c", pause_s=0.01))
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


class TestClosing:
    """Leaving a stream hangs up, at once and without the garbage collector's help: a generating GPU costs money."""

    def test_close(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        scripted.answer(Answer("a b c d e f g h", pause_s=0.1))
        for stream in (llm.stream_chat(USER), llm.stream_complete("hi")):
            next(stream)
            stream.close()
            assert scripted.left.wait(3)
            scripted.left.clear()

    async def test_aclose(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        scripted.answer(Answer("a b c d e f g h", pause_s=0.1))
        for begin in (llm.astream_chat(USER), llm.astream_complete("hi")):
            stream = await begin
            await anext(stream)
            await stream.aclose()
            assert await asyncio.to_thread(scripted.left.wait, 3)
            scripted.left.clear()
        await llm.aclose()

    async def test_a_cancelled_task_hangs_up(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        scripted.answer(Answer("a b c d e f g h", pause_s=0.2))
        task = asyncio.create_task(llm.achat(USER, max_tokens=5))
        stream_task = asyncio.create_task(_consume(llm))
        await asyncio.sleep(0.5)
        stream_task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream_task
        assert await asyncio.to_thread(scripted.left.wait, 3)
        await task
        await llm.aclose()


async def _consume(llm: Llama70B) -> None:
    async for _ in await llm.astream_chat(USER):
        pass


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

    def test_several_text_blocks(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        message = ChatMessage(role="user", blocks=[TextBlock(text="a"), TextBlock(text="b")])
        call.chat(llm, [message])
        assert scripted.bodies[-1]["messages"][0]["content"] == "a\nb" == message.content

    def test_a_picture_is_refused(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        from llama_index.core.base.llms.types import ImageBlock

        message = ChatMessage(role="user", blocks=[TextBlock(text="a"), ImageBlock(url="https://example.org/a.png")])
        with pytest.raises(ConfigurationError, match=r"block 1 of a user message is ImageBlock.*reads text only"):
            call.chat(llm, [message])
        with pytest.raises(ConfigurationError, match="ImageBlock"):
            call.stream_chat(llm, [message])
        assert not scripted.chats

    def test_a_tool_exchange(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        block = ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 1, "ü": "é"})
        call.chat(
            llm,
            [
                ChatMessage(role="user", content="1+1"),
                ChatMessage(role="assistant", blocks=[block]),
                ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "c1", "name": "add"}),
            ],
        )
        _, asked, told = scripted.bodies[-1]["messages"]
        assert asked["tool_calls"] == [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "ü": "é"}'}}
        ]
        assert told == {"role": "tool", "content": "2", "tool_call_id": "c1", "name": "add"}

    def test_legacy_tool_calls_in_additional_kwargs(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        legacy = [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]
        call.chat(llm, [*USER, ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": legacy})])
        assert scripted.bodies[-1]["messages"][-1]["tool_calls"] == legacy

    def test_an_answer_survives_json(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        scripted.answer(Answer("a", reasoning="b", tool_calls=[("f", '{"x": 1}')]))
        message = call.chat(llm).message
        assert ChatMessage.model_validate_json(message.model_dump_json()) == message
        streamed = call.stream_chat(llm)[-1].message
        assert ChatMessage.model_validate_json(streamed.model_dump_json()) == streamed == message

    def test_the_conversation_is_not_changed(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        messages = [ChatMessage(role="system", content="s"), *USER]
        before = [message.model_dump_json() for message in messages]
        call.chat(llm, messages)
        call.stream_chat(llm, messages)
        assert [message.model_dump_json() for message in messages] == before
