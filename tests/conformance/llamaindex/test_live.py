"""`Llama70B` in users' programs on real engines: vLLM on a CPU, and the local engine, with the same 135M model.

What is asserted is what the wire and the constraints guarantee, and the few facts so small a model gets right; the
quality of its prose is nobody's claim.
"""

# Annotations stay objects in this file: FunctionTool cannot resolve them from text.
import math
import re
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any, Literal

import pytest
from llama_index.core import Document, Settings, SummaryIndex
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from llama70b import Endpoint
from llamaindex_llama70b import (
    REACT_STOP,
    AuthenticationError,
    ContextOverflow,
    Llama70B,
    NotFound,
    OutputTruncated,
    recommended_memory,
    recommended_settings,
)

ENGINES = [
    pytest.param("local_endpoint", marks=pytest.mark.engine, id="local"),
    pytest.param("vllm_endpoint", marks=[pytest.mark.vllm, pytest.mark.timeout(300, func_only=True)], id="vllm"),
]
QUESTION = "What is the capital of France?"
WEATHER_QUESTION = "What is the weather in Paris in C?"

# llama-index-workflows asks agents, which are pydantic models, for all their attributes, pydantic's old ones too;
# core's ReActAgent asks for a deprecated property in every step.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(The `__fields|Accessing the 'model_|is_running called from within a step):DeprecationWarning"
)


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=120)


class Fruit(Enum):
    LEMON = "lemon"
    MELON = "melon"


def get_weather(city: str, unit: Literal["C", "F"]) -> str:
    """Get the weather of a city."""
    return f"{city}: 18 {unit}"


WEATHER = FunctionTool.from_defaults(get_weather)


@pytest.fixture(params=ENGINES)
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Endpoint)
    return found


def made(endpoint: Endpoint, **options: Any) -> Llama70B:
    given = {"api_key": endpoint.api_key, "temperature": 0, "max_tokens": 24, "progress_bar": False, **options}
    return Llama70B(endpoint.model, base_url=endpoint.base_url, **given)


@pytest.fixture
async def llm(endpoint: Endpoint) -> AsyncIterator[Llama70B]:
    model = made(endpoint)
    before = Settings._llm
    Settings.llm = model
    yield model
    Settings._llm = before
    model.close()
    await model.aclose()


async def both(llm: Llama70B, method: str, *args: Any, **kwargs: Any) -> list[Any]:
    """Return what the method and its async twin return."""
    return [getattr(llm, method)(*args, **kwargs), await getattr(llm, f"a{method}")(*args, **kwargs)]


async def streams(llm: Llama70B, method: str, *args: Any, **kwargs: Any) -> list[list[Any]]:
    """Return the elements of the stream and of its async twin."""
    awaited = await getattr(llm, f"a{method}")(*args, **kwargs)
    return [list(getattr(llm, method)(*args, **kwargs)), [element async for element in awaited]]


