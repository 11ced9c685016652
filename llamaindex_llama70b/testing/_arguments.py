"""Arguments of a call and of the model, metadata, and what the window makes of them."""

# ruff: noqa: PLR2004 - numbers of tokens stand where they are asked for and where they arrive

from __future__ import annotations

import time
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import PromptTemplate

from llama70b.testing import MODEL, WINDOW, Answer, CountingServer, Raw
from llamaindex_llama70b.testing._suite import USER, Caller, Make, Scripted, failure

RESERVE = 128
"""Tokens a model may keep back of the window for its template."""


class Arguments(Scripted):
    """Behaviours of arguments and metadata."""

    def test_it_is_a_function_calling_model(self, llm: Any) -> None:
        """The class is a `FunctionCallingLLM`, without which agents refuse it."""
        assert isinstance(llm, FunctionCallingLLM)

    def test_settings_accept_it(self, llm: Any) -> None:
        """`Settings.llm` takes it."""
        Settings.llm = llm
        assert Settings.llm is llm

    def test_constructor_max_tokens(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`max_tokens` of the constructor is sent."""
        call.chat(make(max_tokens=17))
        assert _limit(server) == 17

    def test_per_call_max_tokens(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`max_tokens` of a call beats the constructor's."""
        llm = make(max_tokens=100)
        call.chat(llm, max_tokens=5)
        assert _limit(server) == 5
        call.stream_complete(llm, max_tokens=6)
        assert _limit(server) == 6

    def test_per_call_temperature(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`temperature` of a call beats the constructor's."""
        call.chat(make(temperature=0.9), temperature=0.25)
        assert server.bodies[-1]["temperature"] == 0.25

    def test_temperature_zero(self, make: Make, server: CountingServer, call: Caller) -> None:
        """A temperature of 0 is sent as 0."""
        call.chat(make(temperature=0))
        assert server.bodies[-1]["temperature"] == 0

    def test_additional_kwargs_are_sent(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`additional_kwargs` of the constructor are sent."""
        call.chat(make(additional_kwargs={"top_p": 0.5}))
        assert server.bodies[-1]["top_p"] == 0.5

    def test_a_call_beats_additional_kwargs(self, make: Make, server: CountingServer, call: Caller) -> None:
        """An argument of a call beats `additional_kwargs`."""
        call.chat(make(additional_kwargs={"top_p": 0.5}), top_p=0.9)
        assert server.bodies[-1]["top_p"] == 0.9

    def test_stop(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`stop` of a call is sent, streamed too."""
        call.chat(llm, stop=["END"])
        call.stream_chat(llm, stop=["END"])
        assert [body["stop"] for body in server.bodies] == [["END"], ["END"]]

    def test_seed(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """`seed` of a call is sent."""
        call.chat(llm, seed=7)
        assert server.bodies[-1]["seed"] == 7

    @pytest.mark.parametrize("kind", ["choice", "regex", "json", "grammar"])
    def test_guided_decoding(self, llm: Any, server: CountingServer, call: Caller, kind: str) -> None:
        """VLLM's `structured_outputs` reach the server at the top level: choice, regex, json, grammar."""
        value = {"choice": ["yes", "no"], "regex": "[ab]+", "json": {"type": "object"}, "grammar": 'root ::= "a"'}[kind]
        call.chat(llm, **self.constrained(kind, value))
        call.stream_complete(llm, **self.constrained(kind, value))
        assert [body["structured_outputs"] for body in server.bodies] == [{kind: value}] * 2

    def test_response_format(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A `response_format` of a call is sent."""
        call.chat(llm, response_format={"type": "json_object"})
        assert server.bodies[-1]["response_format"] == {"type": "json_object"}

    def test_a_plain_body_is_clean(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A request without tools says nothing of tools, not even null."""
        call.chat(llm)
        call.stream_chat(llm)
        for body in server.bodies:
            assert not {name for name in body if "tool" in name or body[name] is None}

    def test_system_prompt_in_chat(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`system_prompt` applies to `chat` and its stream."""
        llm = make(system_prompt="Be terse.")
        call.chat(llm)
        call.stream_chat(llm)
        for body in server.bodies:
            assert [(m["role"], m["content"]) for m in body["messages"]] == [("system", "Be terse."), ("user", "hi")]

    def test_system_prompt_in_predict(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`system_prompt` applies to `predict`, once."""
        call.whole(make(system_prompt="Be terse."), "predict", PromptTemplate("Say {x}."), x="hi")
        assert [m["content"] for m in server.bodies[-1]["messages"]] == ["Be terse.", "Say hi."]

    def test_timeout_of_a_call(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`timeout` of a call bounds it."""
        server.answer(Raw(200, {}, delay_s=3))
        llm = make(max_retries=0)
        began = time.monotonic()
        failure(lambda: call.chat(llm, timeout=0.3))
        assert time.monotonic() - began < 2.5

    def test_flags(self, llm: Any) -> None:
        """`metadata` says chat model, function calling, the model's name."""
        assert llm.metadata.is_chat_model
        assert llm.metadata.is_function_calling_model
        assert llm.metadata.model_name == MODEL

    def test_window_is_the_server_s(self, make: Make, server: CountingServer) -> None:
        """`metadata.context_window` is the server's, without being told."""
        server.set_window(8192)
        assert 8192 - RESERVE <= make().metadata.context_window <= 8192

    def test_num_output_is_known(self, llm: Any) -> None:
        """`metadata.num_output` is a number of tokens that fits the window, also when `max_tokens` is not set."""
        assert 0 < llm.metadata.num_output < llm.metadata.context_window

    def test_num_output_is_max_tokens(self, make: Make) -> None:
        """`metadata.num_output` is `max_tokens` when that is set."""
        assert make(max_tokens=77).metadata.num_output == 77

    def test_overflow_has_a_type(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A prompt over the window raises an error of a class of its own, with the window in its text."""
        long = failure(lambda: call.chat(llm, [ChatMessage(role="user", content="word " * 5000)]))
        other = failure(lambda: call.chat(llm, temperature=-1.0))
        assert type(long) is not type(other)
        assert str(WINDOW) in str(long)
        assert not server.prompts

    def test_overflow_in_a_stream(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A prompt over the window raises when streamed too."""
        failure(lambda: call.stream_chat(llm, [ChatMessage(role="user", content="word " * 5000)]))
        assert not server.prompts

    def test_what_fits_exactly_is_sent(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A prompt that fills the window but for a few tokens is not refused."""
        text = "word " * (WINDOW - 60)
        call.chat(llm, [ChatMessage(role="user", content=text)], max_tokens=8)
        assert WINDOW - 80 < server.prompts[-1] < WINDOW

    def test_another_model_s_answer(self, make: Make, server: CountingServer, call: Caller) -> None:
        """A served name other than the default is sent."""
        call.chat(make(model="another"))
        assert server.bodies[-1]["model"] == "another"

    def test_many_arguments_leave_the_model_alone(self, make: Make, server: CountingServer, call: Caller) -> None:
        """Arguments of one call are gone in the next."""
        server.answer(Answer("a"))
        llm = make(max_tokens=100)
        call.chat(llm, max_tokens=5, stop=["x"])
        call.chat(llm, USER)
        assert _limit(server) == 100
        assert not server.bodies[-1].get("stop")


def _limit(server: CountingServer) -> Any:
    body = server.bodies[-1]
    return body.get("max_tokens", body.get("max_completion_tokens"))
