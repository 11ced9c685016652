"""Live behaviours of tools, structured output, agents and engines."""

# ruff: noqa: PLR2004 - numbers of tokens

# Annotations stay objects in this file: FunctionTool cannot resolve them from text.
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from llama_index.core import Document, Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import BaseModel, Field, ValidationError
from llama_index.core.chat_engine import CondensePlusContextChatEngine, SimpleChatEngine
from llama_index.core.prompts import PromptTemplate
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.tools import FunctionTool
from llama_index.core.types import PydanticProgramMode

from llamaindex_llama70b.testing._embedding import WordEmbedding
from llamaindex_llama70b.testing._live import QUESTION, Live
from llamaindex_llama70b.testing._suite import Make, failure, refused, run, usage_of

ASK = PromptTemplate("Bob is 42 years old and lives in Oslo, Norway. Extract the person.")
WEATHER_QUESTION = "What is the weather in Paris in C?"
FACTS = "The capital of France is Paris. Paris lies on the Seine. " * 8
Short = Annotated[str, Field(max_length=16)]


class Unit(Enum):
    """A unit of temperature."""

    CELSIUS = "C"
    FAHRENHEIT = "F"


class Place(BaseModel):
    """A place."""

    town: Short
    country: Short


class Plain(BaseModel):
    """A person."""

    name: Short
    age: int = Field(ge=0, le=120)


class Nested(BaseModel):
    """A person and a home."""

    name: Short
    home: Place


class Weather(BaseModel):
    """A kind of weather."""

    unit: Unit
    sky: Literal["clear", "cloudy"]


class Names(BaseModel):
    """Some names."""

    names: list[Short] = Field(min_length=1, max_length=3)


class Different(BaseModel):
    """Some different names."""

    names: set[Short] = Field(min_length=1, max_length=2)


def get_weather(city: Short, unit: Literal["C", "F"]) -> str:
    """Get the weather of a city."""
    return f"{city}: 18 {unit}"


def move(person: Nested) -> str:
    """Move a person to a new home."""
    return f"moved {person}"


WEATHER = FunctionTool.from_defaults(get_weather, name="get_weather")
MOVE = FunctionTool.from_defaults(move, name="move", fn_schema=Nested)


