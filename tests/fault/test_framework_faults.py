"""Every fault a user can meet through a framework: what they get, in each of the four ways to ask.

Beyond what `judge` asks of any client, ours is held to its exact class, the number of POSTs, the words, the request id.
"""

import copy
import json
import pickle
import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import exceptions as lc
from langchain_core.messages import AIMessageChunk

from langchain_llama70b._chunks import ChunkMaker
from llama70b import Choice, Completion, Delta, Message, ToolCall, ToolCallDelta
from llama70b.errors import Llama70BError
from tests.fault.faultd import FaultServer
from tests.fault.frameworks import MARKER, OURS, LangChain, Stack, counted, note, ways_of
from tests.fault.scenarios import SCENARIOS, Scenario, Seen, judge

CASES = [
    pytest.param(scenario, stack, way, id=f"{scenario.id}-{stack.name}-{way}")
    for scenario in SCENARIOS
    for stack in OURS
    for way in ways_of(scenario)
]


@pytest.mark.parametrize(("scenario", "stack", "way"), CASES)
def test_through(  # noqa: PLR0917 - fixtures and parameters
    request: pytest.FixtureRequest,
    faultd: FaultServer,
    elsewhere: FaultServer,
    scenario: Scenario,
    stack: Stack,
    way: str,
) -> None:
    fault = scenario.fault_for(way)
    assert fault is not None
    case = fault.on(faultd, elsewhere)
    llm = stack.make(case, limits=scenario.limits)
    seen = counted(stack.call(llm, way), case, elsewhere)
    stack.close(llm)
    note(request, stack, seen)
    typed = seen.error is not None and stack.typed(seen.error, scenario.kind)
    assert judge(scenario, way, seen, typed=typed) == [], repr(seen.error)
    assert case.posts == scenario.posts
    assert seen.seconds < 3
    assert MARKER in case.log[0].headers["authorization"]
    if seen.error is not None:
        assert isinstance(seen.error, Llama70BError)
        _check_error(seen.error, scenario, way, stack, case.log[0].headers["x-request-id"])
        assert seen.pieces == (scenario.text if way.startswith("stream") else "")


def _check_error(error: Llama70BError, scenario: Scenario, way: str, stack: Stack, request_id: str) -> None:
    assert error.request_id == request_id
    assert error.retryable is scenario.retryable
    assert scenario.says in str(error)
    if isinstance(stack, LangChain):
        assert isinstance(error, lc.ModelError)
        assert error.is_retryable is scenario.retryable
    if not way.startswith("stream"):
        assert error.text == ""
    assert "marker-of-the-page" not in f"{error!r} {error} {error.body}"
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert (twin.request_id, twin.text, str(twin)) == (error.request_id, error.text, str(error))


