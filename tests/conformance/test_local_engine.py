"""The local engine on its wire: every answer and every refusal of vLLM's that clients rely on, from a real model."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from llama70b import Endpoint, Secret
from llama70b.local import LocalEngine

PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["C", "F"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
SUM = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/N"}, "b": {"$ref": "#/$defs/N"}},
    "required": ["a", "b"],
    "$defs": {"N": {"type": "integer", "minimum": 0, "maximum": 99}},
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "Weather of a city", "parameters": PLACE}},
    {"type": "function", "function": {"name": "add", "description": "Add two numbers", "parameters": SUM}},
]
NAMED = {"type": "function", "function": {"name": "add"}}
WEATHER = "What is the weather in Paris?"


class Wire:
    """Plain HTTP to the engine, so that nothing of ours stands between a test and the bytes."""

    def __init__(self, endpoint: Endpoint) -> None:
        assert isinstance(endpoint.api_key, Secret)
        self.http = httpx.Client(
            base_url=endpoint.base_url.removesuffix("/v1"),
            headers={"Authorization": f"Bearer {endpoint.api_key.get_secret_value()}"},
            timeout=60,
            trust_env=False,
        )

    def post(self, question: str = "Say hello", **body: Any) -> httpx.Response:
        messages = [{"role": "user", "content": question}]
        return self.http.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 60, **body})

    def choice(self, question: str, **body: Any) -> dict[str, Any]:
        answer = self.post(question, **body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["choices"][0])

    def stream(self, question: str, **body: Any) -> list[dict[str, Any]]:
        """The chunks of a stream that ended properly."""
        answer = self.post(question, stream=True, **body)
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
        assert lines.pop() == "[DONE]"
        return [json.loads(line) for line in lines]

    def refusal(self, question: str = "Say hello", **body: Any) -> dict[str, Any]:
        answer = self.post(question, **body)
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"] == 400
        return dict(error)


@pytest.fixture(scope="module")
def wire(local_endpoint: Endpoint) -> Iterator[Wire]:
    wire = Wire(local_endpoint)
    yield wire
    wire.http.close()


def calls_of(chunks: list[dict[str, Any]]) -> dict[int, dict[str, str]]:
    """Put streamed calls together; the name comes alone and first."""
    calls: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            for part in choice["delta"].get("tool_calls", []):
                if "id" in part:
                    assert part["id"].startswith("chatcmpl-tool-")
                    assert part["type"] == "function"
                    assert set(part["function"]) == {"name"}
                    assert part["index"] not in calls
                    calls[part["index"]] = {"name": part["function"]["name"], "arguments": ""}
                else:
                    calls[part["index"]]["arguments"] += part["function"]["arguments"]
    return calls


# --- what the default must answer ---


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {}], ids=["greedy", "default sampling"])
def test_default_model_knows_paris_and_greets(wire: Wire, sampling: dict[str, Any]) -> None:
    for seed in range(3 if not sampling else 1):
        capital = wire.choice("What is the capital of France?", seed=seed, max_tokens=12, **sampling)
        assert "Paris" in capital["message"]["content"]
        greeting = wire.choice("Say hello", seed=seed, max_tokens=8, **sampling)
        assert re.search(r"\b(hello|hi|hey|welcome)\b", greeting["message"]["content"], re.IGNORECASE)


# --- answers ---


def test_whole_answer(wire: Wire) -> None:
    answer = wire.post("What is the capital of France?", temperature=0).json()
    assert answer["id"].startswith("chatcmpl-")
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["stop_reason"] is None
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert answer["metrics"]["tokens_per_second"] > 0


def test_stream_says_what_the_whole_answer_says(wire: Wire) -> None:
    whole = wire.post("What is the capital of France?", temperature=0).json()
    chunks = wire.stream("What is the capital of France?", temperature=0)
    first, *middle, last = chunks
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in middle)
    assert text == whole["choices"][0]["message"]["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in middle][-1] == "stop"
    assert last["choices"] == []
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert {name: last["usage"][name] for name in counts} == {name: whole["usage"][name] for name in counts}


def test_limit_stop_and_seed(wire: Wire) -> None:
    cut = wire.choice("What is the capital of France?", temperature=0, max_completion_tokens=3, max_tokens=None)
    assert cut["finish_reason"] == "length"
    chunks = wire.stream("What is the capital of France?", temperature=0, max_tokens=3)
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-2]["choices"][0]["delta"]["content"]  # the last token and the reason come together
    stopped = wire.choice("What is the capital of France?", temperature=0, stop=["Paris", "Rome"])
    assert (stopped["finish_reason"], stopped["stop_reason"]) == ("stop", "Paris")
    assert stopped["message"]["content"] == "The capital of France is "
    kept = wire.choice("What is the capital of France?", temperature=0, stop="Paris", include_stop_str_in_output=True)
    assert kept["message"]["content"].endswith("Paris")
    # The first one fills the prompt cache: read in another batch, a prompt gives another last bit.
    seeds = (5, 5, 5, 6)
    told = [
        wire.choice("Tell a story.", temperature=1.0, seed=seed, max_tokens=8)["message"]["content"] for seed in seeds
    ]
    assert told[1] == told[2] != told[3]


def test_several_answers(wire: Wire) -> None:
    answer = wire.post("Tell a story.", n=3, temperature=1.0, seed=1, max_tokens=8).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in answer["choices"]}) > 1
    assert answer["usage"]["completion_tokens"] == 24
    chunks = wire.stream("Tell a story.", n=2, temperature=1.0, max_tokens=4)
    ends = [choice["index"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert sorted(ends) == [0, 1]


def test_logprobs(wire: Wire) -> None:
    entries = wire.choice("Say hello", temperature=0, max_tokens=3, logprobs=True, top_logprobs=2)["logprobs"][
        "content"
    ]
    assert len(entries) == 3
    for entry in entries:
        assert entry["logprob"] <= 0
        assert entry["token"].encode() == bytes(entry["bytes"])
        assert len(entry["top_logprobs"]) == 2
        assert entry["top_logprobs"][0]["token"] == entry["token"]  # greedy takes the likeliest
    streamed = wire.stream("Say hello", temperature=0, max_tokens=3, logprobs=True, top_logprobs=2)
    content = [
        entry for chunk in streamed for c in chunk["choices"] if c["logprobs"] for entry in c["logprobs"]["content"]
    ]
    assert [entry["token"] for entry in content] == [entry["token"] for entry in entries]


def test_text_completion(wire: Wire) -> None:
    body = {"prompt": ["Once upon", "The sea"], "temperature": 0, "logprobs": 1}
    answer = wire.http.post("/v1/completions", json=body).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["usage"]["completion_tokens"] == 32  # 16 each: vLLM's default
    assert len(answer["choices"][0]["logprobs"]["tokens"]) == 16


# --- tools ---


def test_required_calls_follow_a_schema(wire: Wire) -> None:
    for parallel in (True, False):
        choice = wire.choice(WEATHER, tools=TOOLS, tool_choice="required", parallel_tool_calls=parallel, max_tokens=300)
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] == ""
        calls = choice["message"]["tool_calls"]
        assert calls
        assert parallel or len(calls) == 1
        for call in calls:
            assert call["id"].startswith("chatcmpl-tool-")
            schema = {"weather": PLACE, "add": SUM}[call["function"]["name"]]
            jsonschema.validate(json.loads(call["function"]["arguments"]), schema)


def test_named_call(wire: Wire) -> None:
    choice = wire.choice(WEATHER, tools=TOOLS, tool_choice=NAMED)
    assert choice["finish_reason"] == "stop"  # as OpenAI and vLLM say it for a named tool
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "add"
    jsonschema.validate(json.loads(call["function"]["arguments"]), SUM)


@pytest.mark.parametrize(("choice", "finish"), [("required", "tool_calls"), (NAMED, "stop")], ids=["required", "named"])
def test_forced_call_streamed(wire: Wire, choice: object, finish: str) -> None:
    body = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False, "temperature": 0}
    whole = wire.choice(WEATHER, **body)["message"]["tool_calls"][0]["function"]
    chunks = wire.stream(WEATHER, **body)
    calls = calls_of(chunks)
    assert json.loads(calls[0]["arguments"]) == json.loads(whole["arguments"])
    assert calls[0]["name"] == whole["name"]
    assert not any(choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"])
    assert chunks[-2]["choices"][0]["finish_reason"] == finish


def test_arguments_copied_from_the_users_text(wire: Wire) -> None:
    """An enum of spans makes misquoting impossible, whatever the model."""
    spans = ["all roses are flowers", "some flowers fade quickly", "some roses fade quickly"]
    schema = {"type": "object", "properties": {"conclusion": {"enum": spans}}, "required": ["conclusion"]}
    tool = {"type": "function", "function": {"name": "decide", "parameters": schema, "strict": True}}
    question = "If all roses are flowers and some flowers fade quickly, can we conclude that some roses fade quickly?"
    choice = wire.choice(question, tools=[tool], tool_choice={"type": "function", "function": {"name": "decide"}})
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])["conclusion"] in spans


def test_auto_reads_calls_out_of_the_text(wire: Wire) -> None:
    """The grammar stands in for a model that decides to call; the parser does not know that."""
    call = '{"name": "weather", "parameters": {"city": "Paris", "unit": "C"}}'
    body = {"tools": TOOLS, "tool_choice": "auto", "structured_outputs": {"choice": [call]}}
    choice = wire.choice(WEATHER, **body)
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris", "unit": "C"}
    chunks = wire.stream(WEATHER, **body)
    assert json.loads(calls_of(chunks)[0]["arguments"]) == {"city": "Paris", "unit": "C"}
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_auto_leaves_other_json_alone(wire: Wire) -> None:
    body = {"tools": TOOLS, "structured_outputs": {"choice": ['{"answer": 3}']}}
    assert wire.choice(WEATHER, **body)["message"]["content"] == '{"answer": 3}'
    chunks = wire.stream(WEATHER, **body)
    text = "".join(c["delta"].get("content", "") for chunk in chunks for c in chunk["choices"])
    assert text == '{"answer": 3}'


def test_tools_are_in_the_prompt(wire: Wire) -> None:
    messages = [{"role": "user", "content": WEATHER}]
    plain, shown = (
        wire.http.post("/tokenize", json={"messages": messages, **tools}).json()["count"]
        for tools in ({}, {"tools": TOOLS})
    )
    assert shown > plain + 50
    used = wire.post(WEATHER, tools=TOOLS, max_tokens=1).json()["usage"]["prompt_tokens"]
    assert used == shown


def test_tool_turns_in_the_history(wire: Wire) -> None:
    history = [
        {"role": "user", "content": WEATHER},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "Sunny, 21 degrees"},
    ]
    answer = wire.http.post("/v1/chat/completions", json={"messages": history, "max_tokens": 20, "tools": TOOLS})
    assert answer.status_code == 200
    twice = {**history[1], "tool_calls": history[1]["tool_calls"] * 2}
    refused = wire.http.post("/v1/chat/completions", json={"messages": [history[0], twice, history[2]]})
    assert refused.status_code == 400
    assert "single tool-calls" in refused.json()["error"]["message"]


# --- constraints ---


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        ({"choice": ["rainy", 'su"nny']}, r'rainy|su"nny'),
        ({"regex": r"[a-c]{3}-\d{2}"}, r"[a-c]{3}-\d{2}"),
        ({"regex": r"(Paris|Rome)/\w{1,8}( \d{1,3})?\."}, r"(Paris|Rome)/\w{1,8}( \d{1,3})?\."),
        ({"grammar": 'root ::= "x" [0-9]{2}'}, r"x\d\d"),
        ({"grammar": 'start: "yes" | "no"'}, r"yes|no"),
    ],
)
def test_structured_outputs(wire: Wire, constraint: dict[str, Any], pattern: str) -> None:
    choice = wire.choice(WEATHER, structured_outputs=constraint)
    assert re.fullmatch(pattern, choice["message"]["content"])
    assert choice["finish_reason"] == "stop"


NESTED = {
    "type": "object",
    "properties": {
        "people": {"type": "array", "items": {"$ref": "#/$defs/P"}, "minItems": 1, "maxItems": 2},
        "kind": {"const": "list"},
        "note": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[a-z]{1,5}$"}]},
    },
    "required": ["people", "kind", "note"],
    "$defs": {
        "P": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 10},
                "age": {"type": "integer", "minimum": 0, "maximum": 120},
            },
            "required": ["name", "age"],
        }
    },
}


@pytest.mark.parametrize(
    ("body", "schema"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": NESTED}}}, NESTED),
        ({"structured_outputs": {"json": NESTED}}, NESTED),
        ({"structured_outputs": {"json": json.dumps(PLACE)}}, PLACE),
    ],
)
def test_json_schema(wire: Wire, body: dict[str, Any], schema: dict[str, Any]) -> None:
    choice = wire.choice("Bob is 42 and Eve is 30. List them.", max_tokens=200, temperature=0, **body)
    jsonschema.validate(json.loads(choice["message"]["content"]), schema)


def test_removed_guided_fields_are_ignored(wire: Wire) -> None:
    answer = wire.choice("What is the capital of France?", guided_choice=["Rome"], temperature=0)
    assert "Paris" in answer["message"]["content"]


# --- refusals ---


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"temperature": 3}, "temperature", "temperature must be in [0, 2], got 3.0."),
        ({"temperature": "hot"}, "body.temperature", "Input should be a valid number"),
        ({"max_tokens": 0}, "max_tokens", "max_tokens must be at least 1, got 0."),
        ({"max_tokens": 5000}, "max_tokens", "max_tokens=5000 cannot be greater than max_model_len=4096."),
        ({"tools": []}, "tools", "`tools` must not be an empty array."),
        ({"tool_choice": "auto"}, "tool_choice", "When using `tool_choice`, `tools` must be set."),
        ({"tools": TOOLS, "tool_choice": "bogus"}, "tool_choice", "Invalid value for `tool_choice`: bogus!"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "zzz"}}},
            "tool_choice",
            "does not match any of the specified `tools`",
        ),
        (
            {
                "tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": "strange"}}}],
                "tool_choice": "required",
            },
            None,
            "Grammar error: Invalid type: strange",
        ),
        ({"structured_outputs": {"regex": "[a"}}, None, "Grammar error: "),
        (
            {"structured_outputs": {"json": {"type": "array", "uniqueItems": True}}},
            None,
            'Grammar error: Unimplemented keys: ["uniqueItems"]',
        ),
        ({"structured_outputs": {"choice": []}}, None, "cannot be an empty list"),
        ({"structured_outputs": {}}, None, "You must use one kind of structured outputs constraint"),
        (
            {"structured_outputs": {"choice": ["a"], "regex": "b"}},
            None,
            "You can only use one kind of structured outputs",
        ),
        ({"n": 2, "temperature": 0}, None, "n must be 1 when using greedy sampling, got 2."),
        ({"n": 0}, None, "n must be at least 1, got 0."),
        ({"stop": ""}, None, "stop cannot contain an empty string."),
        (
            {"stream_options": {"include_usage": True}},
            "stream_options",
            "Stream options can only be defined when `stream=True`.",
        ),
        ({"top_logprobs": 2}, "top_logprobs", "when using `top_logprobs`, `logprobs` must be set to true."),
        ({"logit_bias": {"x": 1}}, "logit_bias", "cannot be converted to integer token IDs: ['x']"),
        ({"logit_bias": {"999999": 1}}, "logit_bias", "out-of-vocab token ids. Vocabulary size: 49152"),
        ({"messages": []}, None, "Cannot apply chat template to an empty conversation."),
        ({"messages": "hi"}, "body.messages", "Input should be a valid list"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, None, "not a multimodal model"),
        ({"min_tokens": 3}, "min_tokens", "not supported by the local engine"),
    ],
)
def test_bad_requests(wire: Wire, body: dict[str, Any], param: str | None, words: str) -> None:
    error = wire.refusal(**body)
    assert words in error["message"]
    assert error["param"] == param


def test_context_overflow_gives_both_counts(wire: Wire) -> None:
    error = wire.refusal("word " * 5000, max_tokens=5)
    assert error["param"] == "input_tokens"
    limit, prompt = re.findall(r"(\d+) (?:input )?tokens", error["message"])[:2]
    assert int(limit) == 4096 < int(prompt)


def test_max_tokens_over_the_rest_is_cut_silently() -> None:
    with LocalEngine(context_window=64, parallel=1, progress=False) as endpoint:
        small = Wire(endpoint)
        answer = small.post("word " * 20, max_tokens=64, temperature=0, ignore_eos=True).json()
        small.http.close()
    assert answer["usage"]["total_tokens"] == 64
    assert answer["choices"][0]["finish_reason"] == "length"


def test_wrong_model_key_path_and_method(wire: Wire, local_endpoint: Endpoint) -> None:
    answer = wire.post(model="zzz")
    assert answer.status_code == 404
    message = f"The model `zzz` does not exist. Valid aliases: {local_endpoint.model}, local-alias."
    assert answer.json() == {"error": {"message": message, "type": "NotFoundError", "param": "model", "code": 404}}
    for key in ("", "Bearer wrong", "Basic x"):
        refused = wire.http.get("/v1/models", headers={"Authorization": key})
        assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})
    assert wire.http.get("/nope").json() == {"detail": "Not Found"}
    assert wire.http.get("/v1/chat/completions").status_code == 405
    text = wire.http.post("/v1/chat/completions", content="{}", headers={"content-type": "text/plain"})
    assert (text.status_code, text.json()["error"]["type"]) == (400, "Bad Request")
    assert (
        wire.http.post("/v1/chat/completions", content="{", headers={"content-type": "application/json"}).status_code
        == 400
    )


# --- the other routes ---


def test_models_health_version(wire: Wire, local_endpoint: Endpoint) -> None:
    cards = wire.http.get("/v1/models").json()["data"]
    assert [card["id"] for card in cards] == [local_endpoint.model, "local-alias"]
    assert all(card["max_model_len"] == 4096 and card["owned_by"] == "vllm" for card in cards)
    assert wire.choice("Say hello", model="local-alias", max_tokens=2)
    health = wire.http.get("/health", headers={"Authorization": ""})
    assert (health.status_code, health.content) == (200, b"")
    assert wire.http.get("/version").json()["version"].startswith("llama70b-")


def test_tokenize_counts_what_a_chat_is_charged(wire: Wire) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße, 世界 🌍"}]
    counted = wire.http.post("/tokenize", json={"messages": messages}).json()
    assert counted["count"] == len(counted["tokens"])
    assert counted["max_model_len"] == 4096
    charged = wire.http.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 1}).json()["usage"]
    assert counted["count"] == charged["prompt_tokens"]
    plain = wire.http.post("/tokenize", json={"prompt": "Grüße, 世界", "return_token_strs": True}).json()
    assert "".join(plain["token_strs"]).startswith("Gr")
    back = wire.http.post("/detokenize", json={"tokens": plain["tokens"]}).json()
    assert back == {"prompt": "Grüße, 世界"}


# --- a client that leaves ---


@pytest.mark.parametrize("stream", [True, False])
def test_hanging_up_ends_the_generation(*, stream: bool) -> None:
    """Read in llama.cpp's own log, because on a busy machine the clock proves nothing."""
    long = {"max_tokens": 3900, "ignore_eos": True, "temperature": 1.0, "n": 2, "stream": stream}
    body = {"messages": [{"role": "user", "content": "Tell a story."}], **long}
    engine = LocalEngine(progress=False)
    with engine as endpoint:
        wire = Wire(endpoint)
        if stream:
            with wire.http.stream("POST", "/v1/chat/completions", json=body) as answer:
                next(answer.iter_raw())
        else:
            with pytest.raises(httpx.ReadTimeout):
                wire.http.post("/v1/chat/completions", json=body, timeout=3.0)
        wire.http.close()
        deadline = time.monotonic() + 30
        while engine.log.count("cancel task") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert engine.log.count("cancel task") == 2
