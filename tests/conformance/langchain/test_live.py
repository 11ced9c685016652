"""Users' programs and this class's own promises, on real engines. Nothing here depends on how clever the model is."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_llama70b import AuthenticationError, BadRequest, ChatLlama70B, ContextOverflow, NotFound

Make = Callable[..., ChatLlama70B]


class City(enum.Enum):
    PARIS = "Paris"
    ROME = "Rome"


class Verdict(BaseModel):
    """A verdict."""

    follows: bool
    certainty: int = Field(ge=0, le=9)


@tool
def choose(city: City) -> str:
    """Choose a city."""
    return f"chosen: {city}"


def test_token_counts_are_those_of_the_prompt(llm: ChatLlama70B) -> None:
    messages: list[Any] = [SystemMessage("Be brief."), HumanMessage("Say hello, s'il vous plaît: 你好")]
    used = llm.invoke(messages, max_tokens=1).usage_metadata
    assert used is not None
    assert llm.get_num_tokens_from_messages(messages) == used["input_tokens"]
    with_tools = llm.bind_tools([choose], tool_choice="choose").invoke(messages, max_tokens=1).usage_metadata
    assert with_tools is not None
    assert llm.get_num_tokens_from_messages(messages, tools=[choose]) == with_tools["input_tokens"]
    assert 0 < llm.get_num_tokens("Say hello") == len(llm.get_token_ids("Say hello")) < 6


def test_choice_regex_schema_and_forced_call(llm: ChatLlama70B) -> None:
    assert llm.with_structured_output(City).invoke("The capital of France?") in City
    assert llm.with_regex("[a-c]{3}").invoke("Write three letters.").strip("abc") == ""
    assert isinstance(llm.with_structured_output(Verdict).invoke("Does it follow?", max_tokens=64), Verdict)
    assert isinstance(
        llm.with_structured_output(Verdict, method="function_calling").invoke("Does it follow?", max_tokens=96), Verdict
    )
    (call,) = llm.bind_tools([choose], tool_choice="any").invoke("Choose a city.", max_tokens=64).tool_calls
    assert call["args"]["city"] in {"Paris", "Rome"}


def test_a_streamed_call_is_the_whole_call(llm: ChatLlama70B) -> None:
    bound = llm.bind_tools([choose], tool_choice="choose")
    chunks = list(bound.stream("Choose a city.", max_tokens=64))
    whole = chunks[0].__add__(chunks[1:])
    assert isinstance(whole, AIMessage)
    assert whole.tool_calls[0]["args"] == bound.invoke("Choose a city.", max_tokens=64).tool_calls[0]["args"]
    assert whole.usage_metadata is not None
    assert [chunk.usage_metadata is None for chunk in chunks].count(False) == 1


def test_a_history_with_two_calls_in_one_turn(llm: ChatLlama70B) -> None:
    calls: Any = [
        {"id": "call-1", "name": "choose", "args": {"city": "Paris"}, "type": "tool_call"},
        {"id": "call-2", "name": "choose", "args": {"city": "Rome"}, "type": "tool_call"},
    ]
    history: list[Any] = [HumanMessage("Choose two."), AIMessage("", tool_calls=calls)]
    history += [ToolMessage("chosen", tool_call_id="call-1"), ToolMessage("chosen", tool_call_id="call-2")]
    assert llm.bind_tools([choose]).invoke(history, max_tokens=4).usage_metadata is not None


def test_an_agent_runs_its_tool(llm: ChatLlama70B) -> None:
    """The tool is forced on the first turn only: whether to call one is beyond so small a model."""
    question = HumanMessage("Choose a city.")
    called = llm.bind_tools([choose], tool_choice="choose").invoke([question], max_tokens=64)
    answer = llm.bind_tools([choose]).invoke([question, called, choose.invoke(called.tool_calls[0])], max_tokens=8)
    assert answer.response_metadata["finish_reason"] in {"stop", "length", "tool_calls"}


def test_errors_of_the_engine(make: Make, llm: ChatLlama70B) -> None:
    with pytest.raises(ContextOverflow) as overflow:
        llm.invoke("word " * 6000)
    assert isinstance(overflow.value, ContextOverflowError)
    assert overflow.value.max_model_len
    with pytest.raises(ContextOverflow):
        list(llm.stream("word " * 6000))
    with pytest.raises(AuthenticationError):
        make(api_key="wrong").invoke("hi")
    with pytest.raises(NotFound, match=r"no-such-model|served"):
        llm.invoke("hi", model="no-such-model")
    with pytest.raises(BadRequest):
        list(llm.stream("hi", structured_outputs={"regex": "("}))


def test_logprobs_and_stop(llm: ChatLlama70B) -> None:
    message = llm.invoke("What is the capital of France?", logprobs=True, top_logprobs=2, stop=["Paris"])
    assert "Paris" not in message.text
    entries = message.response_metadata["logprobs"]["content"]
    assert entries
    assert all(entry["logprob"] <= 0 and len(entry["top_logprobs"]) >= 2 for entry in entries)
    assert message.response_metadata["stop_reason"] == "Paris"
    assert message.response_metadata["finish_reason"] == "stop"


def test_warm_up_reads_the_window(llm: ChatLlama70B) -> None:
    assert llm.warm_up() == 0.0
    assert (llm.profile or {})["max_input_tokens"] > 0
