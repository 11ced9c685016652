"""F08-F10, F13-F17, F24-F36: streams that stall, break, end wrongly or hold what they should not."""

import gzip
import json
import time
import tracemalloc
from typing import Any

import pytest

from llama70b import Delta, ToolCall, ToolCallDelta, Usage
from llama70b._sse import MAX_EVENT_BYTES
from llama70b.errors import (
    BadRequest,
    ContextOverflow,
    EndpointUnavailable,
    IncompleteStream,
    ProtocolError,
    RequestTimeout,
    ResponseTooLarge,
    ServerError,
    StreamStalled,
)
from tests.fault.asking import HELLO, Asker, endpoint, wait_for
from tests.fault.faultd import COUNTS, DONE, FINISH, USAGE, FaultServer, chunk_of, completion, data, delta, vllm_error

HEL_LO = [delta("Hel"), delta("lo")]


def test_f08_stream_stalls(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("events", blocks=HEL_LO, then="stall")
    outcome = ask_stream(endpoint(case, stream_idle=0.3))
    assert isinstance(outcome.error, StreamStalled)
    assert "timeouts.stream_idle" in str(outcome.error)
    assert outcome.error.text == "Hello"
    assert outcome.error.request_id == case.log[0].headers["x-request-id"]
    assert case.posts == 1
    assert 0.25 < outcome.seconds < 1


@pytest.mark.parametrize("beat", [b": ping\n\n", b":\n", b"\n", b"data:\n\n", b"data: \n\n", b"event: ping\n\n"])
def test_f09_only_heartbeats(ask_stream: Asker, faultd: FaultServer, beat: bytes) -> None:
    case = faultd.case("heartbeats", beat=beat, delay=0.04)
    outcome = ask_stream(endpoint(case, stream_idle=0.3))
    assert isinstance(outcome.error, StreamStalled)
    assert outcome.error.text == "Hel"
    assert 0.25 < outcome.seconds < 1


def test_f10_slow_but_steady(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("ok", text="one two three four five six", delay=0.2)
    outcome = ask_stream(endpoint(case, stream_idle=0.35, first_byte=0.35, connect=0.3, write=0.3))
    assert outcome.got.text == "one two three four five six"
    assert outcome.seconds > 1
    assert outcome.got.timing is not None
    assert outcome.got.timing.first_token_s == pytest.approx(0.2, abs=0.15)


def test_f10_until_the_deadline(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("ok", text="a b c d e f g h i j", delay=0.2)
    outcome = ask_stream(endpoint(case), timeout=0.7)
    assert isinstance(outcome.error, RequestTimeout)
    assert not isinstance(outcome.error, StreamStalled)
    assert "timeouts.total" in str(outcome.error)
    assert outcome.error.text.startswith("a b")
    assert 0.65 < outcome.seconds < 1.1


def test_f10_the_deadline_ends_a_wait_between_two_events(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("events", blocks=HEL_LO, then="stall")
    outcome = ask_stream(endpoint(case, stream_idle=5, total=0.4))
    assert isinstance(outcome.error, RequestTimeout)
    assert "timeouts.total" in str(outcome.error)
    assert outcome.seconds < 0.9


def test_f10_a_slow_reader_is_no_stalled_stream(faultd: FaultServer) -> None:
    from llama70b import Client

    case = faultd.case("ok", text="one two three", delay=0.1)
    with Client(endpoint(case, stream_idle=0.3), progress_bar=False) as client, client.stream(HELLO) as stream:
        words = []
        for piece in stream:
            words.append(piece.content)
            time.sleep(0.45)
    assert "".join(words) == "one two three"


def test_f13_reset_after_the_first_token(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("events", blocks=[delta("Hel")], then="reset")
    outcome = ask_stream(endpoint(case))
    assert isinstance(outcome.error, IncompleteStream)
    assert outcome.error.text == "Hel"
    assert outcome.error.retryable
    assert case.posts == 1


def test_f13_a_break_keeps_tool_calls_and_usage(ask_stream: Asker, faultd: FaultServer) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1'}}
    block = data({**chunk_of(delta={"tool_calls": [call]}), "usage": COUNTS})
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[delta("Let me"), block], then="reset")))
    assert isinstance(outcome.error, IncompleteStream)
    assert outcome.error.text == "Let me"
    assert outcome.error.tool_calls == (ToolCall("c1", "add", '{"a": 1'),)
    assert outcome.error.usage == Usage(7, 2)


@pytest.mark.parametrize("then", ["reset", "close", "cut", "stall"])
def test_f13_a_break_after_the_end_of_the_answer_loses_nothing(
    ask_stream: Asker, faultd: FaultServer, then: str
) -> None:
    case = faultd.case("events", blocks=[*HEL_LO, FINISH], then=then)
    outcome = ask_stream(endpoint(case, stream_idle=0.3))
    assert outcome.got.text == "Hello"
    assert outcome.got.finish_reason == "stop"
    assert outcome.got.usage is None


@pytest.mark.parametrize("then", ["end", "close"])
def test_f14_clean_end_without_finish_reason(ask_stream: Asker, faultd: FaultServer, then: str) -> None:
    case = faultd.case("events", blocks=HEL_LO, then=then)
    outcome = ask_stream(endpoint(case))
    assert isinstance(outcome.error, IncompleteStream)
    assert outcome.error.text == "Hello"
    assert outcome.error.request_id
    assert [d.content for d in outcome.deltas] == ["Hel", "lo"]
    assert case.posts == 1


def test_f14_an_empty_finish_reason_is_none(ask_stream: Asker, faultd: FaultServer) -> None:
    block = data(chunk_of(delta={"content": "Hel"}, finish_reason=""))
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[block], then="end")))
    assert isinstance(outcome.error, IncompleteStream)