class TestAnswers:
    async def test_four_ways_say_the_same(self, llm: Llama70B) -> None:
        messages = [ChatMessage(QUESTION)]
        answers = [a.message.content for a in await both(llm, "chat", messages)]
        answers += [a.text for a in await both(llm, "complete", QUESTION)]
        answers += [elements[-1].message.content for elements in await streams(llm, "stream_chat", messages)]
        answers += ["".join(e.delta for e in elements) for elements in await streams(llm, "stream_complete", QUESTION)]
        assert answers == ["The capital of France is Paris."] * 8

    async def test_usage_everywhere(self, llm: Llama70B) -> None:
        counter = TokenCountingHandler()
        llm.callback_manager = CallbackManager([counter])
        exact = llm.count_tokens([ChatMessage(QUESTION)]).count
        llm.complete(QUESTION, max_tokens=4)
        list(llm.stream_complete(QUESTION, max_tokens=4))
        assert counter.prompt_llm_token_count == 2 * exact
        assert counter.completion_llm_token_count == 8

    async def test_logprobs(self, llm: Llama70B) -> None:
        for answer in await both(llm, "chat", [ChatMessage(QUESTION)], logprobs=True, top_logprobs=2, max_tokens=4):
            assert len(answer.logprobs) == 4
            assert "".join(token[0].token for token in answer.logprobs) == answer.message.content
            assert all(math.exp(token[0].logprob) <= 1 for token in answer.logprobs)
            assert all(len(token) >= 2 for token in answer.logprobs)

    async def test_metadata(self, llm: Llama70B) -> None:
        assert llm.metadata.context_window == 4096 - 48

    async def test_finish_reasons(self, llm: Llama70B) -> None:
        assert llm.complete(QUESTION, max_tokens=2).additional_kwargs["finish_reason"] == "length"
        stopped = llm.complete(QUESTION, stop=[" France"])
        assert stopped.text == "The capital of"
        assert stopped.additional_kwargs["stop_reason"] == " France"

    async def test_constraints(self, llm: Llama70B) -> None:
        for answer in await both(llm, "complete", "Name a fruit.", choice=Fruit):
            assert answer.text in {"lemon", "melon"}
        for elements in await streams(llm, "stream_complete", "A month?", regex="[0-9]{4}-[01][0-9]"):
            assert re.fullmatch("[0-9]{4}-[01][0-9]", elements[-1].text)
        assert llm.complete("Speak.", grammar='root ::= "quack" | "moo"').text in {"quack", "moo"}
        answer = llm.complete("Bob is 42.", json_schema=Person.model_json_schema())
        assert Person.model_validate_json(answer.text)

    async def test_leaving_a_stream_early_leaves_the_engine_usable(self, llm: Llama70B) -> None:
        for _ in range(3):
            stream = llm.stream_complete("Count to one hundred.", max_tokens=200)
            next(stream)
            stream.close()
        assert llm.complete(QUESTION).text == "The capital of France is Paris."


class TestRefusals:
    async def test_typed(self, endpoint: Endpoint) -> None:
        with pytest.raises(AuthenticationError):
            made(endpoint, api_key="not-the-key").complete("hi")
        with pytest.raises(NotFound, match=re.escape(endpoint.model)):
            made(endpoint).complete("hi", model="no-such-model")

    @pytest.mark.parametrize("guard", ["error", "off"])
    async def test_too_long(self, endpoint: Endpoint, guard: Any) -> None:
        with pytest.raises(ContextOverflow) as caught:
            made(endpoint, context_guard=guard).complete("word " * 4200)
        assert caught.value.max_model_len == 4096

    async def test_trimmed(self, endpoint: Endpoint) -> None:
        turns = [ChatMessage(role=role, content="word " * 100) for role in ("user", "assistant")] * 4
        llm = made(
            endpoint, context_guard="trim", max_tokens=4, context_window=500
        )  # a long prompt takes a CPU minutes
        answer = llm.chat([*turns, ChatMessage(QUESTION)])
        assert 0 < answer.additional_kwargs["prompt_tokens"] < 500
        llm.close()


class TestTools:
    @pytest.mark.parametrize("how", [{"tool_required": True}, {"tool_choice": "get_weather"}])
    async def test_forced(self, llm: Llama70B, how: dict[str, Any]) -> None:
        given = {"tools": [WEATHER], "user_msg": WEATHER_QUESTION, "max_tokens": 48, **how}
        answers = await both(llm, "chat_with_tools", **given)
        answers += [elements[-1] for elements in await streams(llm, "stream_chat_with_tools", **given)]
        for answer in answers:
            (call,) = llm.get_tool_calls_from_response(answer)
            assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Paris", "unit": "C"})

    async def test_cut_off(self, llm: Llama70B) -> None:
        given = {"tools": [WEATHER], "user_msg": WEATHER_QUESTION, "tool_required": True, "max_tokens": 10}
        answers = [*await both(llm, "chat_with_tools", **given)]
        answers += [elements[-1] for elements in await streams(llm, "stream_chat_with_tools", **given)]
        for answer in answers:
            with pytest.raises(OutputTruncated):
                llm.get_tool_calls_from_response(answer)

    async def test_a_conversation_with_results(self, llm: Llama70B) -> None:
        asked = llm.chat_with_tools([WEATHER], user_msg=WEATHER_QUESTION, tool_required=True, max_tokens=48)
        told = ChatMessage(role="tool", content="18 C", additional_kwargs={"tool_call_id": "x"})
        answer = llm.chat([ChatMessage(WEATHER_QUESTION), asked.message, told], tools=[WEATHER], tool_choice="none")
        assert answer.additional_kwargs["completion_tokens"] > 0


