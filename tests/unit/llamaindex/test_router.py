"""`LlamaRouter` over two real clients on a scripted server, and over two strangers."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama70b.errors import ConfigurationError, EndpointUnavailable
from llama70b.ledger._context import attribution
from llama70b.routing import Gate, Policy
from llamaindex_llama70b import Llama70B
from llamaindex_llama70b.router import LlamaRouter
from tests.unit.scripted_server import Answer, Request, ScriptedServer

LARGE, SMALL = "the-70b", "the-8b"
Make = Callable[..., Llama70B]
FREE = Policy(answer_value=0.0, mode="on")  # the 8B, unless a hard fact says otherwise
RICH = Policy(answer_value=1000.0, mode="on", when_asleep="wait")


@pytest.fixture
def pair(make: Make, scripted: ScriptedServer) -> Callable[..., LlamaRouter]:
    scripted.answer(lambda request: Answer(f"from {request.body['model']}"))

    def build(policy: Policy = FREE, gate: Gate | None = None, **given: Any) -> LlamaRouter:
        return LlamaRouter.of(make(model=LARGE, **given), make(model=SMALL, **given), policy=policy, gate=gate)

    return build


def clock(city: str) -> str:
    """Tell the time."""
    return f"noon in {city}"


CLOCK = FunctionTool.from_defaults(clock)


def models(scripted: ScriptedServer) -> list[str]:
    return [body["model"] for body in scripted.bodies]


def every_way(call: Any, llm: LlamaRouter, **given: Any) -> list[Any]:
    return [
        call.chat(llm, **given),
        call.stream_chat(llm, **given)[-1],
        call.complete(llm, **given),
        call.stream_complete(llm, **given)[-1],
    ]


def test_every_way_goes_to_the_chosen_one_and_says_so(
    pair: Callable[..., LlamaRouter], call: Any, scripted: ScriptedServer
) -> None:
    for policy, tier, name in ((FREE, "8b", SMALL), (RICH, "70b", LARGE)):
        for response in every_way(call, pair(policy)):
            text = response.text if hasattr(response, "text") else response.message.content
            assert text == f"from {name}"
            record = response.additional_kwargs["routing"]
            assert (record["tier"], record["mode"]) == (tier, "on")
            assert response.raw["usage"]["total_tokens"] == 18
    assert models(scripted) == [SMALL] * 4 + [LARGE] * 4


def test_shadow_mode_is_the_default(make: Make, call: Any, scripted: ScriptedServer) -> None:
    record = call.chat(LlamaRouter.of(make(model=LARGE), make(model=SMALL))).additional_kwargs["routing"]
    assert (record["tier"], record["wanted"], record["mode"]) == ("70b", "8b", "shadow")
    assert models(scripted) == [LARGE]


def test_usage_is_counted_once(pair: Callable[..., LlamaRouter]) -> None:
    counter = TokenCountingHandler()
    llm = pair(callback_manager=CallbackManager([counter]))
    llm.chat([ChatMessage("hi")])
    assert counter.total_llm_token_count == 18
    list(llm.stream_chat([ChatMessage("hi")]))
    assert counter.total_llm_token_count == 36


def test_a_caller_chooses(pair: Callable[..., LlamaRouter], call: Any, scripted: ScriptedServer) -> None:
    record = call.chat(pair(), tier="70b").additional_kwargs["routing"]
    assert (record["reason"], record["requested"]) == ("requested", "70b")
    assert "tier" not in scripted.bodies[0]
    with pytest.raises(ConfigurationError, match="405b"):
        call.chat(pair(), tier="405b")


def test_explaining_asks_nobody(pair: Callable[..., LlamaRouter], scripted: ScriptedServer) -> None:
    record = pair().explain("Prove it.")
    assert (record["tier"], record["options"]["70b"]["state"]) == ("8b", "asleep")
    assert scripted.requests == []


def test_tools_go_to_the_70b_unless_the_8b_is_certified(
    pair: Callable[..., LlamaRouter], call: Any, scripted: ScriptedServer
) -> None:
    scripted.answer(Answer(tool_calls=[("clock", '{"city": "Rome"}')]))
    for policy, tier in ((FREE, "70b"), (Policy(answer_value=0.0, mode="on", tools_on_8b=True), "8b")):
        llm = pair(policy)
        scripted.answer(Answer(tool_calls=[("clock", '{"city": "Rome"}')]))
        response = call.chat_with_tools(llm, [CLOCK], user_msg="what time?")
        assert response.additional_kwargs["routing"]["tier"] == tier
        assert llm.get_tool_calls_from_response(response)[0].tool_kwargs == {"city": "Rome"}
    assert models(scripted) == [LARGE, SMALL]
    assert [body["tools"][0]["function"]["name"] for body in scripted.bodies] == ["clock", "clock"]


@pytest.mark.filterwarnings(
    "ignore:(The `__fields|Accessing the .model_):DeprecationWarning"
)  # getmembers of workflows
async def test_an_agent_stays_with_whoever_began(pair: Callable[..., LlamaRouter], scripted: ScriptedServer) -> None:
    llm = pair(Policy(answer_value=0.0, mode="on", tools_on_8b=True))

    def reply(request: Request) -> Answer:
        done = request.body["messages"][-1]["role"] == "tool"
        return Answer("It is noon.") if done else Answer(tool_calls=[("clock", '{"city": "Rome"}')])

    scripted.answer(reply)
    agent = FunctionAgent(tools=[CLOCK], llm=llm)
    result = await agent.run("what time?")
    assert str(result) == "It is noon."
    assert models(scripted) == [SMALL, SMALL]
    last = result.response.additional_kwargs["routing"]
    assert last["reason"] == "pinned"


def test_structured_output_routes_too(pair: Callable[..., LlamaRouter], call: Any, scripted: ScriptedServer) -> None:
    class City(BaseModel):
        """A city."""

        name: str

    llm = pair()
    scripted.answer(Answer(tool_calls=[("City", '{"name": "Rome"}')]))
    assert call.structured_predict(llm, City, PromptTemplate("Where?")) == City(name="Rome")
    assert models(scripted) == [SMALL]


@pytest.mark.parametrize(
    ("says", "objection"),
    [(Answer(""), "empty"), (Answer("I'm sorry, I cannot."), "refusal"), (Answer("no " * 30), "repetition")],
)
def test_an_answer_that_may_not_stand_is_asked_of_the_70b(
    pair: Callable[..., LlamaRouter], call: Any, scripted: ScriptedServer, says: Answer, objection: str
) -> None:
    llm = pair(gate=Gate(hold_tokens=100))
    scripted.answer(lambda request: says if request.body["model"] == SMALL else Answer("the 70B knows"))
    elements = call.stream_chat(llm)
    for response in (call.chat(llm), elements[-1]):
        assert response.message.content == "the 70B knows"
        record = response.additional_kwargs["routing"]
        assert (record["tier"], record["reason"], record["objection"]) == ("70b", "escalated", objection)
    assert "".join(element.delta or "" for element in elements) == "the 70B knows", "what was held back stays unseen"
    assert models(scripted) == [SMALL, LARGE] * 2


def test_an_answer_that_stands_is_held_and_then_released_whole(
    pair: Callable[..., LlamaRouter], call: Any, scripted: ScriptedServer
) -> None:
    for hold in (2, 100):
        llm = pair(gate=Gate(hold_tokens=hold, least_margin=None))
        scripted.answer(Answer("one two three four five six"))
        elements = call.stream_chat(llm)
        assert "".join(element.delta or "" for element in elements) == "one two three four five six"
    assert models(scripted) == [SMALL, SMALL]


def test_sleeping(pair: Callable[..., LlamaRouter], call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    woken = threading.Event()
    monkeypatch.setattr(Llama70B, "warm_up", lambda self: woken.set())
    response = call.chat(pair(Policy(answer_value=1000.0, mode="on", when_asleep="answer_from_8b_and_wake")))
    assert (response.message.content, response.additional_kwargs["routing"]["wake"]) == (f"from {SMALL}", True)
    assert woken.wait(5)
    with pytest.raises(EndpointUnavailable, match="asleep"):
        call.chat(pair(Policy(answer_value=1000.0, mode="on", when_asleep="fail_fast")))


def test_any_two_models_will_do(call: Any) -> None:
    llm = LlamaRouter.of(MockLLM(max_tokens=3), MockLLM(max_tokens=1), policy=FREE)
    assert call.complete(llm, "a b c d").text.split()
    assert call.stream_complete(llm, "a b c d")
    assert not llm.metadata.is_function_calling_model


def test_metadata_is_what_both_can_do(make: Make) -> None:
    llm = LlamaRouter.of(make(model=LARGE, context_window=8192), make(model=SMALL, context_window=4096))
    assert llm.metadata.context_window == 4096 - 48
    assert llm.metadata.is_function_calling_model


def test_early_close_leaves_nothing_running_and_nothing_said(
    pair: Callable[..., LlamaRouter], scripted: ScriptedServer
) -> None:
    llm = pair()
    scripted.answer(Answer("word " * 200, pause_s=0.02))
    before = attribution()
    stream = llm.stream_chat([ChatMessage("hi")])
    next(stream)
    assert attribution() == before
    assert llm.router.weak.states.state().in_flight == 1
    stream.close()
    assert scripted.left.wait(5)
    assert llm.router.weak.states.state().in_flight == 0