def test_f15_finish_reason_without_done(ask_stream: Asker, faultd: FaultServer) -> None:
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[*HEL_LO, FINISH, USAGE])))
    assert outcome.got.text == "Hello"
    assert outcome.got.usage == Usage(7, 2)


def test_f16_done_without_finish_reason(ask_stream: Asker, faultd: FaultServer) -> None:
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[*HEL_LO, DONE])))
    assert isinstance(outcome.error, IncompleteStream)
    assert outcome.error.text == "Hello"


@pytest.mark.parametrize("more", [b"", b"data: x\n\n", b"garbage" * 10])
def test_f17_bytes_after_done_and_the_connection_held(ask_stream: Asker, faultd: FaultServer, more: bytes) -> None:
    case = faultd.case("holds_after_done", more=more)
    outcome = ask_stream(endpoint(case))
    assert outcome.got.text == "Hello"
    assert outcome.seconds < 0.4
    wait_for(lambda: len(case.hangups) == 1)  # closed, not leaked


@pytest.mark.parametrize("together", [True, False], ids=["last chunk in the same packet", "in packets of their own"])
def test_f17_the_connection_is_used_again(ask_stream: Asker, faultd: FaultServer, together: bool) -> None:
    tail = FINISH + USAGE + DONE
    case = faultd.case("events", blocks=[delta("Hi"), tail] if together else [delta("Hi"), FINISH, USAGE, DONE])
    outcomes = ask_stream.all(endpoint(case), [HELLO] * 5)
    assert [o.got.text for o in outcomes] == ["Hi"] * 5
    assert len(case.connections) == 1
    assert not case.hangups


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (vllm_error("boom", 504, "GatewayTimeout"), ServerError),
        (vllm_error("Invalid regex", 400), BadRequest),
        (vllm_error("draining", 503), EndpointUnavailable),
        (vllm_error("maximum context length is 4096 tokens. Your prompt contains 5000", 400), ContextOverflow),
        ({"error": {"message": "boom", "code": "504"}}, ServerError),
        ({"error": "boom"}, ServerError),
        ({**vllm_error("boom", 500), "choices": []}, ServerError),
    ],
)
def test_f24_nested_error_inside_the_stream(
    ask_stream: Asker, faultd: FaultServer, error: dict[str, Any], kind: type[Exception]
) -> None:
    case = faultd.case("events", blocks=[delta("Hel"), data(error), DONE])
    outcome = ask_stream(endpoint(case))
    assert type(outcome.error) is kind
    assert outcome.error.text == "Hel"
    assert outcome.error.request_id
    assert case.posts == 1


@pytest.mark.parametrize(
    "block",
    [
        data({"object": "error", "message": "boom", "type": "BadRequestError", "code": 400}),
        b'event: error\ndata: {"message": "boom", "code": 400}\n\n',
        b'event: error\ndata: {"error": {"message": "boom", "code": 400}}\n\n',
    ],
    ids=["flat", "event: error", "event: error, nested"],
)
def test_f25_flat_error_and_error_event(ask_stream: Asker, faultd: FaultServer, block: bytes) -> None:
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[delta("Hel"), block, DONE])))
    assert isinstance(outcome.error, BadRequest)
    assert "boom" in str(outcome.error)
    assert outcome.error.text == "Hel"