class TestStructured:
    ASK = PromptTemplate("Bob is 42 years old. Extract the person.")
    BOB = Person(name="Bob", age=42)

    @pytest.mark.parametrize("mode", ["default", "function"])
    async def test_predict(self, endpoint: Endpoint, mode: Any) -> None:
        llm = made(endpoint, pydantic_program_mode=mode, max_tokens=64)
        results = await both(llm, "structured_predict", Person, self.ASK)
        results += [elements[-1] for elements in await streams(llm, "stream_structured_predict", Person, self.ASK)]
        assert results == [self.BOB] * 4
        await llm.aclose()
        llm.close()

    async def test_structured_llm(self, llm: Llama70B) -> None:
        structured = llm.as_structured_llm(Person)
        messages = [ChatMessage(self.ASK.format())]
        answer = structured.chat(messages)
        assert answer.raw == self.BOB
        assert answer.additional_kwargs["completion_tokens"] > 0
        elements = list(structured.stream_chat(messages))
        assert elements[-1].raw == self.BOB
        assert "".join(e.delta for e in elements) == elements[-1].message.content

    async def test_cut_off(self, llm: Llama70B) -> None:
        with pytest.raises(OutputTruncated):
            llm.structured_predict(Person, self.ASK, llm_kwargs={"max_tokens": 4})


class TestPrograms:
    async def test_function_agent(self, llm: Llama70B) -> None:
        llm.max_tokens = 48  # room for the arguments
        agent = FunctionAgent(tools=[WEATHER], llm=llm, initial_tool_choice="get_weather")
        answer, events = await self.run(agent, WEATHER_QUESTION)
        results = [event for event in events if isinstance(event, ToolCallResult)]
        assert results[0].tool_output.content == "Paris: 18 C"
        assert str(answer).strip()
        assert any(isinstance(event, AgentStream) for event in events)

    async def test_agent_workflow(self, llm: Llama70B) -> None:
        answer, events = await self.run(AgentWorkflow.from_tools_or_functions([WEATHER], llm=llm), "Say hello.")
        assert str(answer).strip()
        assert events

    async def test_react_agent_runs_to_an_end(self, endpoint: Endpoint) -> None:
        """The 135M model does not keep to ReAct's format; the loop must still end."""
        llm = made(endpoint, stop=list(REACT_STOP), max_tokens=12)
        agent = ReActAgent(tools=[WEATHER], llm=llm, early_stopping_method="generate")
        answer, _ = await self.run(agent, "Say hello.", max_iterations=2)
        assert str(answer) is not None
        await llm.aclose()

    async def test_chat_engine(self, llm: Llama70B) -> None:
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=recommended_memory(llm))
        assert "Paris" in str(engine.chat(QUESTION))
        assert "".join(engine.stream_chat("And of Italy?").response_gen).strip()
        assert (await engine.achat("Thank you.")).response.strip()

    @pytest.mark.parametrize(
        "mode",
        [
            ResponseMode.COMPACT,
            ResponseMode.REFINE,
            ResponseMode.TREE_SUMMARIZE,
            ResponseMode.SIMPLE_SUMMARIZE,
            ResponseMode.ACCUMULATE,
            ResponseMode.COMPACT_ACCUMULATE,
        ],
    )
    async def test_summary_index(self, llm: Llama70B, mode: ResponseMode) -> None:
        recommended_settings(llm).apply(llm)
        text = "The capital of France is Paris. Paris lies on the Seine. " * 12
        index = SummaryIndex.from_documents([Document(text=text), Document(text="Rome is the capital of Italy.")])
        answer = index.as_query_engine(response_mode=mode, llm=llm).query(QUESTION)
        assert str(answer).strip()
        assert answer.source_nodes

    @staticmethod
    async def run(agent: Any, question: str, **kwargs: Any) -> tuple[Any, list[Any]]:
        handler = agent.run(question, **kwargs)
        events = [event async for event in handler.stream_events()]
        return await handler, events
