"""`Llama70B` against a real vLLM: what an application does with a LlamaIndex model, sync and async."""

# Annotations stay objects in this file: FunctionTool cannot resolve them from text.
import re
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from llama_index.core import Document, SummaryIndex
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from llama70b import Endpoint
from llama70b.errors import AuthenticationError, BadRequest, ContextOverflow, NotFound
from llamaindex_llama70b import Llama70B, OutputTruncated

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
WEATHER_QUESTION = "What is the weather in Paris in C?"
PERSON_QUESTION = PromptTemplate("Bob is 42 years old. Extract the person.")


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=120)


def get_weather(city: str, unit: Literal["C", "F"]) -> str:
    """Get the weather of a city."""
    return f"{city}: 18 {unit}"


WEATHER = FunctionTool.from_defaults(get_weather)


class Caller:
    """Calls a method of the model, or its async twin; the tests are written once."""

    def __init__(self, *, asynchronous: bool) -> None:
        self._asynchronous = asynchronous

    async def one(self, model: Llama70B, method: str, /, *args: Any, **kwargs: Any) -> Any:
        if self._asynchronous:
            return await getattr(model, f"a{method}")(*args, **kwargs)
        return getattr(model, method)(*args, **kwargs)

    async def each(self, model: Llama70B, method: str, /, *args: Any, **kwargs: Any) -> list[Any]:
        if self._asynchronous:
            return [item async for item in await getattr(model, f"a{method}")(*args, **kwargs)]
        return list(getattr(model, method)(*args, **kwargs))

    async def both(self, model: Llama70B, /, *args: Any, **kwargs: Any) -> list[ChatResponse]:
        """The whole answer, and the last element of the streamed one."""
        return [
            await self.one(model, "chat", *args, **kwargs),
            (await self.each(model, "stream_chat", *args, **kwargs))[-1],
        ]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Caller:
    return Caller(asynchronous=request.param)


def made(endpoint: Endpoint, **options: Any) -> Llama70B:
    given = {"api_key": endpoint.api_key, "temperature": 0, "max_tokens": 48, **options}
    return Llama70B(endpoint.model, base_url=endpoint.base_url, **given)


@pytest.fixture
async def model(vllm_endpoint: Endpoint) -> AsyncIterator[Llama70B]:
    llm = made(vllm_endpoint)
    yield llm
    await llm.aclose()


def user(text: str) -> ChatMessage:
    return ChatMessage(role=MessageRole.USER, content=text)


async def test_chat_and_complete(call: Caller, model: Llama70B) -> None:
    chat = await call.one(model, "chat", [user(QUESTION)])
    complete = await call.one(model, "complete", QUESTION)
    assert chat.message.content == complete.text == ANSWER
    for response in (chat, complete):
        assert response.additional_kwargs["completion_tokens"] == 8
        assert response.additional_kwargs["finish_reason"] == "stop"
        assert response.raw["usage"]["prompt_tokens"] == response.additional_kwargs["prompt_tokens"]


async def test_streams(call: Caller, model: Llama70B) -> None:
    chat = await call.each(model, "stream_chat", [user(QUESTION)])
    complete = await call.each(model, "stream_complete", QUESTION)
    assert len(chat) > 4
    assert "".join(element.delta for element in chat) == chat[-1].message.content == ANSWER
    assert "".join(element.delta for element in complete) == complete[-1].text == ANSWER
    for last in (chat[-1], complete[-1]):
        assert last.additional_kwargs["completion_tokens"] == 8
        assert last.additional_kwargs["finish_reason"] == "stop"


async def test_metadata_is_the_servers(model: Llama70B) -> None:
    assert 4000 < model.metadata.context_window < 4096
    assert model.metadata.is_function_calling_model


async def test_options_of_the_call_beat_the_constructors(call: Caller, model: Llama70B, vllm_model_alias: str) -> None:
    cut = await call.one(model, "chat", [user(QUESTION)], max_tokens=3, model=vllm_model_alias)
    assert (cut.message.content, cut.additional_kwargs["finish_reason"]) == ("The capital of", "length")
    stopped = await call.one(model, "complete", QUESTION, stop=["of"])
    assert stopped.text == "The capital "


