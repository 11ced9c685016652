"""Whole bodies as vLLM 0.32 sent them, read into values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama70b import Message, ModelInfo, TokenCount, ToolCall, Usage, _wire
from llama70b.endpoint import DEFAULT_MODEL

Body = Callable[[str], Any]


def test_an_answer(recorded_body: Body) -> None:
    raw = recorded_body("chat")
    answer = _wire.completion(raw)
    assert answer.message == Message("assistant", "The capital of France is Paris.")
    assert (answer.finish_reason, answer.choices[0].stop_reason) == ("stop", None)
    assert (answer.model, answer.id) == (DEFAULT_MODEL, "chatcmpl-bd8edcb814bee0b7")
    assert answer.usage == Usage(28, 8, cached_tokens=0)
    assert answer.usage is not None
    assert answer.usage.as_dict() == {"prompt_tokens": 28, "completion_tokens": 8, "total_tokens": 36}
    assert answer.metrics == raw["metrics"]
    assert answer.metrics
    assert answer.raw is raw


def test_a_tool_call(recorded_body: Body) -> None:
    answer = _wire.completion(recorded_body("tool_call"))
    call = ToolCall("chatcmpl-tool-b9f7b1d6889fe407", "get_weather", '{"city": "Paris", "unit": "C"}')
    assert answer.message == Message("assistant", "", tool_calls=(call,))
    assert call.parsed() == {"city": "Paris", "unit": "C"}
    assert answer.finish_reason == "tool_calls"


def test_logprobs(recorded_body: Body) -> None:
    tokens = _wire.completion(recorded_body("logprobs")).choices[0].logprobs or ()
    assert "".join(item.token for item in tokens) == "The capital of France is Paris.<|im_end|>"
    assert all(bytes(item.bytes or ()).decode() == item.token for item in tokens)
    assert all(item.top[0].logprob >= item.top[1].logprob for item in tokens)


def test_two_answers(recorded_body: Body) -> None:
    answer = _wire.completion(recorded_body("two_answers"))
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.text == answer.message.content == answer.choices[0].message.content == "Me: I'm Jamie."
    assert answer.choices[1].finish_reason == "length"
    assert answer.metrics is None


def test_models_and_tokens(recorded_body: Body) -> None:
    names = (DEFAULT_MODEL, "llama-3.3-70b")
    assert _wire.models(recorded_body("models")) == tuple(ModelInfo(name, 4096, DEFAULT_MODEL) for name in names)
    counted = recorded_body("tokenize")
    assert _wire.token_count(counted) == TokenCount(28, 4096)
    assert _wire.token_ids(counted) == tuple(counted["tokens"])
    assert len(counted["tokens"]) == 28