class LiveOutput(Live):
    """Tools and structured output of a real server."""

    def test_live_required_tool(self, llm: Any) -> None:
        """`tool_required` gives a call with arguments of the tool's schema."""
        answer = llm.chat_with_tools([WEATHER], user_msg=WEATHER_QUESTION, tool_required=True, max_tokens=64)
        self.check_weather(llm, answer)

    def test_live_required_tool_streamed(self, llm: Any) -> None:
        """`tool_required` gives a call in a stream."""
        given = {"user_msg": WEATHER_QUESTION, "tool_required": True, "max_tokens": 64}
        self.check_weather(llm, list(llm.stream_chat_with_tools([WEATHER], **given))[-1])

    def test_live_required_tool_async(self, llm: Any) -> None:
        """`tool_required` gives a call when awaited."""
        given = {"user_msg": WEATHER_QUESTION, "tool_required": True, "max_tokens": 64}
        self.check_weather(llm, run(llm, lambda: llm.achat_with_tools([WEATHER], **given)))

    def test_live_named_tool(self, llm: Any) -> None:
        """`tool_choice` by name gives a call of that tool."""
        given = {"user_msg": WEATHER_QUESTION, "tool_choice": "get_weather", "max_tokens": 64}
        self.check_weather(llm, llm.chat_with_tools([MOVE, WEATHER], **given))

    def test_live_nested_arguments(self, llm: Any) -> None:
        """Arguments of a tool with a nested schema fit it: the server was told to hold them to it."""
        given = {"user_msg": ASK.template, "tool_required": True, "max_tokens": 128}
        (call,) = llm.get_tool_calls_from_response(llm.chat_with_tools([MOVE], **given))
        Nested.model_validate(call.tool_kwargs)

    def test_live_auto_tool_streamed(self, llm: Any) -> None:
        """A stream with tools merely offered ends in text or in a call."""
        last = list(llm.stream_chat_with_tools([WEATHER], user_msg=WEATHER_QUESTION))[-1]
        assert last.message.content or llm.get_tool_calls_from_response(last, error_on_no_tool_call=False)

    def test_live_no_tool_allowed(self, llm: Any) -> None:
        """`tool_choice="none"` gives no call."""
        answer = llm.chat_with_tools([WEATHER], user_msg=WEATHER_QUESTION, tool_choice="none", max_tokens=8)
        assert not llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)

    def test_live_tool_result(self, llm: Any) -> None:
        """A call and its result go back to the server."""
        asked = llm.chat_with_tools([WEATHER], user_msg=WEATHER_QUESTION, tool_required=True, max_tokens=64)
        (call,) = llm.get_tool_calls_from_response(asked)
        told = ChatMessage(role="tool", content="18 C", additional_kwargs={"tool_call_id": call.tool_id})
        assert usage_of(llm.chat([ChatMessage(WEATHER_QUESTION), asked.message, told]))[1] > 0

    def test_live_cut_off_call(self, llm: Any) -> None:
        """A forced call that `max_tokens` cut off is an error where a call is demanded."""
        given = {"user_msg": WEATHER_QUESTION, "tool_required": True, "max_tokens": 9}
        answer = llm.chat_with_tools([WEATHER], **given)
        assert isinstance(failure(lambda: llm.get_tool_calls_from_response(answer)), ValueError)

    @pytest.mark.parametrize("kind", [Plain, Nested, Weather, Names, Different])
    def test_live_structured(self, make: Make, kind: Any) -> None:
        """`structured_predict`: plain, nested, enum and literal, list, set."""
        assert isinstance(make(max_tokens=96).structured_predict(kind, ASK), kind)

    def test_live_structured_async(self, make: Make) -> None:
        """`astructured_predict` gives the same object."""
        llm = make(max_tokens=96)
        assert run(llm, lambda: llm.astructured_predict(Plain, ASK)) == llm.structured_predict(Plain, ASK)

    def test_live_structured_streamed(self, make: Make) -> None:
        """`stream_structured_predict` ends in the whole object."""
        llm = make(max_tokens=96)
        last = list(llm.stream_structured_predict(Nested, ASK))[-1]
        assert isinstance(Nested.model_validate(last.model_dump()), Nested)

    def test_live_structured_llm(self, make: Make) -> None:
        """`as_structured_llm` gives the object and what it cost."""
        answer = make(max_tokens=96).as_structured_llm(Plain).chat([ChatMessage(ASK.template)])
        assert isinstance(answer.raw, Plain)
        assert answer.additional_kwargs["completion_tokens"] > 0

    def test_live_structured_llm_streamed(self, make: Make) -> None:
        """Deltas of `as_structured_llm` make up the object's JSON."""
        stream = make(max_tokens=96).as_structured_llm(Plain).stream_chat([ChatMessage(ASK.template)])
        Plain.model_validate_json("".join(element.delta or "" for element in stream))

    def test_live_mode_function(self, make: Make) -> None:
        """`PydanticProgramMode.FUNCTION` gives the object by a tool."""
        llm = make(max_tokens=96, pydantic_program_mode=PydanticProgramMode.FUNCTION)
        assert isinstance(llm.structured_predict(Nested, ASK), Nested)

    def test_live_mode_llm(self, make: Make) -> None:
        """`PydanticProgramMode.LLM` is not refused by the server; what a weak model writes may not parse."""
        llm = make(max_tokens=96, pydantic_program_mode=PydanticProgramMode.LLM)
        said = refused(lambda: llm.structured_predict(Plain, ASK))
        assert said is None or "tool" not in said

    def test_live_cut_off_object(self, llm: Any) -> None:
        """An object cut off by `max_tokens` raises an error that says so."""
        raised = failure(lambda: llm.structured_predict(Nested, ASK, llm_kwargs={"max_tokens": 4}))
        assert not isinstance(raised, ValidationError)
        assert any(word in str(raised).lower() for word in ("length", "cut", "truncat", "max_tokens"))

    @staticmethod
    def check_weather(llm: Any, answer: Any) -> None:
        """Check the one call of an answer."""
        (call,) = llm.get_tool_calls_from_response(answer)
        assert call.tool_name == "get_weather"
        assert call.tool_kwargs.keys() == {"city", "unit"}
        assert call.tool_kwargs["unit"] in {"C", "F"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class LivePrograms(Live):
    """Core's agents and engines on a real server; short, so that a small model on a CPU will do."""

    def agent(self, llm: Any, agent: Any, question: str, **kwargs: Any) -> tuple[Any, list[Any]]:
        """Run an agent to its end; return its answer and all events."""

        async def main() -> tuple[Any, list[Any]]:
            handler = agent.run(question, **kwargs)
            events = [event async for event in handler.stream_events()]
            return await handler, events

        result: tuple[Any, list[Any]] = run(llm, main)
        return result

    def test_live_function_agent(self, make: Make) -> None:
        """`FunctionAgent` runs the tool it is made to call, streams, and ends."""
        llm = make(max_tokens=64)
        agent = FunctionAgent(
            tools=[WEATHER], llm=llm, initial_tool_choice="get_weather", early_stopping_method="generate"
        )
        answer, events = self.agent(llm, agent, WEATHER_QUESTION, max_iterations=3)
        results = [event for event in events if isinstance(event, ToolCallResult)]
        assert results[0].tool_output.content.endswith((": 18 C", ": 18 F"))
        assert any(isinstance(event, AgentStream) for event in events)
        assert answer is not None

    def test_live_agent_workflow(self, llm: Any) -> None:
        """`AgentWorkflow` runs to its end."""
        answer, events = self.agent(llm, AgentWorkflow.from_tools_or_functions([WEATHER], llm=llm), "Say hello.")
        assert str(answer).strip()
        assert events

    def test_live_react_agent(self, make: Make) -> None:
        """`ReActAgent` ends, whatever the model makes of its format."""
        llm = make(max_tokens=12)
        agent = ReActAgent(tools=[WEATHER], llm=llm, early_stopping_method="generate")
        answer, _ = self.agent(llm, agent, "Say hello.", max_iterations=2)
        assert answer is not None

    @pytest.mark.parametrize("mode", [ResponseMode.COMPACT, ResponseMode.REFINE, ResponseMode.TREE_SUMMARIZE])
    def test_live_query_engine(self, llm: Any, mode: ResponseMode) -> None:
        """A query engine answers and names its sources: compact, refine, tree_summarize."""
        index = SummaryIndex.from_documents([Document(text=FACTS), Document(text="Rome is in Italy.")])
        answer = index.as_query_engine(response_mode=mode, llm=llm).query(QUESTION)
        assert str(answer).strip()
        assert len(answer.source_nodes) == 2

    def test_live_streaming_query_engine(self, llm: Any) -> None:
        """A streaming query engine yields its answer in pieces."""
        engine: Any = SummaryIndex.from_documents([Document(text=FACTS)]).as_query_engine(streaming=True, llm=llm)
        assert len(list(engine.query(QUESTION).response_gen)) > 1

    def test_live_query_engine_with_output_class(self, make: Make) -> None:
        """A query engine with `output_cls` answers with an object."""
        llm = make(max_tokens=96)
        engine: Any = SummaryIndex.from_documents([Document(text=FACTS)]).as_query_engine(llm=llm, output_cls=Place)
        answer = engine.query(QUESTION).response
        Place.model_validate(answer.model_dump())

    def test_live_chat_engine(self, llm: Any) -> None:
        """`SimpleChatEngine` holds a conversation, whole and streamed."""
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=self.memory(llm))
        assert str(engine.chat(QUESTION)).strip()
        assert "".join(engine.stream_chat("And of Italy?").response_gen).strip()

    def test_live_condense_plus_context(self, llm: Any) -> None:
        """`CondensePlusContextChatEngine` holds a conversation over an index."""
        Settings.embed_model = WordEmbedding()
        Settings.llm = llm
        retriever = VectorStoreIndex.from_documents([Document(text=FACTS)]).as_retriever(similarity_top_k=1)
        engine = CondensePlusContextChatEngine.from_defaults(retriever=retriever, llm=llm, memory=self.memory(llm))
        assert all(str(engine.chat(question)).strip() for question in (QUESTION, "On which river does it lie?"))
