"""What goes on the wire for what users write."""

from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolArg, StructuredTool, tool
from pydantic import BaseModel, Field

from langchain_llama70b import ChatLlama70B, ConfigurationError
from tests.unit.scripted_server import ScriptedServer

Ask = Callable[..., Any]


@tool
def weather(city: str, secret: Annotated[str, InjectedToolArg] = "") -> str:
    """Tell the weather."""
    return city


class Search(BaseModel):
    """Search the web."""

    query: str = Field(description="what to look for")
    tags: set[str] = Field(default_factory=set)


class Add(TypedDict):
    """Add two numbers."""

    a: int
    b: int


def plain(x: int) -> int:
    """Double it."""
    return 2 * x


ANTHROPIC = {"name": "look", "description": "Look.", "input_schema": {"type": "object", "properties": {}}}
OPENAI = {"type": "function", "function": {"name": "go", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"title": "fetch", "description": "Fetch.", "type": "object", "properties": {"url": {"type": "string"}}}


def test_tools_of_every_kind(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    tools = [weather, Search, Add, plain, ANTHROPIC, OPENAI, SCHEMA, StructuredTool.from_function(plain, name="again")]
    llm.bind_tools(tools).invoke("hi")
    sent = {offered["function"]["name"]: offered["function"] for offered in scripted.bodies[0]["tools"]}
    assert list(sent) == ["weather", "Search", "Add", "plain", "look", "go", "fetch", "again"]
    assert all(function["strict"] is True for function in sent.values())
    assert list(sent["weather"]["parameters"]["properties"]) == ["city"]
    assert "uniqueItems" not in str(sent["Search"])
    assert sent["Search"]["parameters"]["required"] == ["query"]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        (False, "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        ("plain", {"type": "function", "function": {"name": "plain"}}),
        ({"type": "function", "function": {"name": "plain"}}, {"type": "function", "function": {"name": "plain"}}),
        ({"type": "tool", "name": "plain"}, {"type": "function", "function": {"name": "plain"}}),
        ({"type": "any"}, "required"),
    ],
)
async def test_tool_choice(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, choice: Any, sent: Any) -> None:
    await ask(llm.bind_tools([weather, plain], tool_choice=choice))
    assert scripted.bodies[0].get("tool_choice") == sent
    await ask(llm, tools=[weather, plain], tool_choice=choice)
    assert scripted.bodies[1].get("tool_choice") == sent


def test_a_tool_named_like_a_word_is_meant(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    @tool("any")
    def anything(x: int) -> int:
        """Do anything."""
        return x

    llm.bind_tools([anything], tool_choice="any").invoke("hi")
    assert scripted.bodies[0]["tool_choice"] == {"type": "function", "function": {"name": "any"}}


@pytest.mark.parametrize("choice", ["wether", 7, {"type": "nonsense"}])
def test_an_unknown_tool_choice_is_refused_when_bound(llm: ChatLlama70B, choice: Any) -> None:
    with pytest.raises(ConfigurationError, match="weather, plain"):
        llm.bind_tools([weather, plain], tool_choice=choice)


@pytest.mark.parametrize("wrong", [{"type": "web_search_preview"}, {"type": "web_search"}, {"a": 1}, 5])
def test_what_is_no_tool_is_refused_when_bound(llm: ChatLlama70B, wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        llm.bind_tools([wrong])


def test_strict_and_parallel_are_yours(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    loose = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": False}}
    llm.bind_tools([weather, loose], strict=None, parallel_tool_calls=True).invoke("hi")
    llm.bind_tools([weather, loose], strict=False).invoke("hi")
    first, second = (body["tools"] for body in scripted.bodies)
    assert [offered["function"].get("strict", False) for offered in first] == [True, False]
    assert [offered["function"].get("strict", False) for offered in second] == [False, False]
    assert [body["parallel_tool_calls"] for body in scripted.bodies] == [True, False]
    assert loose["function"]["strict"] is False  # type: ignore[index]


def test_bound_tools_are_not_changed_by_calls(llm: ChatLlama70B) -> None:
    given = {"type": "function", "function": {"name": "f", "parameters": dict(SCHEMA)}}
    bound = llm.bind_tools([given], strict=True)
    before = str(bound.kwargs)  # type: ignore[attr-defined]
    bound.invoke("hi")
    assert str(bound.kwargs) == before  # type: ignore[attr-defined]
    assert "strict" not in given["function"]


def test_several_calls_in_one_turn_are_split_for_the_template(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    calls: Any = [
        {"id": "a", "name": "weather", "args": {"city": "Rome"}, "type": "tool_call"},
        {"id": "b", "name": "plain", "args": {"x": 1}, "type": "tool_call"},
    ]
    history = [
        HumanMessage("hi"),
        AIMessage("", tool_calls=calls),
        ToolMessage("2", tool_call_id="b"),
        ToolMessage("20 C", tool_call_id="a"),
    ]
    llm.bind_tools([weather, plain]).invoke(history)
    sent = scripted.bodies[0]["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "tool", "assistant", "tool"]
    assert [turn.get("tool_call_id") for turn in sent] == [None, None, "a", None, "b"]
    assert all(len(turn.get("tool_calls", [0])) == 1 for turn in sent)


def test_response_format_of_a_call(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    llm.invoke("hi", response_format=Search)
    llm.invoke("hi", response_format={"type": "json_object"})
    llm.invoke("hi", response_format={"type": "text"})
    first, second, third = scripted.bodies
    assert first["response_format"]["json_schema"]["name"] == "Search"
    assert second["response_format"] == {"type": "json_object"}
    assert "response_format" not in third


def test_a_calls_format_replaces_the_constructors_constraint(
    make: Callable[..., ChatLlama70B], scripted: ScriptedServer
) -> None:
    llm = make(structured_outputs={"choice": ["a", "b"]})
    llm.invoke("hi")
    llm.invoke("hi", response_format={"type": "json_object"})
    llm.invoke("hi", structured_outputs={"regex": "a+"})
    first, second, third = scripted.bodies
    assert first["structured_outputs"] == {"choice": ["a", "b"]}
    assert "structured_outputs" not in second
    assert third["structured_outputs"] == {"regex": "a+"}


def test_any_field_of_vllm_and_any_future_one(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    llm.invoke("hi", priority=1, cache_salt="x", logit_bias={"5": 1.0}, extra_body={"field_of_2028": True})
    sent = scripted.bodies[0]
    assert (sent["priority"], sent["cache_salt"], sent["logit_bias"]) == (1, "x", {"5": 1.0})
    assert sent["field_of_2028"] is True


def test_what_belongs_to_the_package_cannot_be_smuggled(llm: ChatLlama70B) -> None:
    with pytest.raises(ConfigurationError, match="messages"):
        llm.invoke("hi", extra_body={"messages": []})


async def test_a_forced_call_without_tools_is_refused(ask: Ask, llm: ChatLlama70B) -> None:
    with pytest.raises(ConfigurationError, match="no tools"):
        await ask(llm, tool_choice="any")


def test_none_means_not_given(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    llm.invoke("hi", temperature=None, stop=None, timeout=None, tools=None, tool_choice=None, response_format=None)
    assert set(scripted.bodies[0]) == {"model", "messages", "stream"}
