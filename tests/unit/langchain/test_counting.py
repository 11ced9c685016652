"""Token counts: exact where that is possible, otherwise said to be an estimate; never another model's tokenizer."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from langchain_llama70b import AuthenticationError, ChatLlama70B, ConfigurationError
from tests.unit.scripted_server import Raw, ScriptedServer

Make = Callable[..., ChatLlama70B]
SLEEPING = "https://example--llama.modal.direct/v1"


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return city


def test_the_server_counts_if_it_is_awake(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    messages: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage("hi there")]
    count = llm.get_num_tokens_from_messages(messages)
    asked = scripted.requests[-1]
    assert asked.path == "/tokenize"
    assert [turn["content"] for turn in asked.body["messages"]] == ["Be brief.", "hi there"]
    assert count == 24
    assert llm.get_num_tokens_from_messages(messages, tools=[weather]) == count + 20
    assert scripted.requests[-1].body["tools"][0]["function"]["name"] == "weather"
    assert llm.get_token_ids("one two") == list(range(12))
    assert llm.get_num_tokens("one two") == 12
    assert scripted.requests[-1].body["prompt"] == "one two"


def test_after_an_answer_nobody_asks_for_health(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    llm.invoke("hi")
    llm.get_num_tokens("one two")
    assert [request.path for request in scripted.requests] == ["/v1/chat/completions", "/tokenize"]


def test_the_window_is_learnt(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.routes["/tokenize"] = Raw(200, {"count": 5, "max_model_len": 1024})
    llm.get_num_tokens_from_messages([HumanMessage("hi")])
    assert (llm.profile or {})["max_input_tokens"] == 1024


def test_a_sleeping_modal_endpoint_is_not_woken() -> None:
    llm = ChatLlama70B(base_url=SLEEPING)
    with pytest.warns(UserWarning, match="estimate"):
        assert 5 <= llm.get_num_tokens("a text of some forty characters in all..") <= 15
    with pytest.warns(UserWarning, match="warm_up"):
        assert llm.get_num_tokens_from_messages([HumanMessage("hi")], tools=[weather]) > 10
    with pytest.raises(ConfigurationError, match="warm_up"):
        llm.get_token_ids("hi")


def test_a_server_without_tokenize(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.routes["/tokenize"] = Raw(404, {"detail": "Not Found"})
    with pytest.warns(UserWarning, match="estimate"):
        assert llm.get_num_tokens("some text") > 0


def test_errors_are_ours(make: Make, scripted: ScriptedServer) -> None:
    scripted.routes["/tokenize"] = Raw(401, {"error": "Unauthorized"})
    with pytest.raises(AuthenticationError):
        make().get_num_tokens("hi")


SPECIALS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def encode(text: str) -> list[int]:
    """Encode by characters: two texts have as many tokens together as apart."""
    return [ord(character) for character in text]


def expected(rendered: str) -> int:
    for special in SPECIALS:
        rendered = rendered.replace(special, "\0")
    return len(rendered)


def turn(role: str, text: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>"


DATE = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"


def test_your_own_tokenizer_works_offline_and_comes_first() -> None:
    llm = ChatLlama70B(custom_get_token_ids=encode)
    assert llm.get_token_ids("hi") == [104, 105]
    assert llm.get_num_tokens("hi there") == 8
    messages: list[BaseMessage] = [
        SystemMessage(" Be brief. "),
        HumanMessage("hi"),
        AIMessage("hello"),
        HumanMessage("?"),
    ]
    whole = "<|begin_of_text|>" + turn("system", DATE + "Be brief.") + turn("user", "hi") + turn("assistant", "hello")
    whole += turn("user", "?") + turn("assistant", "").removesuffix("<|eot_id|>")
    assert llm.get_num_tokens_from_messages(messages) == expected(whole)


def test_the_template_without_a_system_turn_and_with_a_call() -> None:
    llm = ChatLlama70B(custom_get_token_ids=encode)
    call: Any = {"id": "a", "name": "weather", "args": {"city": "Rome"}, "type": "tool_call"}
    messages = [HumanMessage("hi"), AIMessage("", tool_calls=[call]), ToolMessage("20 C", tool_call_id="a")]
    whole = "<|begin_of_text|>" + turn("system", DATE) + turn("user", "hi")
    whole += turn("assistant", '{"name": "weather", "parameters": {"city": "Rome"}}') + turn("ipython", '"20 C"')
    whole += turn("assistant", "").removesuffix("<|eot_id|>")
    assert llm.get_num_tokens_from_messages(messages) == expected(whole)
    more = llm.get_num_tokens_from_messages(messages, tools=[weather])
    assert more > expected(whole) + 100


def test_no_gpt_tokenizer_is_touched(llm: ChatLlama70B, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> list[int]:
        raise AssertionError("the GPT-2 fallback was used")

    monkeypatch.setattr("langchain_core.language_models.base._get_token_ids_default_method", refuse)
    assert llm.get_num_tokens("hi") > 0
    with pytest.warns(UserWarning, match="estimate"):
        assert ChatLlama70B(base_url=SLEEPING).get_num_tokens("hi") > 0
