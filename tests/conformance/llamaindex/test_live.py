"""What `Llama70B` promises beyond the conformance suite, on vLLM (CPU) and on the local engine.

What is asserted is what the wire and the constraints guarantee; the quality of a 135M model's prose is nobody's claim.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from llama70b import Endpoint
from llamaindex_llama70b import AuthenticationError, BadRequest, ContextOverflow, Llama70B, NotFound, OutputTruncated

On = Callable[..., Llama70B]
ENGINES = [
    pytest.param("local_endpoint", marks=pytest.mark.engine, id="local"),
    pytest.param("vllm_endpoint", marks=[pytest.mark.vllm, pytest.mark.timeout(300, func_only=True)], id="vllm"),
]
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=120)


class Fruit(Enum):
    LEMON = "lemon"
    MELON = "melon"


def get_weather(city: str, unit: str) -> str:
    """Get the weather of a city."""
    return f"{city}: 18 {unit}"


WEATHER = FunctionTool.from_defaults(get_weather)


@pytest.fixture(params=ENGINES)
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Endpoint)
    return found


def test_exact_counts(endpoint: Endpoint, on: On) -> None:
    llm = on(endpoint)
    answer = llm.complete(QUESTION)
    assert answer.text == ANSWER
    assert answer.additional_kwargs["prompt_tokens"] == llm.count_tokens([ChatMessage(QUESTION)]).count
    assert llm.metadata.context_window == 4096 - 48


def test_stop_reason(endpoint: Endpoint, on: On) -> None:
    stopped = on(endpoint).complete(QUESTION, stop=[" France"])
    assert (stopped.text, stopped.additional_kwargs["stop_reason"]) == ("The capital of", " France")


async def test_constraints_by_their_short_names(endpoint: Endpoint, on: On) -> None:
    llm = on(endpoint)
    assert llm.complete("Name a fruit.", choice=Fruit).text in {"lemon", "melon"}
    assert (await llm.acomplete("Name a fruit.", choice=Fruit)).text in {"lemon", "melon"}
    assert re.fullmatch(
        "[0-9]{4}-[01][0-9]", list(llm.stream_complete("A month?", regex="[0-9]{4}-[01][0-9]"))[-1].text
    )
    assert llm.complete("Speak.", grammar='root ::= "quack" | "moo"').text in {"quack", "moo"}
    assert Person.model_validate_json(llm.complete("Bob is 42.", json_schema=Person.model_json_schema()).text)
    await llm.aclose()


def test_refusals_are_typed(endpoint: Endpoint, on: On) -> None:
    with pytest.raises(AuthenticationError):
        on(endpoint, api_key="not-the-key").complete("hi")
    with pytest.raises(NotFound, match=re.escape(endpoint.model)):
        on(endpoint).complete("hi", model="no-such-model")
    for guard in ("error", "off"):
        with pytest.raises(ContextOverflow) as caught:
            on(endpoint, context_guard=guard).complete("word " * 4200)
        assert caught.value.max_model_len == 4096


def test_trimmed(endpoint: Endpoint, on: On) -> None:
    turns = [ChatMessage(role=role, content="word " * 100) for role in ("user", "assistant")] * 4
    # a small window, because a long prompt takes a CPU minutes
    llm = on(endpoint, context_guard="trim", max_tokens=4, context_window=500)
    answer = llm.chat([*turns, ChatMessage(QUESTION)])
    assert 0 < answer.additional_kwargs["prompt_tokens"] < 500


async def test_a_cut_off_call(endpoint: Endpoint, on: On) -> None:
    llm = on(endpoint)
    given: dict[str, Any] = {"tools": [WEATHER], "user_msg": "Weather in Paris in C?", "tool_required": True}
    given["max_tokens"] = 10
    streamed = [element async for element in await llm.astream_chat_with_tools(**given)]
    for answer in (llm.chat_with_tools(**given), streamed[-1]):
        with pytest.raises(OutputTruncated):
            llm.get_tool_calls_from_response(answer)
    await llm.aclose()


def test_another_name_and_the_servers_words(vllm_endpoint: Endpoint, vllm_model_alias: str, on: On) -> None:
    llm = on(vllm_endpoint, max_tokens=4)
    answer = llm.complete(QUESTION, model=vllm_model_alias)
    assert answer.additional_kwargs["model_name"] == vllm_endpoint.model  # vLLM reports its first name for all
    with pytest.raises(BadRequest, match=r"regex|grammar|Grammar"):
        llm.complete("hi", regex="(")
    called = llm.predict_and_call([WEATHER], "Weather in Paris in C?", tool_choice="get_weather", max_tokens=64)
    assert ": 18 " in str(called.response)
