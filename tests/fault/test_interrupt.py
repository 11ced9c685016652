"""A stream that is cut off: an error that keeps what had arrived, or, on demand, an answer made of it."""

import json
import pickle
from typing import Any

import pytest

from llama70b import AsyncClient, Client, ToolCall, Usage
from llama70b.errors import ConfigurationError, IncompleteStream, Llama70BError
from tests.fault.asking import HELLO, Asker, endpoint, wait_for
from tests.fault.faultd import COUNTS, DONE, FINISH, USAGE, FaultServer, chunk_of, data, delta, vllm_error

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1'}}
BEGUN = [
    delta("Let me"),
    data({**chunk_of(delta={"tool_calls": [CALL]}), "usage": COUNTS}),
]
CUTS: dict[str, dict[str, Any]] = {
    "reset": {"then": "reset"},
    "closed": {"then": "close"},
    "ended without finish_reason": {"then": "end"},
    "cut inside a chunk's header": {"then": "cut"},
    "silent": {"then": "stall"},
    "heartbeats for ever": {"fault": "heartbeats", "delay": 0.05},
    "error inside the stream": {"blocks": [*BEGUN, data(vllm_error("engine died", 500)), DONE]},
    "done without finish_reason": {"blocks": [*BEGUN, DONE]},
}


def _case(faultd: FaultServer, cut: dict[str, Any]) -> Any:
    given = {"fault": "events", "blocks": BEGUN, **cut}
    return faultd.case(given.pop("fault"), **given)


@pytest.mark.parametrize("how", CUTS)
def test_raise_is_the_default_and_keeps_what_had_arrived(ask_stream: Asker, faultd: FaultServer, how: str) -> None:
    case = _case(faultd, CUTS[how])
    outcome = ask_stream(endpoint(case, stream_idle=0.3))
    error = outcome.error
    assert error is not None
    assert error.retryable
    if "heartbeats" in how:
        assert error.text == "Hel"
    else:
        assert (error.text, error.tool_calls, error.usage) == (
            "Let me",
            (ToolCall("c1", "add", '{"a": 1'),),
            Usage(7, 2),
        )
    assert case.posts == 1


@pytest.mark.parametrize("how", CUTS)
def test_return_ends_with_interrupted(ask_stream: Asker, faultd: FaultServer, how: str) -> None:
    case = _case(faultd, CUTS[how])
    outcome = ask_stream(endpoint(case, stream_idle=0.3), on_interrupt="return")
    answer = outcome.got
    assert answer.finish_reason == "interrupted"
    assert answer.raw["error"]["type"] in {"IncompleteStream", "StreamStalled", "ServerError"}
    assert json.loads(json.dumps(answer.raw)) == answer.raw
    if "heartbeats" in how:
        assert answer.text == "Hel"
    else:
        assert (answer.text, answer.message.tool_calls) == ("Let me", (ToolCall("c1", "add", '{"a": 1'),))
        assert answer.usage == Usage(7, 2)
        assert outcome.deltas[-1].usage == Usage(7, 2)
    assert [d.finish_reason for d in outcome.deltas if d.finish_reason] == ["interrupted"]
    assert answer.request_id
    assert case.posts == 1  # nothing was sent again
    wait_for(lambda: not case.open_connections)


def test_return_set_on_the_client(faultd: FaultServer) -> None:
    case = _case(faultd, CUTS["reset"])
    with Client(endpoint(case), progress_bar=False, on_interrupt="return") as client:
        stream = client.stream(HELLO)
        list(stream)
        assert stream.completion is not None
        assert stream.completion.finish_reason == "interrupted"
        with pytest.raises(IncompleteStream):
            list(client.stream(HELLO, on_interrupt="raise"))


async def test_return_set_on_the_client_async(faultd: FaultServer) -> None:
    case = _case(faultd, CUTS["reset"])
    async with AsyncClient(endpoint(case), progress_bar=False, on_interrupt="return") as client:
        stream = await client.stream(HELLO)
        assert [delta async for delta in stream]
        assert stream.completion is not None
        assert stream.completion.finish_reason == "interrupted"


