"""`ChatLlamaRouter` over two real clients on a scripted server, and over two strangers."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_llama70b import ChatLlama70B
from langchain_llama70b.router import ChatLlamaRouter
from llama70b.errors import ConfigurationError, EndpointUnavailable
from llama70b.ledger._context import attribution
from llama70b.routing import Gate, Policy
from tests.unit.scripted_server import Answer, Request, ScriptedServer

LARGE, SMALL = "the-70b", "the-8b"
Make = Callable[..., ChatLlama70B]
FREE = Policy(answer_value=0.0, mode="on")  # the 8B, unless a hard fact says otherwise
RICH = Policy(answer_value=1000.0, mode="on", when_asleep="wait")
UNSURE = [(word, -0.1) for word in ("a", "b")]


@pytest.fixture
def pair(make: Make, scripted: ScriptedServer) -> Callable[..., ChatLlamaRouter]:
    scripted.answer(lambda request: Answer(f"from {request.body['model']}"))

    def build(policy: Policy = FREE, gate: Gate | None = None) -> ChatLlamaRouter:
        return ChatLlamaRouter.of(make(model=LARGE), make(model=SMALL), policy=policy, gate=gate)

    return build


@tool
def clock(city: str) -> str:
    """Tell the time."""
    return f"noon in {city}"


def models(scripted: ScriptedServer) -> list[str]:
    return [body["model"] for body in scripted.bodies]


async def test_every_way_goes_to_the_chosen_one_and_says_so(
    pair: Callable[..., ChatLlamaRouter], ask: Callable[..., Any], scripted: ScriptedServer
) -> None:
    for policy, tier, name in ((FREE, "8b", SMALL), (RICH, "70b", LARGE)):
        answer = await ask(pair(policy), "hello there")
        assert answer.text == f"from {name}"
        record = answer.response_metadata["routing"]
        assert (record["tier"], record["mode"]) == (tier, "on")
        assert set(record["options"]) == {"70b", "8b"}
        assert answer.response_metadata["model_name"] == name
        assert answer.usage_metadata["total_tokens"] == 18
    assert models(scripted) == [SMALL, LARGE]


async def test_shadow_mode_is_the_default_and_answers_from_the_70b(
    make: Make, ask: Callable[..., Any], scripted: ScriptedServer
) -> None:
    llm = ChatLlamaRouter.of(make(model=LARGE), make(model=SMALL))
    record = (await ask(llm)).response_metadata["routing"]
    assert (record["tier"], record["wanted"], record["mode"]) == ("70b", "8b", "shadow")
    assert models(scripted) == [LARGE]


async def test_usage_is_counted_once(pair: Callable[..., ChatLlamaRouter], ask: Callable[..., Any]) -> None:
    counter = UsageMetadataCallbackHandler()
    await ask(pair(), "hi", config={"callbacks": [counter]})
    assert counter.usage_metadata[SMALL]["total_tokens"] == 18
    assert set(counter.usage_metadata) == {SMALL}


async def test_a_caller_chooses_by_argument_or_tag(
    pair: Callable[..., ChatLlamaRouter], ask: Callable[..., Any], scripted: ScriptedServer
) -> None:
    await ask(pair(), "hi", tier="70b")
    record = (await ask(pair(), "hi", config={"tags": ["llama70b:70b"]})).response_metadata["routing"]
    assert (record["reason"], record["requested"]) == ("requested", "70b")
    assert models(scripted) == [LARGE, LARGE]
    assert "tier" not in scripted.bodies[0]
    with pytest.raises(ConfigurationError, match="405b"):
        await ask(pair(), "hi", tier="405b")


def test_explaining_asks_nobody(pair: Callable[..., ChatLlamaRouter], scripted: ScriptedServer) -> None:
    record = pair().explain("Prove it.")
    assert (record["tier"], record["options"]["70b"]["state"]) == ("8b", "asleep")
    assert scripted.requests == []


def test_tools_go_to_the_70b_unless_the_8b_is_certified(
    pair: Callable[..., ChatLlamaRouter], scripted: ScriptedServer
) -> None:
    bound = pair().bind_tools([clock])
    assert isinstance(bound, ChatLlamaRouter), "a router with tools is a chat model still"
    record = bound.invoke("what time?").response_metadata["routing"]
    assert record["reason"] == "tools_not_certified"
    trusted = pair(Policy(answer_value=0.0, mode="on", tools_on_8b=True)).bind_tools([clock])
    trusted.invoke("what time?")
    assert models(scripted) == [LARGE, SMALL]
    assert [body["tools"][0]["function"]["name"] for body in scripted.bodies] == ["clock", "clock"]


def test_within_an_agent_run_the_tier_stays_and_only_goes_up(pair: Callable[..., ChatLlamaRouter]) -> None:
    llm = pair(Policy(answer_value=0.0, mode="on", tools_on_8b=True)).bind_tools([clock])

    def turn(tier: str, **more: Any) -> AIMessage:
        call = {"name": "clock", "args": {"city": "Rome"}, "id": "1", "type": "tool_call"}
        given = {"tool_calls": [call], **more}
        return AIMessage("", response_metadata={"routing": {"tier": tier}}, **given)

    def reason(*messages: Any) -> str:
        return str(llm.explain([HumanMessage("time?"), *messages])["reason"])

    done = ToolMessage("noon", tool_call_id="1")
    assert reason() == "not_worth_it"
    assert reason(turn("8b"), done) == "pinned"
    assert reason(turn("70b"), done) == "pinned"
    assert llm.explain([HumanMessage("time?"), turn("70b"), done])["tier"] == "70b"
    assert reason(turn("70b"), done, HumanMessage("and now?")) == "not_worth_it", "a new human turn is a new run"
    assert reason(*[turn("8b"), done] * 3) == "8b_stalled"
    broken = {"name": "clock", "args": "{", "id": "2", "error": "x", "type": "invalid_tool_call"}
    assert reason(turn("8b", tool_calls=[], invalid_tool_calls=[broken])) == "8b_failed_before"


def test_structured_output_routes_too(pair: Callable[..., ChatLlamaRouter], scripted: ScriptedServer) -> None:
    class City(BaseModel):
        """A city."""

        name: str

    scripted.answer(Answer(tool_calls=[("City", '{"name": "Rome"}')]))
    assert pair().with_structured_output(City).invoke("Where?") == City(name="Rome")
    found = pair(RICH).with_structured_output(City, include_raw=True).invoke("Where?")
    assert found["parsed"] == City(name="Rome")
    assert found["raw"].response_metadata["routing"]["tier"] == "70b"
    assert models(scripted) == [SMALL, LARGE]


# the gate


class Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.seen.append(token)


def small_says(scripted: ScriptedServer, answer: Answer) -> None:
    def reply(request: Request) -> Answer:
        return answer if request.body["model"] == SMALL else Answer("the 70B knows")

    scripted.answer(reply)


@pytest.mark.parametrize(
    ("says", "objection"),
    [(Answer(""), "empty"), (Answer("I'm sorry, I cannot."), "refusal"), (Answer("no " * 30), "repetition")],
)
async def test_an_answer_that_may_not_stand_is_asked_of_the_70b(
    pair: Callable[..., ChatLlamaRouter],
    ask: Callable[..., Any],
    scripted: ScriptedServer,
    says: Answer,
    objection: str,
) -> None:
    small_says(scripted, says)
    tokens = Tokens()
    answer = await ask(pair(gate=Gate(hold_tokens=100)), "hi", config={"callbacks": [tokens]})
    assert answer.text == "the 70B knows"
    record = answer.response_metadata["routing"]
    assert (record["tier"], record["reason"], record["objection"]) == ("70b", "escalated", objection)
    assert record["escalated_from"]["tier"] == "8b"
    assert models(scripted) == [SMALL, LARGE]
    assert "".join(tokens.seen) in {"", "the 70B knows"}, "nobody has seen what was held back"


async def test_an_answer_that_stands_is_held_and_then_released_whole(
    pair: Callable[..., ChatLlamaRouter], ask: Callable[..., Any], scripted: ScriptedServer
) -> None:
    small_says(scripted, Answer("one two three four five six"))
    for hold in (2, 100):
        answer = await ask(pair(gate=Gate(hold_tokens=hold, least_margin=None)), "hi")
        assert answer.text == "one two three four five six"
        assert answer.response_metadata["routing"]["tier"] == "8b"
    assert models(scripted) == [SMALL, SMALL]


def test_the_margin_is_asked_for(pair: Callable[..., ChatLlamaRouter], scripted: ScriptedServer) -> None:
    pair(gate=Gate()).invoke("hi")
    assert (scripted.bodies[0]["logprobs"], scripted.bodies[0]["top_logprobs"]) == (True, 2)
    pair(gate=Gate(least_margin=None)).invoke("hi")
    assert "logprobs" not in scripted.bodies[1]


# sleeping


def test_the_70b_is_woken_while_the_8b_answers(
    pair: Callable[..., ChatLlamaRouter], scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = threading.Event()
    monkeypatch.setattr(ChatLlama70B, "warm_up", lambda self: woken.set())
    policy = Policy(answer_value=1000.0, mode="on", when_asleep="answer_from_8b_and_wake")
    answer = pair(policy).invoke("hi")
    assert (answer.text, answer.response_metadata["routing"]["wake"]) == (f"from {SMALL}", True)
    assert woken.wait(5)


def test_fail_fast(pair: Callable[..., ChatLlamaRouter]) -> None:
    with pytest.raises(EndpointUnavailable, match="asleep"):
        pair(Policy(answer_value=1000.0, mode="on", when_asleep="fail_fast")).invoke("hi")


# strangers, and the ledger


async def test_any_two_chat_models_will_do() -> None:
    def stranger(text: str) -> GenericFakeChatModel:
        return GenericFakeChatModel(messages=iter([AIMessage(text)] * 9))

    llm = ChatLlamaRouter.of(stranger("large"), stranger("small"), policy=FREE)
    assert llm.invoke("hi").text == "small"
    assert "".join(chunk.text for chunk in llm.stream("hi")) == "small"
    assert (await llm.ainvoke("hi")).text == "small"
    assert "".join([chunk.text async for chunk in llm.astream("hi")]) == "small"
    assert [m.text for m in await llm.abatch(["a", "b"])] == ["small", "small"]
    with pytest.raises(NotImplementedError):
        llm.bind_tools([clock])


def test_without_an_8b_it_only_measures(make: Make, scripted: ScriptedServer) -> None:
    record = ChatLlamaRouter.of(make(model=LARGE), policy=FREE).invoke("hi").response_metadata["routing"]
    assert (record["tier"], record["reason"]) == ("70b", "no_8b")


async def test_what_is_said_to_the_ledger_does_not_leak(pair: Callable[..., ChatLlamaRouter]) -> None:
    llm = pair()
    before = attribution()
    for _ in llm.stream("hi"):
        assert attribution() == before
    async for _ in llm.astream("hi"):
        assert attribution() == before
    await asyncio.gather(*(llm.ainvoke("hi") for _ in range(3)))
    assert attribution() == before


def test_early_close_leaves_nothing_running(pair: Callable[..., ChatLlamaRouter], scripted: ScriptedServer) -> None:
    scripted.answer(Answer("word " * 200, pause_s=0.02))
    llm = pair()
    stream = llm.stream("hi")
    next(stream)
    assert llm.router.weak is not None
    assert llm.router.weak.states.state().in_flight == 1
    stream.close()
    assert scripted.left.wait(5)
    assert llm.router.weak.states.state().in_flight == 0
    assert llm.router.weak.states.state().phase == "awake"