def _everything(error: BaseException) -> str:
    """Return what curious tracebacks, error trackers and dumps print of an error: its chain, with all variables."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(frames.format()) + f"{error!r}{error.args}{error.__dict__}{pickle.dumps(error)!r}"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(arguments=st.dictionaries(st.text(max_size=3), _JSON, min_size=1, max_size=3), share=st.floats(0, 1))
@settings(max_examples=300, deadline=None)
def test_f29_half_a_call_never_becomes_a_whole_one(arguments: dict[str, Any], share: float) -> None:
    """LangChain merges chunks by closing what is open; what an agent would then run is not what the model wrote."""
    text = json.dumps(arguments, ensure_ascii=False)
    cut = text[: 1 + int(share * (len(text) - 1))]
    maker, assembled = ChunkMaker(), (ToolCall("a", "add", cut),)
    first = maker.chunk(Delta(tool_calls=(ToolCallDelta(0, "a", "add", cut),)))
    last = maker.last(
        Completion(
            id="x",
            model="m",
            choices=(Choice(0, Message("assistant", "", tool_calls=assembled), "length"),),
            usage=None,
        )
    )
    assert first is not None
    message = first.message + last.message
    assert isinstance(message, AIMessageChunk)
    if cut == text:
        assert [call["args"] for call in message.tool_calls] == [arguments]
        assert not message.invalid_tool_calls
    else:
        assert not message.tool_calls
        (broken,) = message.invalid_tool_calls
        assert (broken["name"], broken["id"]) == ("add", "a")
        assert str(broken["args"]).startswith(cut)


REFUSALS: list[tuple[str, dict[str, Any]]] = [
    ("401 that quotes the key", {"status": 401, "body": f"Incorrect API key: sk-{MARKER}-a".encode()}),
    ("403 that quotes the secret", {"status": 403, "body": f'{{"error": "ws-{MARKER}-c"}}'.encode()}),
    ("502", {"status": 502}),
    ("no choices", {"body": b"{}"}),
]


@pytest.mark.parametrize("way", ["chat-sync", "stream-async"])
@pytest.mark.parametrize(("what", "params"), REFUSALS, ids=[what for what, _ in REFUSALS])
@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f59_marker_in_errors_of_the_frameworks(  # noqa: PLR0917 - fixtures and parameters
    request: pytest.FixtureRequest,
    faultd: FaultServer,
    stack: Stack,
    caplog: pytest.LogCaptureFixture,
    what: str,
    params: dict[str, Any],
    way: str,
) -> None:
    caplog.set_level("DEBUG")
    case = faultd.case("fixed", **params)
    llm = stack.make(case)
    seen = stack.call(llm, way)
    note(request, stack)
    stack.close(llm)
    assert MARKER in case.log[0].headers["authorization"]
    error: BaseException | None = seen.error
    assert isinstance(error, Llama70BError)
    while error is not None:
        assert MARKER not in _everything(error)
        error = error.__cause__ or error.__context__
    assert MARKER not in repr(copy.deepcopy(seen.error).__dict__)
    assert "httpcore" in caplog.text  # the logs were really on
    assert MARKER not in caplog.text


OTHERS = {
    "OPENAI_API_KEY": f"sk-{MARKER}",
    "OPENAI_ORG_ID": MARKER,
    "OPENAI_PROJECT_ID": MARKER,
    "OPENAI_BASE_URL": "http://127.0.0.1:9",
    "OPENAI_API_BASE": "http://127.0.0.1:9",
    "OPENAI_CUSTOM_HEADERS": f"X-Marker: {MARKER}",
    "OPENAI_PROXY": "http://127.0.0.1:9",
}


@pytest.mark.parametrize("way", ["chat-sync", "stream-async"])
@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f60_environment_of_others(
    request: pytest.FixtureRequest, faultd: FaultServer, monkeypatch: pytest.MonkeyPatch, stack: Stack, way: str
) -> None:
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)
    case = faultd.case("ok")
    llm = stack.make(case, api_key=None, modal_key=None, modal_secret=None)
    seen: Seen = stack.call(llm, way)
    stack.close(llm)
    note(request, stack, seen)
    assert seen.text == "Hello there"
    assert MARKER not in repr(case.log)
    assert "authorization" not in case.log[0].headers
    assert not [name for name in case.log[0].headers if name.startswith(("openai", "x-stainless"))]


@pytest.mark.parametrize("way", ["chat-sync", "chat-async"])
@pytest.mark.parametrize("stack", OURS, ids=repr)
def test_f60_proxy_is_honoured(  # noqa: PLR0917 - fixtures and parameters
    request: pytest.FixtureRequest,
    faultd: FaultServer,
    elsewhere: FaultServer,
    monkeypatch: pytest.MonkeyPatch,
    stack: Stack,
    way: str,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", elsewhere.origin)
    case = elsewhere.case("ok")
    llm = stack.make(case, base_url=f"http://vllm.internal/{case.key}", allow_insecure=True)
    seen = stack.call(llm, way)
    stack.close(llm)
    note(request, stack, seen)
    assert seen.text == "Hello there"
    assert case.log[0].headers["host"] == "vllm.internal"
