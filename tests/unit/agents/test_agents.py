"""The agents of both frameworks against a scripted model: whatever it does, the verdict is the checker's."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from llama70b.acceptance import ROSES
from tests.unit.scripted_server import KEY, MODEL, Answer, ScriptedServer

# LlamaIndex looks at every attribute of its own agents, two of which pydantic has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:(The `__fields|Accessing the 'model_):DeprecationWarning")

PREMISES = ["all roses are flowers", "some flowers fade quickly"]
CONCLUSION = "some roses fade quickly"
Call = Callable[..., tuple[str, str]]
Ask = Callable[..., Any]


def tools(body: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in body.get("tools") or ()]


def test_the_model_calls_the_checker_and_explains(ask: Ask, scripted: ScriptedServer, call: Call) -> None:
    scripted.answer(
        Answer(tool_calls=[call(PREMISES, CONCLUSION)], usage=(100, 20)),
        Answer("No, it does not follow: the fading flowers may be tulips.", usage=(200, 30)),
    )
    turn = ask(ROSES)
    assert turn.result["verdict"] == "undetermined"
    assert turn.result["agreement"] == "agrees"
    assert turn.result["corrected"] is False
    assert turn.result["usage"] == {"prompt_tokens": 300, "completion_tokens": 50, "total_tokens": 350}
    assert turn.result["reading"][0] == "All roses are flowers."
    assert "rose" in turn.result["countermodel"]
    assert turn.result["assumptions"]
    assert turn.text == turn.result["answer"]
    assert "tulips" in turn.text
    assert turn.calls == [("check_argument", {"premises": PREMISES, "conclusion": CONCLUSION})]
    assert tools(scripted.bodies[0]) == ["check_argument", "check_statements", "conclusions"]
    told = json.loads(scripted.bodies[1]["messages"][-1]["content"])
    assert told["verdict"] == "undetermined"
    json.dumps(turn.result)


def test_a_model_that_contradicts_the_checker_is_corrected(ask: Ask, scripted: ScriptedServer, call: Call) -> None:
    scripted.answer(
        Answer(tool_calls=[call(PREMISES, CONCLUSION)]), Answer("Yes, we can conclude that some roses fade quickly.")
    )
    turn = ask(ROSES)
    assert turn.result["verdict"] == "undetermined"
    assert turn.result["corrected"] is True
    assert "Yes, we can" not in turn.text
    assert turn.result["model_answer"].startswith("Yes")


def test_a_model_that_does_not_call_is_held_to_the_verdict_too(ask: Ask, scripted: ScriptedServer) -> None:
    scripted.say("Yes, some roses fade quickly.")
    turn = ask(ROSES)
    assert turn.result["verdict"] == "undetermined"
    assert turn.result["corrected"] is True
    assert turn.result["tool_calls"] == 0


def test_an_error_is_data_the_model_can_repair(ask: Ask, scripted: ScriptedServer, call: Call) -> None:
    scripted.answer(
        Answer(tool_calls=[call(["all roses are red"], CONCLUSION)]),
        Answer(tool_calls=[call(PREMISES, CONCLUSION)]),
        Answer("No, it does not follow."),
    )
    turn = ask(ROSES)
    told = json.loads(scripted.bodies[1]["messages"][-1]["content"])
    assert "did not say" in told["error"]
    assert turn.result["tool_calls"] == 2
    assert turn.result["verdict"] == "undetermined"


@pytest.mark.parametrize(
    "broken",
    [
        ("check_argument", "{not json"),
        ("check_argument", "{}"),
        ("check_argument", '{"premises": 7, "conclusion": null, "extra": []}'),
        ("no_such_tool", "{}"),
    ],
)
def test_a_broken_call_does_not_break_the_agent(ask: Ask, scripted: ScriptedServer, broken: tuple[str, str]) -> None:
    scripted.answer(Answer(tool_calls=[broken]), Answer("No, it does not follow."))
    turn = ask(ROSES)
    assert turn.result["verdict"] == "undetermined"


def test_rounds_are_bounded(ask: Ask, scripted: ScriptedServer, call: Call) -> None:
    bad = Answer(tool_calls=[call(["all roses are red"], CONCLUSION)])
    scripted.answer(bad, bad, bad, Answer("I give up."))
    turn = ask(ROSES, max_rounds=3)
    assert turn.result["verdict"] == "undetermined"
    assert len(scripted.bodies) == 4
    assert tools(scripted.bodies[-1]) == []


def test_a_model_that_never_stops_calling_is_stopped(ask: Ask, scripted: ScriptedServer, call: Call) -> None:
    def stubborn(request: Any) -> Answer:
        return Answer(tool_calls=[call(PREMISES, CONCLUSION)]) if request.body.get("tools") else Answer("Enough.")

    scripted.answer(stubborn)
    turn = ask(ROSES, max_rounds=2)
    assert turn.result["verdict"] == "undetermined"
    assert len(scripted.bodies) == 3


def test_forced_use_leaves_no_room_for_a_misquotation(ask: Ask, scripted: ScriptedServer, call: Call) -> None:
    scripted.answer(Answer(tool_calls=[call(PREMISES, CONCLUSION)]), Answer("No, it does not follow."))
    turn = ask(ROSES, tool_use="forced")
    first, second = scripted.bodies
    assert tools(first) == ["check_argument"]
    assert first["tool_choice"] in ("required", {"type": "function", "function": {"name": "check_argument"}})
    schema = first["tools"][0]["function"]["parameters"]
    assert schema["properties"]["conclusion"] == {"enum": [CONCLUSION]}
    assert PREMISES in schema["properties"]["premises"]["enum"]
    assert tools(second) == []
    assert turn.result["tool_calls"] == 1


def test_forced_use_of_small_talk_does_not_loop(ask: Ask, scripted: ScriptedServer) -> None:
    scripted.answer(lambda r: Answer(tool_calls=[("check_argument", "{}")]) if r.body.get("tools") else Answer("Hi!"))
    turn = ask("Hello!", tool_use="forced")
    assert turn.result["verdict"] == "refused"
    assert len(scripted.bodies) <= 2


def test_what_cannot_be_read_is_not_decided_by_the_model(ask: Ask, scripted: ScriptedServer) -> None:
    scripted.say("Yes, it follows.")
    turn = ask("Most roses are flowers. All flowers fade quickly. Therefore, most roses fade quickly.")
    assert turn.result["verdict"] == "refused"
    assert turn.result["corrected"] is True
    assert turn.result["refused"]
    assert "Yes, it follows" not in turn.text


def test_a_valid_argument_and_the_convention_of_import(ask: Ask, scripted: ScriptedServer) -> None:
    scripted.say("It follows.")
    text = "All unicorns are white. All unicorns are horses. Therefore, some horses are white."
    assert ask(text).result["verdict"] == "entailed"
    assert ask(text, import_="none").result["verdict"] == "undetermined"


def test_max_rounds_must_be_positive(ask: Ask) -> None:
    with pytest.raises(ValueError, match="max_rounds"):
        ask(ROSES, max_rounds=0)


def test_langchain_streams_tokens_and_ends_with_the_locked_answer(scripted: ScriptedServer, call: Call) -> None:
    from langchain_llama70b import ChatLlama70B
    from langchain_llama70b.agent import create_syllogism_agent

    scripted.answer(Answer(tool_calls=[call(PREMISES, CONCLUSION)]), Answer("Yes, we can conclude it."))
    agent = create_syllogism_agent(ChatLlama70B(base_url=scripted.url, api_key=KEY, model=MODEL))
    pieces, final = [], None
    for mode, event in agent.stream({"messages": [("user", ROSES)]}, stream_mode=["messages", "values"]):
        if mode == "messages":
            pieces.append(event[0].content)
        else:
            final = event
    assert "Yes, " in pieces
    assert final is not None
    assert final["structured_response"]["corrected"] is True
    assert final["messages"][-1].content == final["structured_response"]["answer"]


def test_langchain_keeps_turns_apart_in_a_checkpointed_thread(scripted: ScriptedServer) -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    from langchain_llama70b import ChatLlama70B
    from langchain_llama70b.agent import create_syllogism_agent

    scripted.say("It follows.")
    llm = ChatLlama70B(base_url=scripted.url, api_key=KEY, model=MODEL)
    agent = create_syllogism_agent(llm, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    first = agent.invoke({"messages": [("user", ROSES)]}, config)
    valid = "All men are mortal. All Greeks are men. Therefore, all Greeks are mortal."
    second = agent.invoke({"messages": [("user", valid)]}, config)
    assert first["structured_response"]["verdict"] == "undetermined"
    assert second["structured_response"]["verdict"] == "entailed"
    assert len(second["messages"]) == 4
    assert second["messages"][1].content == first["structured_response"]["answer"]


def test_llamaindex_streams_events_and_ends_with_the_locked_answer(scripted: ScriptedServer, call: Call) -> None:
    from llama_index.core.agent.workflow import AgentStream, AgentStreamStructuredOutput, ToolCallResult

    from llamaindex_llama70b import Llama70B
    from llamaindex_llama70b.agent import create_syllogism_agent

    scripted.answer(Answer(tool_calls=[call(PREMISES, CONCLUSION)]), Answer("Yes, we can conclude it."))
    agent = create_syllogism_agent(Llama70B(base_url=scripted.url, api_key=KEY, model=MODEL))

    async def run() -> tuple[list[Any], Any]:
        handler = agent.run(ROSES)
        events = [event async for event in handler.stream_events()]
        return events, await handler

    events, output = asyncio.run(run())
    assert "Yes, " in [event.delta for event in events if isinstance(event, AgentStream)]
    assert sum(isinstance(event, ToolCallResult) for event in events) == 1
    told = next(event for event in events if isinstance(event, AgentStreamStructuredOutput))
    assert told.output == output.structured_response
    assert output.structured_response["corrected"] is True


def test_llamaindex_keeps_the_locked_answer_in_memory(scripted: ScriptedServer) -> None:
    from llama_index.core.memory import ChatMemoryBuffer

    from llamaindex_llama70b import Llama70B
    from llamaindex_llama70b.agent import create_syllogism_agent

    scripted.say("Yes, it follows.")
    agent = create_syllogism_agent(Llama70B(base_url=scripted.url, api_key=KEY, model=MODEL))
    memory = ChatMemoryBuffer.from_defaults(token_limit=4000)
    output = asyncio.run(_run(agent, memory))
    assert memory.get_all()[-1].content == output.response.content
    assert "Yes, it follows" not in memory.get_all()[-1].content


async def _run(agent: Any, memory: Any) -> Any:
    return await agent.run(ROSES, memory=memory)


def test_langchain_with_a_chat_model_that_is_not_ours() -> None:
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    from langchain_llama70b.agent import create_syllogism_agent

    class Other(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            del tools, kwargs
            return self

    arguments = {"premises": PREMISES, "conclusion": CONCLUSION}
    first = AIMessage("", tool_calls=[{"name": "check_argument", "args": arguments, "id": "1"}])
    model = Other(messages=iter([first, AIMessage("Yes, it follows.")]))
    state = create_syllogism_agent(model).invoke({"messages": [("user", ROSES)]})
    assert state["structured_response"]["corrected"] is True
    assert state["structured_response"]["tool_calls"] == 1


def test_llamaindex_with_an_llm_that_is_not_ours() -> None:
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.llms.mock import MockFunctionCallingLLM

    from llamaindex_llama70b.agent import create_syllogism_agent

    def answer(messages: Any, **kwargs: Any) -> ChatMessage:
        del messages, kwargs
        return ChatMessage(role="assistant", content="Yes, it follows.")

    async def run() -> Any:
        return await create_syllogism_agent(MockFunctionCallingLLM(response_generator=answer)).run(ROSES)

    output = asyncio.run(run())
    assert output.structured_response["corrected"] is True