@pytest.mark.parametrize(
    ("blocks", "kind"),
    [
        ([data(vllm_error("Invalid regex", 400))], "BadRequest"),
        ([data("{")], "ProtocolError"),
        ([b"data: \xff\n\n"], "ProtocolError"),
        ([delta("x" * 2 * 1024 * 1024)], "ResponseTooLarge"),
    ],
)
def test_what_is_no_cut_is_raised_all_the_same(
    ask_stream: Asker, faultd: FaultServer, blocks: list[bytes], kind: str
) -> None:
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[delta("Hel"), *blocks])), on_interrupt="return")
    assert outcome.kind == kind
    assert outcome.text == "Hel"


def test_with_nothing_arrived_there_is_nothing_to_return(ask_stream: Asker, faultd: FaultServer) -> None:
    role = data(chunk_of(delta={"role": "assistant", "content": ""}))
    outcome = ask_stream(endpoint(faultd.case("events", blocks=[role], then="reset")), on_interrupt="return")
    assert isinstance(outcome.error, IncompleteStream)


def test_a_deadline_is_a_cut_too(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("ok", text="a b c d e f g h i j", delay=0.2)
    outcome = ask_stream(endpoint(case), timeout=0.7, on_interrupt="return")
    assert outcome.got.finish_reason == "interrupted"
    assert outcome.got.text.startswith("a b")
    wait_for(lambda: len(case.hangups) == 1)


def test_a_whole_answer_is_not_touched(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("events", blocks=[delta("Hel"), delta("lo"), FINISH], then="reset")
    outcome = ask_stream(endpoint(case), on_interrupt="return")
    assert (outcome.got.text, outcome.got.finish_reason) == ("Hello", "stop")
    assert "error" not in outcome.got.raw


def test_neither_raise_nor_return(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("ok")
    assert isinstance(ask_stream(endpoint(case), on_interrupt="ignore").error, ConfigurationError)
    with pytest.raises(ConfigurationError, match="on_interrupt"):
        Client(endpoint(case), on_interrupt="")  # type: ignore[arg-type]
    assert not case.log


# -- the wait for the first token


def test_a_long_prefill_behind_early_headers_lives(ask_stream: Asker, faultd: FaultServer) -> None:
    blocks = [b": keep-alive\n\n"] * 12 + [delta("Hello"), FINISH, USAGE, DONE]
    case = faultd.case("events", blocks=blocks, delay=0.05)  # the first token comes 0.65 s after the headers
    outcome = ask_stream(endpoint(case, stream_idle=0.3, first_byte=3))
    assert outcome.got.text == "Hello"


def test_but_not_longer_than_first_byte(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("events", blocks=[b": keep-alive\n\n"] * 100, delay=0.05)
    outcome = ask_stream(endpoint(case, stream_idle=0.2, first_byte=0.6))
    assert outcome.kind == "StreamStalled"
    assert "timeouts.first_byte" in str(outcome.error)
    assert 0.5 < outcome.seconds < 1.0
    assert case.posts == 1


def test_after_the_first_token_stream_idle_counts(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("heartbeats", delay=0.05)
    outcome = ask_stream(endpoint(case, stream_idle=0.3, first_byte=5))
    assert outcome.kind == "StreamStalled"
    assert "timeouts.stream_idle" in str(outcome.error)
    assert outcome.seconds < 0.8


def test_streamed_raw_holds_the_logprobs(ask_stream: Asker, faultd: FaultServer) -> None:
    entries = [{"token": t, "logprob": -0.5, "bytes": None, "top_logprobs": []} for t in ("Hel", "lo")]
    blocks = [data(chunk_of(delta={"content": entry["token"]}, logprobs={"content": [entry]})) for entry in entries]
    answer = ask_stream(endpoint(faultd.case("events", blocks=[*blocks, FINISH, USAGE, DONE]))).got
    assert answer.raw["choices"][0]["logprobs"] == {"content": entries}
    assert [entry.token for entry in answer.choices[0].logprobs or ()] == ["Hel", "lo"]


def test_errors_of_a_stream_survive_pickling(ask_stream: Asker, faultd: FaultServer) -> None:
    error = ask_stream(endpoint(faultd.case("events", blocks=BEGUN, then="reset"))).error
    assert isinstance(error, Llama70BError)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.text, twin.tool_calls, twin.usage) == (error.text, error.tool_calls, error.usage)
