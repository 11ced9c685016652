"""The shipped chat template, rendered the way transformers renders it (sandboxed, trimmed blocks, plain JSON)."""

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from server.command import TEMPLATE

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _compiled() -> Any:
    # transformers' `_compile_jinja_template`: same class, same block trimming, its own tojson, these two globals.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime(2026, 11, 22).strftime(form)  # noqa: DTZ001
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


COMPILED = _compiled()


def render(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None, *, prompt: bool = True) -> str:
    return COMPILED.render(messages=messages, tools=tools, add_generation_prompt=prompt, bos_token="<|begin_of_text|>")


def turns(text: str) -> list[tuple[str, str]]:
    """(role, body) of every finished turn."""
    pieces = text.removeprefix("<|begin_of_text|>").split("<|start_header_id|>")[1:]
    split = [piece.split("<|end_header_id|>\n\n", 1) for piece in pieces]
    return [(role, body.removesuffix("<|eot_id|>")) for role, body in split if body.endswith("<|eot_id|>")]


def call(identifier: str, city: str, *, as_text: bool = False) -> dict[str, Any]:
    arguments: Any = {"city": city}
    return {
        "id": identifier,
        "type": "function",
        "function": {"name": "weather", "arguments": json.dumps(arguments) if as_text else arguments},
    }


def test_plain_chat_is_metas_format() -> None:
    assert render([{"role": "user", "content": " Hi "}]) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        "Today Date: 22 Nov 2026\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_single_call_is_metas_format() -> None:
    text = render(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather in Paris?"},
            {"role": "assistant", "content": None, "tool_calls": [call("1", "Paris")]},
            {"role": "tool", "tool_call_id": "1", "content": "sunny"},
        ],
        [WEATHER],
    )
    got = turns(text)
    assert got[0][1].startswith("Environment: ipython\n")
    assert got[0][1].endswith("Be brief.")
    assert got[1][0] == "user"
    assert json.dumps(WEATHER, indent=4) in got[1][1]
    assert got[1][1].endswith("Weather in Paris?")
    assert got[2] == ("assistant", '{"name": "weather", "parameters": {"city": "Paris"}}')
    assert got[3] == ("ipython", '{"output": "sunny"}')
    assert text.endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")


@pytest.mark.parametrize("as_text", [False, True], ids=["dict", "string"])
def test_several_calls_do_not_raise_and_read_back(as_text: bool) -> None:
    history = [
        {"role": "user", "content": "Weather in Paris and Rome?"},
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [call("a", "Paris", as_text=as_text), call("b", "Rome")],
        },
        {"role": "tool", "tool_call_id": "b", "content": "rain"},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "sunny"}]},
        {"role": "assistant", "content": "Paris sunny, Rome rain."},
    ]
    got = turns(render(history, [WEATHER]))
    assert got[2] == ("assistant", "Looking.")
    # The parser's own reading: JSON objects separated by "; ".
    calls = [json.loads(piece) for piece in got[3][1].split("; ")]
    assert calls == [{"name": "weather", "parameters": {"city": c}} for c in ("Paris", "Rome")]
    assert [json.loads(body) for role, body in got if role == "ipython"] == [
        {"name": "weather", "output": "rain"},
        {"name": "weather", "output": "sunny"},
    ]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "system", "content": "S"}],
        [{"role": "assistant", "content": "I begin."}],
        [{"role": "assistant", "content": None, "tool_calls": [call("1", "Oslo")]}],
        [{"role": "assistant", "content": "x", "tool_calls": []}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        [{"role": "tool", "content": "orphan"}],
    ],
)
def test_odd_histories_with_tools_do_not_raise(messages: list[dict[str, Any]]) -> None:
    text = render(messages, [WEATHER])
    assert text.count('"weather"') >= 1
    assert text.startswith("<|begin_of_text|><|start_header_id|>system")


def test_text_is_kept_exactly() -> None:
    tricky = 'line\u2028sep \u0085 {{ 7*7 }} {% raw %} "quotes" 机器学习'
    assert turns(render([{"role": "user", "content": tricky}]))[-1] == ("user", tricky)


_MESSAGE = st.one_of(
    st.builds(
        lambda r, c: {"role": r, "content": c}, st.sampled_from(["user", "assistant", "system"]), st.text(max_size=20)
    ),
    st.builds(
        lambda cities: {"role": "assistant", "content": None, "tool_calls": [call(c, c) for c in cities]},
        st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3),
    ),
    st.builds(lambda c: {"role": "tool", "tool_call_id": c, "content": c}, st.text(max_size=5)),
)


@settings(max_examples=50)
@given(messages=st.lists(_MESSAGE, max_size=6), tools=st.sampled_from([None, [], [WEATHER]]))
def test_no_history_raises(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> None:
    assert render(messages, tools).endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")
