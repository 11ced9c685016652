"""What comes back, in each of the four ways to ask."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.tools import tool

from langchain_llama70b import ChatLlama70B, ConfigurationError
from tests.unit.scripted_server import MODEL, Answer, ScriptedServer, error

Make = Callable[..., ChatLlama70B]
Ask = Callable[..., Any]


@tool
def weather(city: str, unit: str = "C") -> str:
    """Tell the weather."""
    return f"{city}: 20 {unit}"


async def test_text_usage_and_metadata(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("Hello there", usage=(11, 2), stop_reason="END", metrics={"queue_time_ms": 1.5}))
    message = await ask(llm)
    assert message.content == "Hello there"
    assert message.usage_metadata == {"input_tokens": 11, "output_tokens": 2, "total_tokens": 13}
    metadata = message.response_metadata
    assert metadata["model_name"] == MODEL
    assert metadata["model_provider"] == llm._get_ls_params()["ls_provider"] == "llama70b"
    assert metadata["finish_reason"] == "stop"
    assert metadata["stop_reason"] == "END"
    assert metadata["system_fingerprint"] == "vllm-scripted"
    assert metadata["metrics"] == {"queue_time_ms": 1.5}
    assert metadata["id"] == "chatcmpl-scripted"
    assert metadata["request_id"] == scripted.chats[0].headers["x-request-id"]
    assert metadata["timing"]["attempts"] == 1
    assert metadata["timing"]["cold_start_s"] == 0.0
    assert 0 < metadata["timing"]["first_token_s"] <= metadata["timing"]["total_s"]


@pytest.mark.parametrize("cumulative", [False, True])
async def test_usage_is_on_one_chunk_with_details(
    ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, cumulative: bool
) -> None:
    scripted.answer(Answer("a b c d", usage=(200, 4), cached_tokens=128, cumulative_usage=cumulative))
    message = await ask(llm)
    assert message.usage_metadata == {
        "input_tokens": 200,
        "output_tokens": 4,
        "total_tokens": 204,
        "input_token_details": {"cache_read": 128},
    }
    chunks = list(llm.stream("hi"))
    assert [chunk.usage_metadata is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].chunk_position == "last"
    assert "".join(str(chunk.content) for chunk in chunks) == "a b c d"


async def test_a_server_that_reports_no_usage(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("Hello", usage=None))
    assert (await ask(llm)).usage_metadata is None


async def test_tool_calls(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer(tool_calls=[("weather", '{"city": "Köln", "unit": "F"}')]))
    message = await ask(llm.bind_tools([weather]))
    (call,) = message.tool_calls
    assert call == {
        "name": "weather",
        "args": {"city": "Köln", "unit": "F"},
        "id": "chatcmpl-tool-0",
        "type": "tool_call",
    }
    assert message.response_metadata["finish_reason"] == "tool_calls"
    sent = scripted.bodies[0]
    assert sent["parallel_tool_calls"] is False
    assert sent["tools"][0]["function"]["strict"] is True
    assert "tool_choice" not in sent


async def test_malformed_arguments_stay_visible(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer(tool_calls=[("weather", "[1, 2]")]))
    message = await ask(llm.bind_tools([weather]))
    assert message.tool_calls == []
    assert [call["args"] for call in message.invalid_tool_calls] == ["[1, 2]"]


async def test_thoughts(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("Yes.", reasoning="Let me think. "))
    message = await ask(llm)
    assert message.content == "Yes."
    assert message.additional_kwargs["reasoning_content"] == "Let me think. "
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


async def test_logprobs(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("a b", pieces=["a ", "b"], logprobs=[("a ", -0.5), ("b", -1.5)]))
    message = await ask(llm, logprobs=True, top_logprobs=2)
    assert [entry["token"] for entry in message.response_metadata["logprobs"]["content"]] == ["a ", "b"]
    assert scripted.bodies[0]["logprobs"] is True
    assert scripted.bodies[0]["top_logprobs"] == 2


async def test_per_call_arguments_beat_the_constructor(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    llm = make(temperature=0.9, max_tokens=99, stop=["X"], seed=1, top_p=0.5, top_k=5, extra_body={"min_p": 0.1})
    await ask(llm)
    await ask(llm, temperature=0, max_tokens=7, stop=["Y", "Z"], seed=2, top_k=9, min_p=0.3, model="other")
    first, second = scripted.bodies
    assert (first["temperature"], first["max_tokens"], first["stop"], first["seed"]) == (0.9, 99, ["X"], 1)
    assert (first["top_k"], first["min_p"], first["top_p"], first["model"]) == (5, 0.1, 0.5, MODEL)
    assert (second["temperature"], second["max_tokens"], second["stop"], second["seed"]) == (0, 7, ["Y", "Z"], 2)
    assert (second["top_k"], second["min_p"], second["top_p"], second["model"]) == (9, 0.3, 0.5, "other")


async def test_an_empty_stop_sends_none(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    await ask(make(stop=["X"]), stop=[])
    assert "stop" not in scripted.bodies[0]


async def test_the_servers_defaults_are_left_alone(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    await ask(llm)
    assert set(scripted.bodies[0]) <= {"model", "messages", "stream", "stream_options"}


async def test_timeout_of_a_call(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("slow answer indeed", pause_s=0.4))
    if (await ask(make(timeout=30))).content != "slow answer indeed":
        pytest.fail("the constructor's limit was long enough")
    scripted.answer(lambda _: (time.sleep(0.6), Answer("late"))[1])
    with pytest.raises(TimeoutError):
        await ask(make(timeout=30), timeout=0.2)


def test_several_answers(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("Hello", n=3))
    (generations,) = llm.generate([[HumanMessage("hi")]], n=3).generations
    assert [generation.text for generation in generations] == ["Hello"] * 3
    assert scripted.bodies[0]["n"] == 3
    with pytest.raises(ConfigurationError, match="n is 3 in a stream"):
        list(llm.stream("hi", n=3))


async def test_a_batch_adds_up_usage(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("Hello", usage=(10, 2)))
    result = llm.generate([[HumanMessage("a")], [HumanMessage("b")]])
    assert result.llm_output is not None
    assert result.llm_output["token_usage"] == {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}
    result = await llm.agenerate([[HumanMessage("a")], [HumanMessage("b")], [HumanMessage("c")]])
    assert result.llm_output is not None
    assert result.llm_output["token_usage"]["total_tokens"] == 36


async def test_usage_callback_counts(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("Hello", usage=(10, 2), cached_tokens=3))
    handler = UsageMetadataCallbackHandler()
    for _ in range(2):
        await ask(llm, config={"callbacks": [handler]})
    assert handler.usage_metadata[MODEL]["total_tokens"] == 24
    assert handler.usage_metadata[MODEL]["input_token_details"] == {"cache_read": 6}


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
async def test_cache_is_per_endpoint_and_parameters(make: Make, scripted: ScriptedServer, call: str) -> None:
    cache = InMemoryCache()
    other = ScriptedServer()
    try:
        scripted.say("one")
        other.say("two")
        models = [make(cache=cache), make(cache=cache, base_url=other.url), make(cache=cache, temperature=0.5)]
        answers = [await llm.ainvoke("hi") if call == "ainvoke" else llm.invoke("hi") for llm in models * 2]
        assert [answer.content for answer in answers] == ["one", "two", "one"] * 2
        assert (len(scripted.chats), len(other.chats)) == (2, 1)
    finally:
        other.close()


class _Counting(BaseRateLimiter):
    def __init__(self) -> None:
        self.asked = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return blocking

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return blocking


async def test_rate_limiter_is_asked_once_a_call(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    limiter = _Counting()
    llm = make(rate_limiter=limiter, max_retries=2)
    scripted.answer(error(429, "slow down"), Answer("ok"))
    await ask(llm)
    assert limiter.asked == 1
    assert len(scripted.chats) == 2


@pytest.mark.parametrize(
    ("given", "tools", "streamed"),
    [
        ({}, False, True),
        ({"disable_streaming": True}, False, False),
        ({"disable_streaming": "tool_calling"}, True, False),
    ],
)
def test_disable_streaming(make: Make, scripted: ScriptedServer, given: Any, tools: bool, streamed: bool) -> None:
    llm = make(**given)
    model = llm.bind_tools([weather]) if tools else llm
    assert "".join(chunk.content for chunk in model.stream("hi")) == "ok"
    assert scripted.bodies[0]["stream"] is streamed


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
async def test_streaming_behind_invoke(make: Make, scripted: ScriptedServer, call: str) -> None:
    scripted.say("Hello there")
    for llm, given in ((make(streaming=True), {}), (make(), {"stream": True})):
        message = await llm.ainvoke("hi", **given) if call == "ainvoke" else llm.invoke("hi", **given)
        assert type(message) is AIMessage
        assert message.content == "Hello there"
        assert message.usage_metadata is not None
    assert [body["stream"] for body in scripted.bodies] == [True, True]


class _Seen(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[Any] = []
        self.ended = 0
        self.started: dict[str, Any] = {}

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self.started = kwargs

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ended += 1


async def test_callbacks(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    scripted.say("Hello there")
    seen = _Seen()
    await ask(make(temperature=0.25, max_tokens=9), config={"callbacks": [seen]}, stop=["Z"])
    assert seen.ended == 1
    assert "".join(seen.tokens) in {"", "Hello there"}
    assert seen.started["metadata"]["ls_temperature"] == 0.25
    assert seen.started["metadata"]["ls_max_tokens"] == 9
    assert seen.started["metadata"]["ls_stop"] == ["Z"]
    assert seen.started["metadata"]["ls_model_name"] == MODEL
    assert seen.started["metadata"]["lc_versions"]["llama70b"]
    assert "test-key" not in str(seen.started)


async def test_conversation_goes_out_as_it_is(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    await ask(llm, [SystemMessage("Be brief."), HumanMessage("hi", name="ann"), AIMessage("Hello."), ("human", "bye")])
    assert scripted.bodies[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi", "name": "ann"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "bye"},
    ]


def test_leaving_a_stream_hangs_up(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("one two three four five six", pause_s=0.2))
    stream = llm.stream("hi")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert scripted.left.wait(5)


async def test_leaving_an_async_stream_hangs_up(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("one two three four five six", pause_s=0.2))
    stream = llm.astream("hi")
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(scripted.left.wait, 5)
    await llm.aclose()


async def test_v1_content_keeps_streamed_tool_calls(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("Let me look.", reasoning="Hm. ", tool_calls=[("weather", '{"city": "Rome"}')]))
    message = await ask(make(output_version="v1").bind_tools([weather]))
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text", "tool_call"]
    assert isinstance(message.content, list)
    assert message.tool_calls[0]["args"] == {"city": "Rome"}
    call = next(block for block in message.content_blocks if block["type"] == "tool_call")
    assert call["args"] == {"city": "Rome"}


async def test_v1_answers_can_be_sent_back(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    scripted.answer(
        Answer("Let me look.", reasoning="Hm. ", tool_calls=[("weather", '{"city": "Rome"}')]), Answer("ok")
    )
    llm = make(output_version="v1").bind_tools([weather])
    message = await ask(llm)
    await ask(llm, [HumanMessage("hi"), message, weather.invoke(message.tool_calls[0])])
    sent = scripted.bodies[-1]["messages"]
    assert sent[1]["content"] == "Let me look."
    assert sent[1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}
    assert sent[2]["role"] == "tool"
    assert sent[2]["content"] == "Rome: 20 C"


def test_streamed_arguments_take_linear_time(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    """Doubling the arguments must not quadruple the work; merged at the end, as core does."""

    def seconds(size: int) -> float:
        scripted.answer(Answer(tool_calls=[("weather", '{"city": "' + "x" * size + '"}')]))
        best = 1e9
        for _ in range(3):
            begun = time.process_time()
            chunks = list(llm.stream("hi"))
            best = min(best, time.process_time() - begun)
        whole = chunks[0].__add__(chunks[1:])
        assert isinstance(whole, AIMessageChunk)
        assert len(whole.tool_calls[0]["args"]["city"]) == size
        return best

    seconds(500)
    assert seconds(10_000) < 8 * seconds(2_500)
