"""The core client against a real vLLM: every kind of answer and refusal the package relies on, sync and async.

The model is a 135M stand-in for the wire: what it says counts only where the server constrains it, or where its answer
was measured to be stable (greedy, float32).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from llama70b import (
    AsyncClient,
    ChatRequest,
    Client,
    Completion,
    Delta,
    Endpoint,
    Message,
    NamedTool,
    StructuredOutputs,
    ToolCall,
    ToolSpec,
)
from llama70b.errors import AuthenticationError, BadRequest, ContextOverflow, NotFound

QUESTION = Message("user", "What is the capital of France?")
ANSWER = "The capital of France is Paris."
WEATHER = ToolSpec(
    "get_weather",
    "Get the weather of a city.",
    {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"type": "string", "enum": ["C", "F"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
)
WEATHER_QUESTION = Message("user", "What is the weather in Paris in C?")
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
PERSON_QUESTION = Message("user", "Bob is 42 years old. Extract the person.")


DEFAULTS: dict[str, Any] = {"temperature": 0.0, "max_tokens": 48}


async def settled(value: Any) -> Any:
    """The value, awaited if it came from the async client."""
    return await value if inspect.isawaitable(value) else value


@pytest.fixture(params=[Client, AsyncClient])
async def client(request: pytest.FixtureRequest, vllm_endpoint: Endpoint) -> AsyncIterator[Client | AsyncClient]:
    async for made in opened(request.param, vllm_endpoint):
        yield made


async def opened(kind: type[Client | AsyncClient], endpoint: Endpoint) -> AsyncIterator[Client | AsyncClient]:
    if kind is Client:
        with Client(endpoint) as sync_client:
            yield sync_client
    else:
        async with AsyncClient(endpoint) as async_client:
            yield async_client


async def asked(client: Client | AsyncClient, *messages: Message, **options: Any) -> Completion:
    request = ChatRequest(messages, **DEFAULTS | options)
    completion: Completion = await settled(client.chat(request))
    return completion


async def streamed(client: Client | AsyncClient, *messages: Message, **options: Any) -> tuple[list[Delta], Completion]:
    """All events of a stream, and the whole that the client puts together from them."""
    request = ChatRequest(messages, **DEFAULTS | options)
    stream = await settled(client.stream(request))
    deltas = [delta async for delta in stream] if hasattr(stream, "__aiter__") else list(stream)
    assert stream.completion is not None
    return deltas, stream.completion


async def test_the_checkpoint_is_right(client: Client | AsyncClient) -> None:
    """A wrong dequantisation, permutation or precision answers nonsense here."""
    completion = await asked(client, QUESTION)
    assert completion.text == ANSWER
    assert completion.finish_reason == "stop"


async def test_chat_reports_usage_metrics_and_who_answered(client: Client | AsyncClient) -> None:
    completion = await asked(client, QUESTION)
    count = await settled(client.count_tokens(ChatRequest((QUESTION,))))
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == count.count
    assert completion.usage.completion_tokens == 8
    assert completion.model == client.endpoint.model
    assert completion.metrics is not None
    assert completion.metrics["time_to_first_token_ms"] > 0
    assert completion.request_id is not None
    assert completion.request_id in completion.id


async def test_stream_is_the_chat_answer_in_pieces_with_usage_once(client: Client | AsyncClient) -> None:
    deltas, whole = await streamed(client, QUESTION)
    plain = await asked(client, QUESTION)
    assert "".join(delta.content for delta in deltas) == whole.text == plain.text
    assert sum(bool(delta.content) for delta in deltas) > 3
    assert [delta.usage for delta in deltas if delta.usage] == [whole.usage]
    assert whole.usage is not None
    assert plain.usage is not None
    assert whole.usage.as_dict() == plain.usage.as_dict()
    assert whole.finish_reason == "stop"


async def test_a_cut_answer_says_length(client: Client | AsyncClient) -> None:
    assert (await asked(client, QUESTION, max_tokens=3)).finish_reason == "length"
    _, whole = await streamed(client, QUESTION, max_tokens=3)
    assert (whole.text, whole.finish_reason) == ("The capital of", "length")


async def test_stop_text_and_what_stopped_it(client: Client | AsyncClient) -> None:
    plain = await asked(client, QUESTION, stop=("of",))
    _, whole = await streamed(client, QUESTION, stop=("of",))
    for completion in (plain, whole):
        assert completion.text == "The capital "
        assert completion.choices[0].stop_reason == "of"


async def test_logprobs(client: Client | AsyncClient) -> None:
    plain = await asked(client, QUESTION, logprobs=True, top_logprobs=2)
    _, whole = await streamed(client, QUESTION, logprobs=True, top_logprobs=2)
    for completion in (plain, whole):
        logprobs = completion.choices[0].logprobs
        assert logprobs is not None
        assert "".join(entry.token for entry in logprobs).startswith(ANSWER)
        assert all(entry.logprob <= 0 and len(entry.top) == 2 for entry in logprobs)


async def test_several_answers(client: Client | AsyncClient) -> None:
    completion = await asked(client, QUESTION, n=2, temperature=1.0, seed=1, max_tokens=4)
    assert [choice.index for choice in completion.choices] == [0, 1]


@pytest.mark.parametrize("choice", ["required", NamedTool("get_weather")])
async def test_forced_tool_call(client: Client | AsyncClient, choice: str | NamedTool) -> None:
    options = {"tools": (WEATHER,), "tool_choice": choice}
    plain = await asked(client, WEATHER_QUESTION, **options)
    deltas, whole = await streamed(client, WEATHER_QUESTION, **options)
    for completion in (plain, whole):
        (call,) = completion.message.tool_calls
        assert call.name == "get_weather"
        assert call.id
        assert call.parsed() == {"city": "Paris", "unit": "C"}
        assert completion.text == ""
    assert sum(len(delta.tool_calls) for delta in deltas) > 2, "the arguments came in pieces"


async def test_tools_that_need_not_be_called(client: Client | AsyncClient) -> None:
    for choice in ("auto", "none"):
        completion = await asked(client, WEATHER_QUESTION, tools=(WEATHER,), tool_choice=choice, max_tokens=8)
        assert completion.message.tool_calls == ()
        assert completion.text


async def test_a_history_with_two_calls_in_one_turn(client: Client | AsyncClient) -> None:
    """The template, like Llama's, refuses such a turn (400): the client sends it as two."""
    calls = tuple(
        ToolCall(f"call-{city}", "get_weather", json.dumps({"city": city, "unit": "C"})) for city in ("Paris", "Rome")
    )
    history = (
        WEATHER_QUESTION,
        Message("assistant", tool_calls=calls),
        Message("tool", "18 degrees", tool_call_id="call-Paris"),
        Message("tool", "21 degrees", tool_call_id="call-Rome"),
    )
    completion = await asked(client, *history, tools=(WEATHER,), max_tokens=4)
    assert completion.usage is not None
    assert completion.usage.prompt_tokens > 200