def test_f25_an_error_event_that_says_nothing_is_a_server_error(ask_stream: Asker, faultd: FaultServer) -> None:
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[delta("Hel"), b"event: error\ndata: {}\n\n"])))
    assert isinstance(outcome.error, ServerError)


def test_f26_usage_only_chunk(ask_stream: Asker, faultd: FaultServer) -> None:
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[*HEL_LO, FINISH, USAGE, DONE])))
    assert outcome.got.usage == Usage(7, 2)
    assert [d.usage for d in outcome.deltas] == [None, None, None, Usage(7, 2)]


def test_f26_cumulative_usage_comes_out_once(ask_stream: Asker, faultd: FaultServer) -> None:
    counts = [{**COUNTS, "completion_tokens": n} for n in (1, 2)]
    blocks = [data({**chunk_of(delta={"content": c}), "usage": u}) for c, u in zip("ab", counts, strict=True)]
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[*blocks, FINISH, DONE])))
    assert [d.usage for d in outcome.deltas if d.usage] == [Usage(7, 2)]
    assert outcome.deltas[-1].usage == Usage(7, 2)


@pytest.mark.parametrize("text", ["null", "5", '"x"', "[]", '{"choices": null}', "{", '{"choices": [5]}', "NaN"])
def test_f27_an_event_that_is_no_chunk(ask_stream: Asker, faultd: FaultServer, text: str) -> None:
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[delta("Hel"), data(text), DONE])))
    assert type(outcome.error) is ProtocolError
    assert outcome.error.text == "Hel"


def test_f27_unknown_fields_are_ignored(ask_stream: Asker, faultd: FaultServer) -> None:
    block = data({**chunk_of(delta={"content": "Hi", "mood": "good"}, token_ids=[1]), "new_in_2027": {"a": 1}})
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[block, FINISH, DONE])))
    assert outcome.got.text == "Hi"


def _call(index: int, arguments: str, **head: str) -> bytes:
    function = {"arguments": arguments} | ({"name": head["name"]} if "name" in head else {})
    call = {"index": index, "function": function} | ({"id": head["id"], "type": "function"} if "id" in head else {})
    return data(chunk_of(delta={"tool_calls": [call]}))


def test_f28_tool_calls_interleaved(ask_stream: Asker, faultd: FaultServer) -> None:
    blocks = [
        _call(0, "", id="a", name="add"),
        _call(1, '{"x"', id="b", name="sub"),
        _call(0, '{"a": '),
        _call(1, ": 2}"),
        _call(0, "1}"),
        data(chunk_of(finish_reason="tool_calls")),
        DONE,
    ]
    outcome = ask_stream(endpoint(faultd.case("events", blocks=blocks)))
    assert outcome.got.message.tool_calls == (ToolCall("a", "add", '{"a": 1}'), ToolCall("b", "sub", '{"x": 2}'))
    assert outcome.got.finish_reason == "tool_calls"
    assert outcome.deltas[1].tool_calls == (ToolCallDelta(1, "b", "sub", '{"x"'),)


def test_f29_broken_arguments_are_kept_as_they_came(ask: Asker, faultd: FaultServer) -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "add", "arguments": '{"a": 1'}}
    if ask.streaming:
        blocks = [data(chunk_of(delta={"tool_calls": [call]})), data(chunk_of(finish_reason="length")), DONE]
        case = faultd.case("events", blocks=blocks)
    else:
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        case = faultd.case("fixed", body=completion(message=message, finish_reason="length"))
    outcome = ask(endpoint(case))
    assert outcome.got.message.tool_calls == (ToolCall("a", "add", '{"a": 1'),)
    with pytest.raises(json.JSONDecodeError):
        outcome.got.message.tool_calls[0].parsed()


def test_f30_cut_at_every_byte(ask_stream: Asker, faultd: FaultServer) -> None:
    whole = (delta("é😀") + delta("漢") + FINISH + DONE).replace(b"\n\n", b"\r\n\r\n", 1)
    blocks = [whole[i : i + 1] for i in range(len(whole))]
    outcome = ask_stream(endpoint(faultd.case("events", blocks=blocks)))
    assert outcome.got.text == "é😀漢"


