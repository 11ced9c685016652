"""The same requests to the local engine and to vLLM: the same shapes, and in refusals the same words.

A shape is a JSON value with every leaf replaced by its type. The two engines hold the same weights under the same chat
template, so token counts agree to the token as well.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from llama70b import Endpoint, Secret

pytestmark = [pytest.mark.engine, pytest.mark.vllm, pytest.mark.slow]

PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "unit": {"type": "string", "enum": ["C", "F"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Weather of a city", "parameters": PLACE, "strict": True},
}
FORCED = {"tools": [WEATHER], "parallel_tool_calls": False, "max_tokens": 60}
NAMED = {"type": "function", "function": {"name": "weather"}}
ONE_CHOICE = {"structured_outputs": {"choice": ["sunny"]}, "max_tokens": 12}


def ask(endpoint: Endpoint, method: str, path: str, body: Any = None, *, key: bool = True) -> httpx.Response:
    assert isinstance(endpoint.api_key, Secret)
    headers = {"Authorization": f"Bearer {endpoint.api_key.get_secret_value()}"} if key else {}
    url = endpoint.base_url.removesuffix("/v1") + path
    return httpx.request(method, url, json=body, headers=headers, timeout=110, trust_env=False)


def chat(endpoint: Endpoint, **body: Any) -> httpx.Response:
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    return ask(
        endpoint, "POST", "/v1/chat/completions", {"messages": messages, "max_tokens": 3, "temperature": 0, **body}
    )


def shape(value: Any) -> Any:
    """Types in place of values; a list becomes the set of its items' shapes."""
    match value:
        case dict():
            return {name: shape(item) for name, item in sorted(value.items())}
        case list():
            return sorted({json.dumps(shape(item)) for item in value})
        case bool() | None:
            return type(value).__name__
        case int() | float():
            return "number"
        case _:
            return type(value).__name__


def events(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    lines = answer.text.split("\n\n")
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    return [json.loads(item) for item in data]


ANSWERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "constrained": ONE_CHOICE,
    "json schema": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": PLACE}},
        "max_tokens": 60,
    },
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "stop text": {"structured_outputs": {"choice": ["sunny and warm"]}, "stop": ["and"], "max_tokens": 8},
    "two answers": {"n": 2, "temperature": 0.5},
    "token ids": {"return_token_ids": True},
    "required tool": {**FORCED, "tool_choice": "required"},
    "named tool": {**FORCED, "tool_choice": NAMED},
    "tools unused": {"tools": [WEATHER], "tool_choice": "none", **ONE_CHOICE},
}


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS.keys())
def test_whole_answers(local_endpoint: Endpoint, vllm_endpoint: Endpoint, body: dict[str, Any]) -> None:
    ours, theirs = (chat(endpoint, **body) for endpoint in (local_endpoint, vllm_endpoint))
    assert ours.status_code == theirs.status_code == 200, (ours.text, theirs.text)
    assert shape(ours.json()) == shape(theirs.json())
    for name in ("finish_reason", "stop_reason"):
        assert [choice[name] for choice in ours.json()["choices"]] == [
            choice[name] for choice in theirs.json()["choices"]
        ]
    assert ours.json()["usage"]["prompt_tokens"] == theirs.json()["usage"]["prompt_tokens"]


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS.keys())
def test_streams(local_endpoint: Endpoint, vllm_endpoint: Endpoint, body: dict[str, Any]) -> None:
    ours, theirs = (events(chat(endpoint, **body, stream=True)) for endpoint in (local_endpoint, vllm_endpoint))
    if "stop" in body:  # the text before a stop word travels with the end or before it, as the pieces happen to fall
        for choice in (choice for stream in (ours, theirs) for chunk in stream for choice in chunk["choices"]):
            choice["delta"].pop("content", None)
    assert shape(ours) == shape(theirs)
    ends = [
        [c["finish_reason"] for chunk in stream for c in chunk["choices"] if c["finish_reason"]]
        for stream in (ours, theirs)
    ]
    assert ends[0] == ends[1]


