"""`ChatLlama70B` against a real vLLM: what an application does with a chat model, sync and async."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAuthenticationError,
    ModelInvalidRequestError,
    ModelNotFoundError,
)
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_llama70b import ChatLlama70B
from llama70b import Endpoint

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
WEATHER_QUESTION = "What is the weather in Paris in C?"


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=120)


@tool
def get_weather(city: str, unit: Literal["C", "F"]) -> str:
    """Get the weather of a city."""
    return f"{city}: 18 {unit}"


class Caller:
    """Calls a runnable the sync or the async way; the tests are written once."""

    def __init__(self, *, asynchronous: bool) -> None:
        self._asynchronous = asynchronous

    async def invoke(self, runnable: Any, *args: Any, **kwargs: Any) -> Any:
        return await runnable.ainvoke(*args, **kwargs) if self._asynchronous else runnable.invoke(*args, **kwargs)

    async def batch(self, runnable: Any, *args: Any, **kwargs: Any) -> Any:
        return await runnable.abatch(*args, **kwargs) if self._asynchronous else runnable.batch(*args, **kwargs)

    async def stream(self, runnable: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if self._asynchronous:
            return [chunk async for chunk in runnable.astream(*args, **kwargs)]
        return list(runnable.stream(*args, **kwargs))


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Caller:
    return Caller(asynchronous=request.param)


def made(endpoint: Endpoint, **options: Any) -> ChatLlama70B:
    key = endpoint.api_key
    assert key is not None
    given = {"api_key": key if isinstance(key, str) else key.get_secret_value(), "temperature": 0, "max_tokens": 48}
    return ChatLlama70B(model=endpoint.model, base_url=endpoint.base_url, **{**given, **options})


@pytest.fixture
async def model(vllm_endpoint: Endpoint) -> AsyncIterator[ChatLlama70B]:
    async with made(vllm_endpoint) as chat_model:
        yield chat_model


def total(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


async def test_invoke(call: Caller, model: ChatLlama70B) -> None:
    message = await call.invoke(model, QUESTION)
    assert isinstance(message, AIMessage)
    assert message.text == ANSWER
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 8
    assert message.usage_metadata["total_tokens"] == message.usage_metadata["input_tokens"] + 8
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["model_name"] == model.model
    assert message.response_metadata["model_provider"]


async def test_stream(call: Caller, model: ChatLlama70B) -> None:
    chunks = await call.stream(model, QUESTION)
    whole, plain = total(chunks), await call.invoke(model, QUESTION)
    assert sum(bool(chunk.text) for chunk in chunks) > 3
    assert whole.text == ANSWER
    assert whole.usage_metadata == plain.usage_metadata
    assert sum(bool(chunk.usage_metadata) for chunk in chunks) == 1
    for key in ("finish_reason", "model_name", "model_provider"):
        assert whole.response_metadata[key] == plain.response_metadata[key]


async def test_batch(call: Caller, model: ChatLlama70B) -> None:
    assert [message.text for message in await call.batch(model, [QUESTION] * 3)] == [ANSWER] * 3


async def test_options_of_the_call_beat_the_constructors(
    call: Caller, model: ChatLlama70B, vllm_model_alias: str
) -> None:
    cut = await call.invoke(model, QUESTION, max_tokens=3, model=vllm_model_alias)
    assert (cut.text, cut.response_metadata["finish_reason"]) == ("The capital of", "length")
    assert (await call.invoke(model, QUESTION, stop=["of"])).text == "The capital "


async def test_logprobs(call: Caller, model: ChatLlama70B) -> None:
    message = await call.invoke(model, QUESTION, logprobs=True, top_logprobs=2)
    tokens = message.response_metadata["logprobs"]["content"]
    assert "".join(entry["token"] for entry in tokens).startswith(ANSWER)
    assert len(tokens[0]["top_logprobs"]) == 2


@pytest.mark.parametrize("choice", ["any", "get_weather"])  # "required" and True are "any" on the wire
async def test_forced_tool_call(call: Caller, model: ChatLlama70B, choice: str) -> None:
    message = await call.invoke(model.bind_tools([get_weather], tool_choice=choice), WEATHER_QUESTION)
    (asked,) = message.tool_calls
    assert (asked["name"], asked["args"]) == ("get_weather", {"city": "Paris", "unit": "C"})
    assert asked["id"]


async def test_streamed_tool_call(call: Caller, model: ChatLlama70B) -> None:
    chunks = await call.stream(model.bind_tools([get_weather], tool_choice="required"), WEATHER_QUESTION)
    (asked,) = total(chunks).tool_calls
    assert (asked["name"], asked["args"]) == ("get_weather", {"city": "Paris", "unit": "C"})
    assert sum(len(chunk.tool_call_chunks) for chunk in chunks) > 2, "the arguments came in pieces"


async def test_a_history_with_two_calls_in_one_turn(call: Caller, model: ChatLlama70B) -> None:
    """The server's template refuses such a turn, as Llama's does."""
    calls = [
        {"name": "get_weather", "args": {"city": city, "unit": "C"}, "id": f"call-{city}", "type": "tool_call"}
        for city in ("Paris", "Rome")
    ]
    history = [
        SystemMessage("Answer in one word."),
        HumanMessage("Weather in Paris and Rome?"),
        AIMessage("", tool_calls=calls),
        ToolMessage("18 degrees", tool_call_id="call-Paris"),
        ToolMessage("21 degrees", tool_call_id="call-Rome"),
    ]
    message = await call.invoke(model.bind_tools([get_weather]), history, max_tokens=4)
    assert message.usage_metadata["input_tokens"] > 200


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_structured_output(
    call: Caller, model: ChatLlama70B, method: Literal["json_schema", "function_calling"]
) -> None:
    structured = model.with_structured_output(Person, method=method)
    assert await call.invoke(structured, "Bob is 42 years old. Extract the person.") == Person(name="Bob", age=42)


async def test_structured_output_that_was_cut_says_so(call: Caller, vllm_endpoint: Endpoint) -> None:
    async with made(vllm_endpoint, max_tokens=4) as short:
        structured = short.with_structured_output(Person, include_raw=True)
        result = await call.invoke(structured, "Bob is 42 years old. Extract the person.")
    assert result["parsed"] is None
    assert result["parsing_error"] is not None
    assert result["raw"].response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [({"choice": ["lemon", "melon"]}, "lemon|melon"), ({"regex": "[0-9]{4}-[0-9]{2}"}, "[0-9]{4}-[0-9]{2}")],
    ids=["choice", "regex"],
)
async def test_structured_outputs(call: Caller, model: ChatLlama70B, constraint: dict[str, Any], pattern: str) -> None:
    """Neither is what the model would say to that question by itself."""
    message = await call.invoke(model, QUESTION, structured_outputs=constraint)
    whole = total(await call.stream(model, QUESTION, structured_outputs=constraint))
    assert re.fullmatch(pattern, message.text)
    assert re.fullmatch(pattern, whole.text)


async def test_a_bad_constraint_is_refused_in_the_servers_words(call: Caller, model: ChatLlama70B) -> None:
    for way in (call.invoke, call.stream):
        with pytest.raises(ModelInvalidRequestError, match="unclosed group"):
            await way(model, QUESTION, structured_outputs={"regex": "(unclosed"})


async def test_token_counts_are_the_servers(call: Caller, model: ChatLlama70B) -> None:
    messages = [SystemMessage("Be brief."), HumanMessage(WEATHER_QUESTION)]
    message = await call.invoke(model.bind_tools([get_weather]), messages, max_tokens=1)
    assert model.get_num_tokens_from_messages(messages, tools=[get_weather]) == message.usage_metadata["input_tokens"]
    assert model.get_num_tokens("Hello world") == 2


async def test_prompt_over_the_window(call: Caller, model: ChatLlama70B) -> None:
    for way in (call.invoke, call.stream):
        with pytest.raises(ContextOverflowError, match="4096"):
            await way(model, "word " * 4100)


async def test_wrong_key(call: Caller, vllm_endpoint: Endpoint) -> None:
    async with made(vllm_endpoint, api_key="not-the-key") as stranger:
        for way in (call.invoke, call.stream):
            with pytest.raises(ModelAuthenticationError) as caught:
                await way(stranger, QUESTION)
            assert "not-the-key" not in f"{caught.value} {caught.value!r}"


async def test_unknown_model_names_what_is_served(call: Caller, model: ChatLlama70B) -> None:
    for way in (call.invoke, call.stream):
        with pytest.raises(ModelNotFoundError, match=re.escape(model.model)):
            await way(model, QUESTION, model="no-such-model")
