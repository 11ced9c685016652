"""Chunks put together: any split gives the whole, errors inside a stream, what is kept when it breaks."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b import ToolCall, Usage
from llama70b._assemble import Assembler
from llama70b._sse import SSEDecoder
from llama70b.errors import BadRequest, IncompleteStream, Llama70BError, ProtocolError, ServerError
from llama70b.types import Delta
from tests.unit.core.world import few

COUNTS = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def chunk(**fields: Any) -> str:
    choice = {"index": 0, "delta": {}, "finish_reason": None}
    choice.update(
        {k: fields.pop(k) for k in list(fields) if k in {"delta", "finish_reason", "logprobs", "stop_reason"}}
    )
    head = {"id": "c1", "created": 3, "model": "m", "system_fingerprint": "fp", "choices": [choice]}
    return json.dumps({**head, **fields})


def call(index: int | None, arguments: str | None = None, call_id: str | None = None, name: str | None = None) -> str:
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    item: dict[str, Any] = {"function": function}
    if index is not None:
        item["index"] = index
    if call_id is not None:
        item["id"] = call_id
    return chunk(delta={"tool_calls": [item]})


def run(*events: str | tuple[str, str]) -> tuple[Assembler, list[Delta]]:
    assembler = Assembler(request_id="r1")
    deltas = []
    for event in events:
        kind, data = event if isinstance(event, tuple) else ("", event)
        delta = assembler.push(kind, data)
        if delta is not None:
            deltas.append(delta)
    last = assembler.last()
    return assembler, [*deltas, last] if last is not None else deltas


STOP = chunk(finish_reason="stop")


@few
@given(st.lists(st.text(), max_size=20))
def test_pieces_of_text_make_the_whole(pieces: list[str]) -> None:
    assembler, deltas = run(*(chunk(delta={"content": piece}) for piece in pieces), STOP, "[DONE]")
    assert assembler.completion().text == "".join(pieces)
    assert "".join(d.content for d in deltas) == "".join(pieces)


def split(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


CALLS = st.lists(
    st.tuples(st.text("abc", min_size=1, max_size=5), st.dictionaries(st.text(max_size=3), st.integers(), max_size=3)),
    min_size=1,
    max_size=4,
)


@few
@given(CALLS, st.data())
def test_interleaved_fragments_of_tool_calls_make_the_whole(
    calls: list[tuple[str, dict[str, int]]], data: st.DataObject
) -> None:
    queues: list[list[str]] = []
    expected = []
    for number, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments)
        cuts = data.draw(st.lists(st.integers(0, 100), max_size=4))
        pieces = split(text, cuts)
        queues.append([call(number, pieces[0], f"id{number}", name), *(call(number, p) for p in pieces[1:])])
        expected.append(ToolCall(f"id{number}", name, text))
    events = []
    while any(queues):
        number = data.draw(st.sampled_from([n for n, queue in enumerate(queues) if queue]))
        events.append(queues[number].pop(0))
    assembler, deltas = run(*events, chunk(finish_reason="tool_calls"))
    assert assembler.completion().message.tool_calls == tuple(expected)
    together: dict[int, str] = {}
    for delta in deltas:
        for fragment in delta.tool_calls:
            together[fragment.index] = together.get(fragment.index, "") + fragment.arguments
    assert together == {number: expected[number].arguments for number in range(len(calls))}


def test_a_server_that_numbers_every_call_zero() -> None:
    events = [call(0, '{"a"', "x", "add"), call(0, ": 1}"), call(0, '{"b"', "y", "sub"), call(0, ": 2}")]
    assembler, _ = run(*events, call(0, "", "x"))
    assert assembler.tool_calls == (ToolCall("x", "add", '{"a": 1}'), ToolCall("y", "sub", '{"b": 2}'))


def test_a_call_that_begins_again_under_another_index_keeps_its_place() -> None:
    assembler, _ = run(call(0, "1", "x", "add"), call(2, "2", "y", "sub"), call(0, "3", "y", "sub"))
    assert [c.arguments for c in assembler.tool_calls] == ["1", "23"]


def test_fragments_without_an_index_or_an_id() -> None:
    assembler, _ = run(call(None, "{", None, "add"), call(None, "}"))
    assert assembler.tool_calls == (ToolCall("call_0", "add", "{}"),)


def test_a_new_index_never_lands_on_a_call_that_was_moved() -> None:
    assembler, _ = run(call(0, "a", "x", "f"), call(0, "b", "y", "g"), call(1, "c", "z", "h"), call(1, "d"))
    assert [(c.id, c.arguments) for c in assembler.tool_calls] == [("x", "a"), ("y", "b"), ("z", "cd")]


def test_usage_comes_out_once_and_last() -> None:
    first, second = {**COUNTS, "completion_tokens": 1}, COUNTS
    text = [chunk(delta={"content": c}, usage=u) for c, u in (("a", first), ("b", second))]
    assembler, deltas = run(*text, STOP)
    assert [d.usage for d in deltas] == [None, None, None, Usage(7, 2)]
    assert assembler.last() is None
    assert assembler.completion().usage == Usage(7, 2)
    usage_only = chunk(choices=[], usage=second, metrics={"queue_time_ms": 1.0})
    assembler, deltas = run(*text, STOP, usage_only, usage_only)
    assert [d.usage for d in deltas] == [None, None, None, Usage(7, 2)]
    assert assembler.completion().metrics == {"queue_time_ms": 1.0}


@pytest.mark.parametrize("usage", [None, {}, [], "x", {"prompt_tokens": None}])
def test_a_usage_that_is_none_does_not_replace_one_that_was(usage: Any) -> None:
    assembler, _ = run(chunk(usage=COUNTS), chunk(usage=usage), STOP)
    assert assembler.completion().usage == Usage(7, 2)
    assert run(chunk(choices=[], usage=usage))[1] == []


def test_head_stop_reason_logprobs_and_reasoning() -> None:
    entry = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1}]}
    assembler, deltas = run(
        chunk(delta={"role": "assistant", "reasoning_content": "hm"}),
        chunk(delta={"content": "a", "reasoning": "m"}, logprobs={"content": [entry]}),
        chunk(logprobs={"content": None}),
        chunk(finish_reason="stop", stop_reason="END"),
    )
    answer = assembler.completion()
    assert (answer.id, answer.created, answer.model, answer.system_fingerprint) == ("c1", 3, "m", "fp")
    assert answer.choices[0].stop_reason == deltas[-1].stop_reason == "END"
    assert answer.message.reasoning == "hmm"
    assert answer.choices[0].logprobs == deltas[1].logprobs
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs[0].top[0].token == "b"
    assert deltas[1].raw["id"] == "c1"


@pytest.mark.parametrize(
    "data",
    [
        chunk(delta={"content": 5}),
        chunk(delta={"tool_calls": 5}),
        chunk(delta={"tool_calls": [5]}),
        chunk(delta={"tool_calls": [{"id": 5}]}),
        chunk(delta={"tool_calls": [{"function": {"name": ["x"]}}]}),
        chunk(delta={"tool_calls": [{"function": {"arguments": {"a": 1}}}]}),
        chunk(choices=[5]),
        chunk(choices=[{"index": 1, "delta": {"content": "of another answer"}}]),
        chunk(choices=None),
        "null",
        "5",
        "{",
        '{"choices": [NaN]}',
    ],
)
def test_what_is_no_chunk(data: str) -> None:
    assembler, _ = run(chunk(delta={"content": "a"}))
    with pytest.raises(ProtocolError) as caught:
        assembler.push("", data)
    assert assembler.interrupted(caught.value).text == "a"


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("", {"error": {"message": "boom", "code": 400}}, BadRequest),
        ("", {"object": "error", "message": "boom", "code": 400}, BadRequest),
        ("", {"error": "boom"}, ServerError),
        ("", {"error": {"message": "boom", "code": "x"}}, ServerError),
        ("", {"choices": [], "error": {"message": "boom", "code": 400}}, BadRequest),
        ("error", {"message": "boom", "code": 400}, BadRequest),
        ("error", {"detail": "boom"}, ServerError),
        ("error", {"message": 5}, ServerError),
        ("error", {}, ServerError),
    ],
)
def test_errors_inside_a_stream(kind: str, data: dict[str, Any], expected: type[Llama70BError]) -> None:
    with pytest.raises(expected, match="inside the stream") as caught:
        Assembler(request_id="r1").push(kind, json.dumps(data))
    assert caught.value.request_id == "r1"


@pytest.mark.parametrize("harmless", [{"error": None}, {"error": False}, {"error": {}}, {"error": ""}])
def test_an_empty_error_field_is_none(harmless: dict[str, Any]) -> None:
    _, deltas = run(chunk(delta={"content": "a"}, **harmless))
    assert [d.content for d in deltas] == ["a"]


@pytest.mark.parametrize("reason", [None, ""])
def test_a_stream_without_finish_reason_is_incomplete(reason: str | None) -> None:
    assembler, _ = run(chunk(delta={"content": "a"}), chunk(finish_reason=reason), "[DONE]")
    assert assembler.done
    assert not assembler.finished
    with pytest.raises(IncompleteStream, match="finish_reason"):
        assembler.completion()


def test_what_had_arrived_is_kept() -> None:
    assembler, _ = run(chunk(delta={"content": "a"}, usage=COUNTS), call(0, "{", "x", "add"))
    error = assembler.interrupted(IncompleteStream("cut"))
    assert (error.text, error.usage, error.tool_calls) == ("a", Usage(7, 2), (ToolCall("x", "add", "{"),))


PARIS = "The capital of France is Paris."
WEATHER = ToolCall("chatcmpl-tool-841a734fa570b2d0", "get_weather", '{"city": "Paris", "unit": "C"}')


@pytest.mark.parametrize("size", [1, 5, 4096])
@pytest.mark.parametrize(
    ("name", "said", "usage"),
    [
        ("stream", PARIS, Usage(28, 8, cached_tokens=0)),
        ("usage_at_the_end", PARIS, Usage(28, 8)),
        ("no_usage", PARIS, None),
        ("logprobs", PARIS, Usage(28, 8, cached_tokens=0)),
        ("unicode", "Cela va? 你好, what's up?", Usage(40, 15, cached_tokens=0)),
        ("tool_call", WEATHER, Usage(178, 26, cached_tokens=128)),
    ],
)
def test_recorded_streams(
    name: str, said: str | ToolCall, usage: Usage | None, size: int, recorded_stream: Callable[[str], bytes]
) -> None:
    wire, decoder = recorded_stream(name), SSEDecoder()
    assembler, deltas = run(
        *(event for at in range(0, len(wire), size) for event in decoder.feed(wire[at : at + size]))
    )
    answer = assembler.completion()
    assert assembler.done
    assert "".join(delta.content for delta in deltas) == answer.text
    assert [delta.usage for delta in deltas if delta.usage] == ([usage] if usage else [])
    assert answer.usage == usage
    assert (answer.system_fingerprint or "").startswith("vllm-0.32.0")
    if isinstance(said, ToolCall):
        assert (answer.text, answer.message.tool_calls, answer.finish_reason) == ("", (said,), "tool_calls")
    else:
        assert (answer.text, answer.message.tool_calls, answer.finish_reason) == (said, (), "stop")
    if name == "logprobs":
        assert "".join(item.token for item in answer.choices[0].logprobs or ()) == PARIS + "<|im_end|>"


def test_a_recorded_error_inside_a_stream(recorded_stream: Callable[[str], bytes]) -> None:
    (kind, data), done = SSEDecoder().feed(recorded_stream("error_inside"))
    with pytest.raises(BadRequest, match="invalid regex") as caught:
        Assembler().push(kind, data)
    assert (caught.value.status, done) == (400, ("", "[DONE]"))


def test_a_recorded_stream_of_two_answers(recorded_stream: Callable[[str], bytes]) -> None:
    with pytest.raises(ProtocolError, match="more than one answer: ask for n=1"):
        run(*SSEDecoder().feed(recorded_stream("two_answers")))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("content", "reasoning", "tool_calls", "role", "function", "name", "arguments", "id", "index", "type")
PIECES = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4)


@few
@given(
    st.lists(
        st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"delta": PIECES}) | JSON, max_size=2)})
        | JSON,
        max_size=5,
    )
)
def test_any_json_gives_deltas_or_a_typed_error(events: list[Any]) -> None:
    assembler = Assembler()
    for event in events:
        try:
            assembler.push("", json.dumps(event))
        except Llama70BError as error:
            assembler.interrupted(error)
            return
    try:
        assembler.completion()
    except Llama70BError:
        return
