"""The chain and the query engine: for models too small to call tools, with the checker's verdict whatever they say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM

from langchain_llama70b import ChatLlama70B, syllogism_chain
from llama70b.acceptance import ROSES
from llamaindex_llama70b import Llama70B, SyllogismQueryEngine
from tests.unit.scripted_server import KEY, MODEL, Answer, ScriptedServer

HARD = "All cats are wombles. Never does a womble glorp. So never does a cat glorp."
READINGS = [json.dumps({"quantifier": "no", "subject": subject, "predicate": "glorp"}) for subject in ("womble", "cat")]
OUTSIDE = "Most roses are flowers. All flowers fade. So most roses fade."

Result = dict[str, Any]
Ask = Callable[..., Result]


@pytest.fixture(params=["chain", "chain-async", "engine", "engine-async"])
def ask(request: pytest.FixtureRequest, scripted: ScriptedServer) -> Ask:
    """Ask a question of either form, sync and async, through the real adapters."""
    form, _, way = request.param.partition("-")

    def chain(question: str, **options: Any) -> Result:
        built = syllogism_chain(ChatLlama70B(base_url=scripted.url, api_key=KEY, model=MODEL, max_retries=0), **options)
        return asyncio.run(built.ainvoke(question)) if way else built.invoke(question)

    def engine(question: str, **options: Any) -> Result:
        llm = Llama70B(base_url=scripted.url, api_key=KEY, model=MODEL, max_retries=0)
        built = SyllogismQueryEngine(llm, **options)
        response = asyncio.run(built.aquery(question)) if way else built.query(question)
        assert response.metadata is not None
        assert str(response) == response.metadata["answer"]
        return response.metadata

    return chain if form == "chain" else engine


def test_the_verdict_is_known_first_and_the_model_phrases_it(ask: Ask, scripted: ScriptedServer) -> None:
    scripted.answer(Answer("No, it does not follow: the fading flowers may be tulips.", usage=(50, 9)))
    result = ask(ROSES)
    assert (result["verdict"], result["agreement"], result["corrected"]) == ("undetermined", "agrees", False)
    assert "tulips" in result["answer"]
    assert result["usage"] == {"prompt_tokens": 50, "completion_tokens": 9, "total_tokens": 59}
    assert result["reading"][0] == "All roses are flowers."
    assert result["countermodel"]
    (body,) = scripted.bodies
    assert "tools" not in body
    assert "undetermined" in body["messages"][-1]["content"]
    assert result["decided_by"] == "text"


@pytest.mark.parametrize("said", ["Yes, we can conclude that some roses fade quickly.", "", "Roses!", "?" * 900])
def test_whatever_is_said_the_verdict_stands(ask: Ask, scripted: ScriptedServer, said: str) -> None:
    scripted.say(said)
    result = ask(ROSES)
    assert result["verdict"] == "undetermined"
    assert "Yes, we can" not in result["answer"]
    assert result["answer"].startswith("No")
    assert result["corrected"] is said.startswith("Yes")


def test_a_refused_sentence_is_read_by_the_model_under_guard(ask: Ask, scripted: ScriptedServer) -> None:
    scripted.say(*READINGS, "It follows.")
    result = ask(HARD)
    assert (result["verdict"], result["form"], result["decided_by"]) == ("entailed", "Celarent", "assisted")
    assert result["read_by_model"] == ["Never does a womble glorp", "never does a cat glorp"]
    assert any("a model read" in words for words in result["assumptions"])
    assert [body.get("response_format", {}).get("type") for body in scripted.bodies] == [
        "json_schema", "json_schema", None,
    ]  # fmt: skip


def test_a_false_reading_leaves_it_refused_and_nothing_is_phrased(ask: Ask, scripted: ScriptedServer) -> None:
    scripted.say(READINGS[0].replace("no", "all"), READINGS[1])
    result = ask(HARD)
    assert (result["verdict"], result["read_by_model"]) == ("refused", [])
    assert len(scripted.bodies) == 2


def test_without_assistance_and_outside_the_calculus_no_model_is_asked(ask: Ask, scripted: ScriptedServer) -> None:
    scripted.say("It follows.")
    assert ask(HARD, assist=False)["verdict"] == "refused"
    assert ask(OUTSIDE)["verdict"] == "refused"
    assert ask(ROSES, explain=False)["verdict"] == "undetermined"
    assert scripted.bodies == []


def test_the_convention_and_the_votes_are_passed_on(ask: Ask, scripted: ScriptedServer) -> None:
    scripted.say("It follows.")
    text = "All unicorns are white. All unicorns are horses. Therefore, some horses are white."
    assert ask(text, import_="none")["verdict"] == "undetermined"
    with pytest.raises(ValueError, match="votes"):
        ask(ROSES, votes=0)


def test_the_chain_takes_what_chains_are_given_and_composes() -> None:
    chain = syllogism_chain()
    prompt = ChatPromptTemplate.from_messages([("human", "{given}")])
    for given in (
        ROSES,
        {"question": ROSES},
        {"messages": [HumanMessage("Hello"), AIMessage("Hi"), HumanMessage(ROSES)]},
        [HumanMessage(ROSES)],
        HumanMessage(ROSES),
        prompt.invoke({"given": ROSES}),
    ):
        assert chain.invoke(given)["verdict"] == "undetermined"
    composed = prompt | chain | RunnableLambda(lambda result: result["verdict"])
    assert composed.batch([{"given": ROSES}, {"given": OUTSIDE}]) == ["undetermined", "refused"]
    assert [part["verdict"] for part in chain.stream(ROSES)] == ["undetermined"]
    with pytest.raises(TypeError, match="no question"):
        chain.invoke(7)
    json.dumps(chain.invoke(ROSES))


def test_the_chain_with_a_chat_model_that_is_not_ours_and_knows_no_tools() -> None:
    model = GenericFakeChatModel(messages=iter([*map(AIMessage, READINGS), AIMessage("No, it does not follow.")]))
    result = syllogism_chain(model).invoke(HARD)
    assert (result["verdict"], result["corrected"]) == ("entailed", True)


async def test_the_chain_reports_the_models_tokens_as_events() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("No, it does not follow.")]))
    events = [event async for event in syllogism_chain(model).astream_events(ROSES, version="v2")]
    streamed = "".join(e["data"]["chunk"].content for e in events if e["event"] == "on_chat_model_stream")
    assert streamed == "No, it does not follow."
    assert {"read_and_check", "phrase", "lock"} <= {event["name"] for event in events}


def test_the_engine_with_an_llm_that_is_not_ours() -> None:
    said = iter([*READINGS, "No, it does not follow."])

    def answer(messages: Any, **kwargs: Any) -> ChatMessage:
        del messages, kwargs
        return ChatMessage(role="assistant", content=next(said))

    response = SyllogismQueryEngine(MockFunctionCallingLLM(response_generator=answer)).query(HARD)
    assert response.metadata is not None
    assert (response.metadata["verdict"], response.metadata["corrected"]) == ("entailed", True)
    echo = SyllogismQueryEngine(MockLLM()).query(ROSES)  # it repeats the prompt
    assert echo.metadata is not None
    assert echo.metadata["verdict"] == "undetermined"


@pytest.mark.parametrize("said", ["No, it does not follow, for tulips.", "Yes, it follows.", "Hm."])
async def test_the_engine_streams_the_verdict_before_the_model_is_asked(scripted: ScriptedServer, said: str) -> None:
    scripted.say(said)
    llm = Llama70B(base_url=scripted.url, api_key=KEY, model=MODEL, max_retries=0)
    engine = SyllogismQueryEngine(llm, streaming=True)
    response: Any = engine.query(ROSES)
    pieces = response.response_gen
    assert next(pieces).startswith("No, it does not follow")
    assert scripted.bodies == []
    rest = "".join(pieces)
    assert ("tulips" in rest) is ("tulips" in said)
    assert "Yes, it follows" not in rest
    assert response.metadata["verdict"] == "undetermined"
    assert response.metadata["corrected"] is said.startswith("Yes")
    later: Any = await engine.aquery(ROSES)
    text = "".join([piece async for piece in later.async_response_gen()])
    assert text.startswith("No, it does not follow")
    assert later.metadata["verdict"] == "undetermined"


def test_the_engine_is_a_tool_like_any_query_engine() -> None:
    from llama_index.core.tools import QueryEngineTool

    output = QueryEngineTool.from_defaults(SyllogismQueryEngine(), name="logic", description="Syllogisms.").call(ROSES)
    assert output.raw_output.metadata["verdict"] == "undetermined"
