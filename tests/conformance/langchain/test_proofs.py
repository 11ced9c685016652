"""Where a standard test is xfail, the model is guilty: the same request without this package fails in the same way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_tests.integration_tests.chat_models import unicode_customer

from langchain_llama70b import ChatLlama70B
from llama70b import Endpoint
from llama70b._wire import chat_body


@pytest.fixture(params=["vllm_endpoint", pytest.param("local_endpoint", marks=pytest.mark.full)])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """The engines that `test_standard.py` runs on."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Endpoint)
    return found


@pytest.fixture
def llm(make: Callable[..., ChatLlama70B]) -> ChatLlama70B:
    return make(max_tokens=128)


def raw(llm: ChatLlama70B, endpoint: Endpoint, prompt: str, **given: Any) -> dict[str, Any]:
    """Return the message that a bare POST of the same request gets."""
    request = llm._plan([HumanMessage(prompt)], None, given).request
    body = chat_body(request, llm.model, stream=False)
    answer = httpx.post(
        f"{endpoint.base_url}/chat/completions", json=body, headers=endpoint.auth_headers(), timeout=280
    )
    assert answer.status_code == 200, answer.text
    message: dict[str, Any] = answer.json()["choices"][0]["message"]
    return message


def raw_and_ours(llm: ChatLlama70B, endpoint: Endpoint, prompt: str, **given: Any) -> tuple[dict[str, Any], Any]:
    """Return that message and the one of `invoke`."""
    message = raw(llm, endpoint, prompt, **given)
    with llm:
        return message, llm.invoke(prompt, **given)


@tool
def get_weather(location: str) -> str:
    """Get the weather at a location."""
    return location


@tool
def magic_function_no_args() -> int:
    """Calculate a magic function."""
    return 5


def test_it_does_not_call_a_tool_unless_forced(llm: ChatLlama70B, endpoint: Endpoint) -> None:
    theirs, ours = raw_and_ours(llm, endpoint, "What is the weather in San Francisco, CA?", tools=[get_weather])
    assert not theirs.get("tool_calls")
    assert ours.tool_calls == []
    assert theirs["content"]


@pytest.mark.parametrize("endpoint", ["vllm_endpoint"], indirect=True)
def test_it_does_not_call_a_tool_without_arguments(llm: ChatLlama70B, endpoint: Endpoint) -> None:
    prompt = "What is the value of magic_function_no_args()? Use the tool."
    theirs, ours = raw_and_ours(llm, endpoint, prompt, tools=[magic_function_no_args])
    assert len(theirs.get("tool_calls") or ()) == len(ours.tool_calls)


def test_it_does_not_use_the_keys_it_is_told(llm: ChatLlama70B, endpoint: Endpoint) -> None:
    prompt = (
        "Tell me a joke about cats. Return the result as a JSON with 'setup' and 'punchline' keys. Return nothing "
        "other than JSON."
    )
    message = raw(llm, endpoint, prompt, response_format={"type": "json_object"})
    try:
        keys = set(json.loads(message["content"]))
    except ValueError:
        return  # it never closed the object
    assert keys != {"setup", "punchline"}


@pytest.mark.full
@pytest.mark.parametrize("endpoint", ["local_endpoint"], indirect=True)
def test_it_does_not_end_a_japanese_name(llm: ChatLlama70B, endpoint: Endpoint) -> None:
    prompt = "Create a customer named 'こんにちは株式会社' (Hello Corporation) - a Japanese company"
    theirs, ours = raw_and_ours(llm, endpoint, prompt, tools=[unicode_customer], tool_choice="any")
    assert len(theirs.get("tool_calls") or ()) == len(ours.tool_calls)
    assert ours.response_metadata["finish_reason"] == "length"