REFUSALS: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 3},
    "no tokens": {"max_tokens": 0},
    "too many tokens": {"max_tokens": 5000},
    "no tools": {"tools": []},
    "choice without tools": {"tool_choice": "auto"},
    "choice word": {"tools": [WEATHER], "tool_choice": "bogus"},
    "choice of another tool": {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "zzz"}}},
    "choice without a name": {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {}}},
    "regex": {"structured_outputs": {"regex": "[a"}},
    "schema": {"structured_outputs": {"json": {"type": "array", "uniqueItems": True}}},
    "no choices": {"structured_outputs": {"choice": []}},
    "grammar": {"structured_outputs": {"grammar": " "}},
    "no schema": {"response_format": {"type": "json_schema"}},
    "greedy twice": {"n": 2},
    "no answers": {"n": 0},
    "empty stop": {"stop": ""},
    "top_k": {"top_k": -5},
    "min_p": {"min_p": 2},
    "penalty": {"presence_penalty": 3},
    "stream options": {"stream_options": {"include_usage": True}},
    "top_logprobs": {"top_logprobs": 2},
    "bias word": {"logit_bias": {"x": 1}},
    "bias of no token": {"logit_bias": {"999999": 1}},
    "no messages": {"messages": []},
}


@pytest.mark.parametrize("body", REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals_word_for_word(local_endpoint: Endpoint, vllm_endpoint: Endpoint, body: dict[str, Any]) -> None:
    ours, theirs = (chat(endpoint, **body) for endpoint in (local_endpoint, vllm_endpoint))
    assert (ours.status_code, ours.json()) == (theirs.status_code, theirs.json())


@pytest.mark.parametrize(
    "body",
    [
        {"temperature": "hot"},
        {"messages": "hi"},
        {"stop": [1]},
        {"seed": "x"},
        {"model": "zzz"},
        {"messages": [{"role": "user", "content": "word " * 5000}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}]}
            ]
        },
        {"response_format": {"type": "bogus"}},
        {"structured_outputs": {}},
    ],
)
def test_refusals_of_one_shape(local_endpoint: Endpoint, vllm_endpoint: Endpoint, body: dict[str, Any]) -> None:
    """Type errors are pydantic's words, counts and names are each server's own."""
    ours, theirs = (chat(endpoint, **body) for endpoint in (local_endpoint, vllm_endpoint))
    assert ours.status_code == theirs.status_code
    assert shape(ours.json()) == shape(theirs.json())
    assert ours.json()["error"]["type"] == theirs.json()["error"]["type"]
    assert ours.json()["error"]["param"] == theirs.json()["error"]["param"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/models", None),
        ("GET", "/version", None),
        ("POST", "/tokenize", {"prompt": "Grüße, 世界"}),
        ("POST", "/tokenize", {"prompt": "a b", "return_token_strs": True}),
        ("POST", "/tokenize", {"messages": [{"role": "user", "content": "hi"}], "tools": [WEATHER]}),
        ("POST", "/detokenize", {"tokens": [6004]}),
        ("GET", "/nope", None),
        ("GET", "/v1/chat/completions", None),
        ("POST", "/v1/completions", {"prompt": "Once upon", "max_tokens": 3, "temperature": 0, "logprobs": 1}),
        ("POST", "/v1/completions", {"prompt": ["Once", "The sea"], "max_tokens": 2, "temperature": 0}),
    ],
)
def test_other_routes(local_endpoint: Endpoint, vllm_endpoint: Endpoint, method: str, path: str, body: Any) -> None:
    ours, theirs = (ask(endpoint, method, path, body) for endpoint in (local_endpoint, vllm_endpoint))
    assert ours.status_code == theirs.status_code
    assert shape(ours.json()) == shape(theirs.json())
    if path == "/tokenize":
        assert ours.json()["tokens"] == theirs.json()["tokens"]


def test_text_completion_streamed(local_endpoint: Endpoint, vllm_endpoint: Endpoint) -> None:
    body = {"prompt": "Once upon", "max_tokens": 3, "temperature": 0, "stream": True}
    ours, theirs = (
        events(ask(endpoint, "POST", "/v1/completions", body)) for endpoint in (local_endpoint, vllm_endpoint)
    )
    assert shape(ours) == shape(theirs)


def test_no_key_and_no_body(local_endpoint: Endpoint, vllm_endpoint: Endpoint) -> None:
    for path in ("/v1/models", "/v1/nope"):
        ours, theirs = (ask(endpoint, "GET", path, key=False) for endpoint in (local_endpoint, vllm_endpoint))
        assert (
            (ours.status_code, ours.json()) == (theirs.status_code, theirs.json()) == (401, {"error": "Unauthorized"})
        )
    ours, theirs = (ask(endpoint, "GET", "/health", key=False) for endpoint in (local_endpoint, vllm_endpoint))
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content) == (200, b"")
