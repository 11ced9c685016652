"""Whole and streamed answers, and what goes to the server as messages."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.prompts import PromptTemplate

from llama70b.testing import Answer, CountingServer
from llamaindex_llama70b.testing._suite import USER, Caller, Make, Scripted, failure, usage_of

ASK = PromptTemplate("Say {what}.")


class Answers(Scripted):
    """Behaviours of `chat`, `complete` and their streams."""

    def test_chat(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`chat` returns the assistant's text."""
        server.say("Hello there")
        answer = call.chat(llm)
        assert answer.message.role == MessageRole.ASSISTANT
        assert answer.message.content == "Hello there"

    def test_complete(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`complete` sends one user turn and returns the text."""
        server.say("Hello")
        assert call.complete(llm, "Say hello").text == "Hello"
        assert server.bodies[-1]["messages"] == [{"role": "user", "content": "Say hello"}]

    def test_stream_chat(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Deltas of `stream_chat` make up the text."""
        server.say("one two three four")
        elements = call.stream_chat(llm)
        assert "".join(element.delta or "" for element in elements) == "one two three four"

    def test_stream_chat_is_cumulative(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Every element of `stream_chat` holds all the text so far."""
        server.say("one two three")
        text = ""
        for element in call.stream_chat(llm):
            text += element.delta or ""
            assert (element.message.content or "") == text
        assert text == "one two three"

    def test_stream_complete(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Deltas of `stream_complete` make up the text, and every element holds all so far."""
        server.say("one two three")
        elements = call.stream_complete(llm)
        assert "".join(element.delta or "" for element in elements) == elements[-1].text == "one two three"

    def test_streams_arrive_piece_by_piece(self, llm: Any, server: CountingServer) -> None:
        """A stream yields its first element before the answer is complete."""
        server.answer(Answer("a b c d e f", pause_s=0.1))
        stream = llm.stream_chat(list(USER))
        first = next(stream)
        assert (first.message.content or "").strip() != "a b c d e f"
        assert [element.message.content for element in stream][-1] == "a b c d e f"

    def test_empty_answer(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """An empty answer is an empty text, not an error."""
        server.say("")
        assert (call.chat(llm).message.content or "") == ""
        assert all(not element.delta for element in call.stream_chat(llm))

    def test_unicode(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Text of any script arrives as it was sent, both ways, also streamed."""
        text = "Zwölf Boxkämpfer: 用中文 🦙 \u2028 x"
        server.say(text)
        assert call.chat(llm, [ChatMessage(role="user", content=text)]).message.content == text
        assert call.stream_complete(llm, text)[-1].text == text
        assert all(body["messages"][-1]["content"] == text for body in server.bodies)

    def test_roles(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Roles reach the server as roles, not as one flattened text."""
        given = [("system", "s"), ("user", "u"), ("assistant", "a"), ("user", "v")]
        call.chat(llm, [ChatMessage(role=role, content=text) for role, text in given])
        assert [(m["role"], m["content"]) for m in server.bodies[-1]["messages"]] == given

    def test_text_blocks(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Several text blocks of one message all reach the server."""
        call.chat(llm, [ChatMessage(role="user", blocks=[TextBlock(text="first"), TextBlock(text="second")])])
        sent = str(server.bodies[-1]["messages"][0]["content"])
        assert "first" in sent
        assert "second" in sent

    def test_a_picture_is_not_dropped(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A picture for a model that reads text ends in an error."""
        if self.supports_images:
            return
        picture = ImageBlock(image=b"iVBORw0KGgo=", image_mimetype="image/png")
        failure(lambda: call.chat(llm, [ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), picture])]))
        assert not server.prompts

    def test_messages_are_not_changed(self, llm: Any, call: Caller) -> None:
        """The caller's messages are as they were."""
        messages = [ChatMessage(role="system", content="s"), *USER]
        before = [message.model_dump_json() for message in messages]
        call.chat(llm, messages)
        call.stream_chat(llm, messages)
        assert [message.model_dump_json() for message in messages] == before

    def test_an_answer_survives_json(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """An answer with a tool call is the same message after a trip through JSON."""
        server.answer(Answer("a", tool_calls=[("f", '{"x": 1}')]))
        message = call.chat(llm).message
        again = ChatMessage.model_validate_json(message.model_dump_json())
        assert again.content == message.content == "a"
        assert any(isinstance(block, ToolCallBlock) for block in again.blocks)

    def test_earlier_elements_do_not_change(self, llm: Any, server: CountingServer) -> None:
        """What a stream has yielded stays as it was, tool calls included."""
        server.answer(Answer("a b", tool_calls=[("f", '{"x": [1, 2, 3]}')]))
        seen, shown = [], []
        for element in llm.stream_chat(list(USER)):
            seen.append(element)
            shown.append((element.delta, str(element.message), _calls(element)))
        assert [(element.delta, str(element.message), _calls(element)) for element in seen] == shown
        assert "1, 2, 3" in shown[-1][2]

    def test_thoughts(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Reasoning becomes a `ThinkingBlock`, whole and streamed, apart from the text."""
        server.answer(Answer("Yes.", reasoning="Let me think"))
        for answer in (call.chat(llm), call.stream_chat(llm)[-1]):
            (thought,) = [block for block in answer.message.blocks if isinstance(block, ThinkingBlock)]
            assert thought.content == "Let me think"
            assert answer.message.content == "Yes."

    def test_thinking_deltas(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Streamed reasoning shows as `thinking_delta`, which agents forward."""
        server.answer(Answer("Yes.", reasoning="Let me think"))
        deltas = [e.additional_kwargs.get("thinking_delta") or "" for e in call.stream_chat(llm)]
        assert "".join(deltas) == "Let me think"

    def test_thoughts_are_not_sent_back(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Reasoning of an earlier answer is not sent again as text."""
        blocks = [ThinkingBlock(content="secret musing"), TextBlock(text="Yes.")]
        call.chat(llm, [*USER, ChatMessage(role="assistant", blocks=blocks), *USER])
        sent = server.bodies[-1]["messages"]
        assert [m["role"] for m in sent] == ["user", "assistant", "user"]
        assert "musing" not in str(sent)

    def test_logprobs(self, make: Make, server: CountingServer, call: Caller) -> None:
        """Log-probabilities asked for come back with their tokens."""
        server.answer(Answer(pieces=["a", "b"], logprobs=[("a", -0.5), ("b", -1.0)]))
        answer = call.chat(make(), logprobs=True, top_logprobs=1)
        assert [(token[0].token, token[0].logprob) for token in answer.logprobs] == [("a", -0.5), ("b", -1.0)]

    def test_logprobs_streamed(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Log-probabilities of a stream come with the elements they belong to."""
        server.answer(Answer(pieces=["a", "b"], logprobs=[("a", -0.5), ("b", -1.0)]))
        elements = call.stream_chat(llm, logprobs=True)
        assert [token[0].token for element in elements if element.delta for token in element.logprobs or ()] == [
            "a",
            "b",
        ]

    def test_finish_reason(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`additional_kwargs` say how the answer ended, whole and streamed."""
        server.answer(Answer("x", finish_reason="length"))
        for answer in (call.chat(llm), call.stream_chat(llm)[-1], call.complete(llm), call.stream_complete(llm)[-1]):
            assert answer.additional_kwargs["finish_reason"] == "length"

    def test_usage_in_raw(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`raw["usage"]` of a whole answer is what the server counted."""
        server.say("Hello there")
        answer = call.chat(llm)
        assert usage_of(answer) == (server.prompts[-1], 3)

    def test_usage_in_additional_kwargs(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`additional_kwargs` of a whole answer hold the three counts."""
        server.say("Hello there")
        said = call.chat(llm).additional_kwargs
        assert (said["prompt_tokens"], said["completion_tokens"]) == (server.prompts[-1], 3)
        assert said["total_tokens"] == server.prompts[-1] + 3

    def test_usage_in_streams(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """The last element of a stream carries the usage the server counted, without being asked to."""
        server.say("Hello there")
        for last in (call.stream_chat(llm)[-1], call.stream_complete(llm)[-1]):
            assert usage_of(last) == (server.prompts[-1], 3)

    def test_a_stream_without_usage(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A server that sends no usage does not break a stream."""
        server.answer(Answer("a b", usage=None))
        assert call.stream_chat(llm)[-1].message.content == "a b"

    def test_predict(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`predict` formats the prompt and returns the text."""
        server.say("Hello")
        assert call.whole(llm, "predict", ASK, what="hello") == "Hello"
        assert server.bodies[-1]["messages"][-1]["content"] == "Say hello."

    def test_predict_streamed(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`stream` formats the prompt and yields the text."""
        server.say("Hello there")
        assert "".join(call.elements(llm, "stream", ASK, what="hello")) == "Hello there"


def _calls(element: Any) -> str:
    blocks = [block.model_dump() for block in element.message.blocks if isinstance(block, ToolCallBlock)]
    return f"{blocks} {element.message.additional_kwargs.get('tool_calls')}"