async def test_json_schema(client: Client | AsyncClient) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "Person", "schema": PERSON, "strict": True}}
    plain = await asked(client, PERSON_QUESTION, response_format=wanted)
    _, whole = await streamed(client, PERSON_QUESTION, response_format=wanted)
    for completion in (plain, whole):
        assert json.loads(completion.text) == {"name": "Bob", "age": 42}


async def test_json_by_structured_outputs(client: Client | AsyncClient) -> None:
    completion = await asked(client, PERSON_QUESTION, structured_outputs=StructuredOutputs(json=PERSON))
    assert json.loads(completion.text) == {"name": "Bob", "age": 42}


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        (StructuredOutputs(choice=("lemon", "melon")), "lemon|melon"),
        (StructuredOutputs(regex="[0-9]{4}-[0-9]{2}-[0-9]{2}"), "[0-9]{4}-[0-9]{2}-[0-9]{2}"),
        (StructuredOutputs(grammar='root ::= "al" ("pha" | "eph")'), "alpha|aleph"),
    ],
    ids=["choice", "regex", "grammar"],
)
async def test_structured_outputs(client: Client | AsyncClient, constraint: StructuredOutputs, pattern: str) -> None:
    """None of these is what the model would say to that question by itself."""
    plain = await asked(client, QUESTION, structured_outputs=constraint)
    _, whole = await streamed(client, QUESTION, structured_outputs=constraint)
    for completion in (plain, whole):
        assert re.fullmatch(pattern, completion.text), completion.text