def test_f31_multi_line_data_comments_empty_events_id_retry(ask_stream: Asker, faultd: FaultServer) -> None:
    pretty = json.dumps(chunk_of(delta={"content": "Hi"}), indent=1)
    lines = b"".join(b"data:" + line.encode() + b"\n" for line in pretty.split("\n"))
    blocks = [
        b": hello\n\n",
        b"\n\n",
        b"id: 7\nretry: 10\n" + lines + b"\n",
        b"event: x\n\n",
        b"data\n\n",
        FINISH,
        DONE,
    ]
    outcome = ask_stream(endpoint(faultd.case("events", blocks=blocks)))
    assert outcome.got.text == "Hi"


def test_f32_byte_order_mark(ask_stream: Asker, faultd: FaultServer) -> None:
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[b"\xef\xbb\xbf" + delta("Hi"), FINISH, DONE])))
    assert outcome.got.text == "Hi"


def test_f33_characters_that_other_readers_split_at(ask_stream: Asker, faultd: FaultServer) -> None:
    text = "a\u2028b\u0085c\x00d\u2029e\x0bf\x1cg"
    block = data(chunk_of(delta={"content": text}))
    assert "\u2028".encode() in block  # as it is, not escaped
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[block[:70], block[70:], FINISH, DONE])))
    assert outcome.got.text == text


@pytest.mark.parametrize("bad", [b"\xff\xfe", b"\xc3(", b"\xed\xa0\x80"])
def test_f34_invalid_utf8(ask_stream: Asker, faultd: FaultServer, bad: bytes) -> None:
    block = delta("XX").replace(b"XX", bad)
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[delta("Hel"), block, DONE])))
    assert type(outcome.error) is ProtocolError
    assert outcome.error.text == "Hel"


def test_f34_invalid_utf8_in_a_body(ask_chat: Asker, faultd: FaultServer) -> None:
    body = json.dumps(completion()).encode().replace(b"Hello", b"\xff\xfe")
    assert type(ask_chat(endpoint(faultd.case("fixed", body=body))).error) is ProtocolError


def test_f35_an_event_of_2_mib(ask_stream: Asker, faultd: FaultServer) -> None:
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[delta("Hel"), delta("x" * 2 * 1024 * 1024), DONE])))
    assert isinstance(outcome.error, ResponseTooLarge)
    assert outcome.error.text == "Hel"


@pytest.mark.parametrize("block", [b"data: " + b"x" * 65536, b"data: x\n" * 8192, b": " + b"x" * 65536])
def test_f35_an_endless_line_stays_small_in_memory(ask_stream: Asker, faultd: FaultServer, block: bytes) -> None:
    case = faultd.case("flood", block=block)
    tracemalloc.start()
    try:
        outcome = ask_stream(endpoint(case))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(outcome.error, ResponseTooLarge)
    assert peak < 12 * MAX_EVENT_BYTES


def test_f35_an_endless_stream(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("flood", block=b": padding of a comment" * 2000 + b"\n\n")
    outcome = ask_stream(endpoint(case, total=60, stream_idle=60))
    assert isinstance(outcome.error, ResponseTooLarge)
    wait_for(lambda: len(case.hangups) == 1)


def test_f35_an_endless_body(ask_chat: Asker, faultd: FaultServer) -> None:
    outcome = ask_chat(endpoint(faultd.case("flood", block=b"x" * 65536), total=60))
    assert isinstance(outcome.error, ResponseTooLarge)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "x-nonsense"])
def test_f36_compressed_although_not_asked_for(ask: Asker, faultd: FaultServer, encoding: str) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    headers = {"Content_Encoding": encoding}
    if ask.streaming:
        case = faultd.case("events", blocks=[bomb], headers=headers)
    else:
        case = faultd.case("fixed", body=bomb, headers=headers)
    outcome = ask(endpoint(case))
    assert isinstance(outcome.error, ProtocolError)
    assert case.log[0].headers["accept-encoding"] == "identity"
    assert case.posts == 1


def test_f36_an_identity_encoding_is_none(ask_chat: Asker, faultd: FaultServer) -> None:
    case = faultd.case("fixed", body=completion(), headers={"Content_Encoding": "identity"})
    assert ask_chat(endpoint(case)).got.text == "Hello there"


def test_deltas_arrive_before_the_fault_in_the_same_packet(ask_stream: Asker, faultd: FaultServer) -> None:
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[delta("Hel") + delta("lo") + data("{")])))
    assert [d.content for d in outcome.deltas if isinstance(d, Delta)] == ["Hel", "lo"]
    assert isinstance(outcome.error, ProtocolError)