@pytest.mark.parametrize("choice", [{"tool_required": True}, {"tool_choice": "get_weather"}], ids=["required", "named"])
async def test_forced_tool_call(call: Caller, model: Llama70B, choice: dict[str, Any]) -> None:
    whole = await call.one(model, "chat_with_tools", [WEATHER], WEATHER_QUESTION, **choice)
    streamed = await call.each(model, "stream_chat_with_tools", [WEATHER], WEATHER_QUESTION, **choice)
    assert len(streamed) > 3, "the arguments came in pieces"
    for response in (whole, streamed[-1]):
        (asked,) = model.get_tool_calls_from_response(response)
        assert (asked.tool_name, asked.tool_kwargs) == ("get_weather", {"city": "Paris", "unit": "C"})
        assert asked.tool_id


async def test_predict_and_call_runs_the_tool(call: Caller, model: Llama70B) -> None:
    answer = await call.one(model, "predict_and_call", [WEATHER], WEATHER_QUESTION, tool_required=True)
    assert answer.response == "Paris: 18 C"


async def test_structured_predict(call: Caller, model: Llama70B) -> None:
    expected = Person(name="Bob", age=42)
    assert await call.one(model, "structured_predict", Person, PERSON_QUESTION) == expected
    growing = await call.each(model, "stream_structured_predict", Person, PERSON_QUESTION)
    assert len(growing) > 1
    assert growing[-1] == expected


async def test_structured_output_that_was_cut_says_so(call: Caller, vllm_endpoint: Endpoint) -> None:
    short = made(vllm_endpoint, max_tokens=4)
    with pytest.raises(OutputTruncated):
        await call.one(short, "structured_predict", Person, PERSON_QUESTION)
    await short.aclose()


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [({"choice": ["lemon", "melon"]}, "lemon|melon"), ({"regex": "[0-9]{4}-[0-9]{2}"}, "[0-9]{4}-[0-9]{2}")],
    ids=["choice", "regex"],
)
async def test_structured_outputs(call: Caller, model: Llama70B, constraint: dict[str, Any], pattern: str) -> None:
    """Neither is what the model would say to that question by itself."""
    for response in await call.both(model, [user(QUESTION)], structured_outputs=constraint):
        assert re.fullmatch(pattern, response.message.content or "")


async def test_a_bad_constraint_is_refused_in_the_servers_words(call: Caller, model: Llama70B) -> None:
    for way, method in ((call.one, "chat"), (call.each, "stream_chat")):
        with pytest.raises(BadRequest, match="unclosed group"):
            await way(model, method, [user(QUESTION)], structured_outputs={"regex": "(unclosed"})


async def test_token_counts_are_the_servers(call: Caller, model: Llama70B) -> None:
    messages = [ChatMessage(role=MessageRole.SYSTEM, content="Be brief."), user(QUESTION)]
    count = await call.one(model, "count_tokens", messages)
    response = await call.one(model, "chat", messages, max_tokens=1)
    assert count.count == response.additional_kwargs["prompt_tokens"]
    assert count.max_model_len == 4096


@pytest.mark.parametrize("guard", ["error", "off"], ids=["refused-here", "refused-by-the-server"])
async def test_prompt_over_the_window(call: Caller, vllm_endpoint: Endpoint, guard: str) -> None:
    model = made(vllm_endpoint, context_guard=guard)
    for way, method in ((call.one, "chat"), (call.each, "stream_chat")):
        with pytest.raises(ContextOverflow) as caught:
            await way(model, method, [user("word " * 4100)])
        assert caught.value.max_model_len == 4096
        assert caught.value.prompt_tokens is not None
        assert caught.value.prompt_tokens > 4096
    await model.aclose()


async def test_wrong_key(call: Caller, vllm_endpoint: Endpoint) -> None:
    stranger = made(vllm_endpoint, api_key="not-the-key")
    for way, method in ((call.one, "chat"), (call.each, "stream_chat")):
        with pytest.raises(AuthenticationError) as caught:
            await way(stranger, method, [user(QUESTION)])
        assert "not-the-key" not in f"{caught.value} {caught.value!r}"
    await stranger.aclose()


async def test_unknown_model_names_what_is_served(call: Caller, model: Llama70B) -> None:
    for way, method in ((call.one, "chat"), (call.each, "stream_chat")):
        with pytest.raises(NotFound, match=re.escape(model.model)):
            await way(model, method, [user(QUESTION)], model="no-such-model")


async def test_query_engine_over_a_summary_index(model: Llama70B) -> None:
    """Core's packing, our window, a real answer."""
    index = SummaryIndex.from_documents([Document(text="The capital of France is Paris.")])
    response = await index.as_query_engine(llm=model).aquery(QUESTION)
    assert "Paris" in str(response)