async def test_a_bad_constraint_is_refused_in_the_servers_words(client: Client | AsyncClient) -> None:
    """Streamed, vLLM says so in an event under HTTP 200."""
    bad = StructuredOutputs(regex="(unclosed")
    with pytest.raises(BadRequest, match="unclosed group"):
        await asked(client, QUESTION, structured_outputs=bad)
    with pytest.raises(BadRequest, match="unclosed group"):
        await streamed(client, QUESTION, structured_outputs=bad)


async def test_token_counts(client: Client | AsyncClient) -> None:
    bare = await settled(client.count_tokens(ChatRequest((WEATHER_QUESTION,))))
    with_tools = await settled(client.count_tokens(ChatRequest((WEATHER_QUESTION,), tools=(WEATHER,))))
    answer = await asked(client, WEATHER_QUESTION, tools=(WEATHER,), tool_choice="auto", max_tokens=1)
    assert answer.usage is not None
    assert bare.max_model_len == with_tools.max_model_len == 4096
    assert bare.count < with_tools.count == answer.usage.prompt_tokens


async def test_prompt_over_the_window(client: Client | AsyncClient) -> None:
    long = Message("user", "word " * 4100)
    for ask in (asked, streamed):
        with pytest.raises(ContextOverflow) as caught:
            await ask(client, long)
        assert caught.value.status == 400
        assert caught.value.max_model_len == 4096
        assert caught.value.prompt_tokens is not None
        assert caught.value.prompt_tokens > 4096


async def test_more_output_than_the_window(client: Client | AsyncClient) -> None:
    """Not an overflow: whoever catches that one shortens the prompt, and no prompt is short enough for this."""
    with pytest.raises(BadRequest, match="max_tokens=5000") as caught:
        await asked(client, QUESTION, max_tokens=5000)
    assert not isinstance(caught.value, ContextOverflow)


async def test_an_argument_the_server_refuses(client: Client | AsyncClient) -> None:
    with pytest.raises(BadRequest, match="temperature"):
        await asked(client, QUESTION, temperature=-1.0)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_wrong_key(kind: type[Client | AsyncClient], vllm_endpoint: Endpoint) -> None:
    async for client in opened(kind, replace(vllm_endpoint, api_key="not-the-key")):
        for call in (client.chat, client.stream):
            with pytest.raises(AuthenticationError) as caught:
                await settled(call(ChatRequest((QUESTION,))))
            assert caught.value.status == 401
            assert "not-the-key" not in f"{caught.value} {caught.value!r}"


async def test_unknown_model_names_what_is_served(client: Client | AsyncClient) -> None:
    with pytest.raises(NotFound, match=re.escape(client.endpoint.model)) as caught:
        await asked(client, QUESTION, model="no-such-model")
    assert "no-such-model" in str(caught.value)
    assert caught.value.status == 404


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_wrong_path(kind: type[Client | AsyncClient], vllm_endpoint: Endpoint) -> None:
    elsewhere = replace(vllm_endpoint, base_url=vllm_endpoint.base_url.removesuffix("/v1") + "/elsewhere")
    async for client in opened(kind, elsewhere):
        with pytest.raises(NotFound) as caught:
            await settled(client.chat(ChatRequest((QUESTION,))))
        assert caught.value.status == 404


async def test_models_health_and_readiness(client: Client | AsyncClient, vllm_model_alias: str) -> None:
    models = await settled(client.models())
    assert [model.id for model in models] == [client.endpoint.model, vllm_model_alias]
    assert {model.max_model_len for model in models} == {4096}
    assert await settled(client.health())
    assert await settled(client.wait_until_ready()) < 10


async def test_the_second_name(client: Client | AsyncClient, vllm_model_alias: str) -> None:
    """vLLM takes any of its names and always answers under the first."""
    completion = await asked(client, QUESTION, model=vllm_model_alias)
    assert (completion.text, completion.model) == (ANSWER, client.endpoint.model)
