"""What a user can meet through a framework: the fault, what must come of it, and how that is judged.

Read by our own tests (`test_framework_faults.py`) and by `peers.py`, which puts other clients before the same faults:
so nothing here knows any client.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fault.faultd import (
    COUNTS,
    DONE,
    FINISH,
    USAGE,
    Case,
    FaultServer,
    chunk_of,
    completion,
    data,
    delta,
    vllm_error,
)

SCALE = 0.003
"""Of the cold starts: 150 s are 0.45 s."""

HEL_LO = [delta("Hel"), delta("lo")]
ADD = ("add", '{"a": 1}')
SUB = ("sub", '{"x": 2}')
BROKEN = ("add", '{"a": 1')
PAGE = b"<html><body>marker-of-the-page: please log in</body></html>"
HTML = {"body": PAGE, "kind": "text/html; charset=utf-8"}
TEXT = "a\u2028b\u0085c\x00d\u2029e\x0bf \u00e9\U0001f600\u6f22"
OVERFLOW = (
    "This model's maximum context length is 4096 tokens. However, your prompt contains at least 4097 input tokens. "
    "Please reduce the length of the input prompt."
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of `faultd`: its name, its scale, what it is told."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    scale: float = 1.0

    def on(self, server: FaultServer, elsewhere: FaultServer) -> Case:
        """Set it up; in `location`, {elsewhere} stands for another origin and {key} for the case."""
        case = server.case(self.name, scale=self.scale, **self.params)
        if "location" in case.params:
            case.params["location"] = case.params["location"].format(elsewhere=elsewhere.origin, key=case.key)
        return case


def fault(name: str, *, scale: float = 1.0, **params: Any) -> Fault:
    return Fault(name, params, scale)


def events(*blocks: bytes, then: str = "end", **params: Any) -> Fault:
    return fault("events", blocks=list(blocks), then=then, **params)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault and what must come of it.

    Attributes:
        case: Number in docs/reliability.md.
        name: What happens.
        chat: The fault when a whole answer is asked for, None if it makes no sense there.
        stream: The same when a stream is asked for.
        kind: Class in `llama70b.errors`, or "answer".
        text: Of the answer; of an error in a stream, what it must still hold.
        calls: Tool calls of the answer: name and arguments as text.
        usage: Prompt and completion tokens the answer must tell, None if that is not looked at.
        posts: Chat requests that may arrive; ours must send exactly so many.
        generations: Answers the server may work on, None if that says nothing here.
        seconds: It must be over by then.
        limits: `Timeouts` that differ from the tests' own.
        says: What the error must say to the user.
        retryable: Whether the same call may work later.
    """

    case: str
    name: str
    chat: Fault | None = None
    stream: Fault | None = None
    kind: str = "answer"
    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    usage: tuple[int, int] | None = None
    posts: int = 1
    generations: int | None = None
    seconds: float = 6.0
    limits: Mapping[str, float] = field(default_factory=dict)
    says: str = ""
    retryable: bool = False

    @property
    def id(self) -> str:
        return f"{self.case} {self.name}"

    def fault_for(self, way: str) -> Fault | None:
        return self.stream if way.startswith("stream") else self.chat


@dataclass
class Seen:
    """What came of one call, as its caller saw it, and what arrived at the server."""

    text: str | None = None
    """Of the answer that was returned as a whole one, None if an error came."""
    pieces: str = ""
    """What had been streamed until the end or the error."""
    error: BaseException | None = None
    calls: tuple[tuple[str, str], ...] = ()
    usage: tuple[int, int] | None = None
    posts: int = 0
    generations: int = 0
    elsewhere: int = 0
    """Requests another origin got."""
    seconds: float = 0.0
    hangs: bool = False


def judge(scenario: Scenario, way: str, seen: Seen, *, typed: bool) -> list[str]:
    """Return what was wrong, nothing if all was as it must be. The same for every client.

    Args:
        scenario: What happened.
        way: How it was asked for.
        seen: What came of it.
        typed: Whether the error is of the class its framework or SDK has for such a fault.
    """
    wrong: list[str] = []
    if seen.hangs:
        return [f"hangs > {seen.seconds:.0f} s"]
    if scenario.kind == "answer":
        wrong += _wrong_answer(scenario, seen)
    elif seen.error is None:
        wrong.append(f"returns {seen.text!r} as a full answer")
    else:
        if not typed:
            wrong.append("not typed")
        kept = getattr(seen.error, "text", "")
        if way.startswith("stream") and scenario.text and kept != scenario.text:
            wrong.append("text lost")
    if seen.posts > scenario.posts:
        wrong.append(f"{seen.posts} POSTs")
    if scenario.generations is not None and seen.generations > scenario.generations:
        wrong.append(f"{seen.generations} generations")
    if seen.elsewhere:
        wrong.append("prompt or keys sent to the other host")
    if seen.seconds > scenario.seconds:
        wrong.append(f"{seen.seconds:.0f} s" if seen.seconds > 10 else f"{seen.seconds:.1f} s")
    return wrong


def _wrong_answer(scenario: Scenario, seen: Seen) -> list[str]:
    if seen.error is not None:
        return ["no answer"]
    wrong = []
    if seen.text != scenario.text:
        wrong.append(f"text is {seen.text!r}"[:60])
    if len(seen.calls) != len(scenario.calls) or not all(map(_same_call, scenario.calls, seen.calls)):
        wrong.append("tool calls wrong or lost")
    if scenario.usage is not None and seen.usage != scenario.usage:
        wrong.append("usage lost" if seen.usage is None else "usage wrong")
    return wrong


def _same_call(expected: tuple[str, str], seen: tuple[str, str]) -> bool:
    """Return whether it is the same call; one whose arguments are no JSON must not look as if they were."""
    wanted, got = _json(expected[1]), _json(seen[1])
    if wanted is None:
        return expected[0] == seen[0] and got is None and seen[1].startswith(expected[1])
    return expected[0] == seen[0] and wanted == got


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _both(case: str, name: str, both: Fault, **rest: Any) -> Scenario:
    return Scenario(case, name, chat=both, stream=both, **rest)


def _fixed(**params: Any) -> Fault:
    return fault("fixed", **params)


def _call_event(index: int, arguments: str, **head: str) -> bytes:
    function = {"arguments": arguments} | ({"name": head["name"]} if "name" in head else {})
    call = {"index": index, "function": function} | ({"id": head["id"], "type": "function"} if "id" in head else {})
    return data(chunk_of(delta={"tool_calls": [call]}))


def _message(*calls: tuple[str, str]) -> dict[str, Any]:
    made = [
        {"id": f"call-{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(calls)
    ]
    return {"role": "assistant", "content": None, "tool_calls": made}


def _cut_inside_a_character(block: bytes) -> tuple[bytes, bytes]:
    at = block.index("\u6f22".encode()) + 1
    return block[:at], block[at:]


def _answered(choices: Any) -> Fault:
    return _fixed(body={**completion(), "choices": choices})


_CALLS_END = data(chunk_of(finish_reason="tool_calls")) + USAGE + DONE
_HELLO = "Hello there"
_SLOW = {"first_byte": 1.5, "stream_idle": 0.4, "total": 3.0}
_COLD = {"cold_start": 3.0, "total": 3.0, "first_byte": 1.5}

SCENARIOS: tuple[Scenario, ...] = (
    _both(
        "F05",
        "accepts, never answers",
        fault("silent"),
        kind="RequestTimeout",
        limits={"first_byte": 0.3, "total": 0.3},
        says="timeouts.",
        retryable=True,
    ),
    Scenario(
        "F07",
        "body stalls after half",
        chat=fault("half", then="stall"),
        kind="RequestTimeout",
        limits={"total": 0.3},
        says="timeouts.total",
        retryable=True,
    ),
    Scenario(
        "F08",
        "stream stalls",
        stream=events(*HEL_LO, then="stall"),
        kind="StreamStalled",
        text="Hello",
        limits=_SLOW,
        says="timeouts.stream_idle",
        retryable=True,
    ),
    Scenario(
        "F09",
        "heartbeats only",
        stream=fault("heartbeats", delay=0.05),
        kind="StreamStalled",
        text="Hel",
        limits={"first_byte": 1.5, "stream_idle": 0.5, "total": 3.0},
        says="timeouts.stream_idle",
        retryable=True,
    ),
    Scenario(
        "F10",
        "slow but steady",
        stream=fault("ok", text="one two three four", delay=0.15),
        text="one two three four",
        limits={"first_byte": 0.4, "stream_idle": 0.4},
        generations=1,
    ),
    _both("F12", "reset before any byte", fault("reset", times=1), text=_HELLO, posts=2, generations=1),
    Scenario(
        "F13",
        "reset after the first token",
        stream=events(delta("Hel"), then="reset"),
        kind="IncompleteStream",
        text="Hel",
        generations=1,
        retryable=True,
    ),
    Scenario(
        "F14",
        "clean end without finish_reason",
        stream=events(*HEL_LO),
        kind="IncompleteStream",
        text="Hello",
        generations=1,
        retryable=True,
    ),
    Scenario("F15", "finish_reason without [DONE]", stream=events(*HEL_LO, FINISH, USAGE), text="Hello", usage=(7, 2)),
    Scenario(
        "F16",
        "[DONE] without finish_reason",
        stream=events(*HEL_LO, DONE),
        kind="IncompleteStream",
        text="Hello",
        retryable=True,
    ),
    Scenario("F17", "bytes after [DONE]", stream=fault("holds_after_done", more=b"garbage"), text="Hello", seconds=0.7),
    _both("F20", "login page", _fixed(**HTML), kind="ProtocolError", says="login page"),
    _both(
        "F21",
        "nested error",
        _fixed(body=vllm_error("boom", 500)),
        kind="ServerError",
        says="boom",
        retryable=True,
    ),
    _both(
        "F21",
        "flat error",
        _fixed(body={"object": "error", "message": "no such regex", "code": 400}),
        kind="BadRequest",
        says="no such regex",
    ),
    Scenario("F22", "choices null", chat=_answered(None), kind="ProtocolError"),
    Scenario("F22", "choices empty", chat=_answered([]), kind="ProtocolError"),
    Scenario("F22", "choices missing", chat=_fixed(body=b"{}"), kind="ProtocolError"),
    Scenario("F23", "truncated JSON", chat=_fixed(body=json.dumps(completion()).encode()[:60]), kind="ProtocolError"),
    Scenario("F23", "a list", chat=_fixed(body=b"[1]"), kind="ProtocolError"),
    Scenario("F23", "NaN", chat=_fixed(body=b'{"choices": NaN}'), kind="ProtocolError"),
    Scenario("F23", "truncated event", stream=events(delta("Hel"), data("{"), DONE), kind="ProtocolError", text="Hel"),
    Scenario(
        "F24",
        "nested error in the stream",
        stream=events(delta("Hel"), data(vllm_error("boom", 504, "GatewayTimeout")), DONE),
        kind="ServerError",
        text="Hel",
        says="boom",
        retryable=True,
    ),
    Scenario(
        "F25",
        "flat error in the stream",
        stream=events(delta("Hel"), data({"object": "error", "message": "bad regex", "code": 400}), DONE),
        kind="BadRequest",
        text="Hel",
        says="bad regex",
    ),
    Scenario(
        "F25",
        "event: error",
        stream=events(delta("Hel"), b'event: error\ndata: {"message": "bad regex", "code": 400}\n\n', DONE),
        kind="BadRequest",
        text="Hel",
        says="bad regex",
    ),
    Scenario("F26", "usage-only chunk", stream=events(*HEL_LO, FINISH, USAGE, DONE), text="Hello", usage=(7, 2)),
    Scenario(
        "F26",
        "cumulative usage",
        stream=events(
            *(
                data({**chunk_of(delta={"content": text}), "usage": {**COUNTS, "completion_tokens": n}})
                for text, n in (("Hel", 1), ("lo", 2))
            ),
            FINISH,
            DONE,
        ),
        text="Hello",
        usage=(7, 2),
    ),
    Scenario("F27", "data: null", stream=events(delta("Hel"), data("null"), DONE), kind="ProtocolError", text="Hel"),
    Scenario("F27", "data: 5", stream=events(delta("Hel"), data("5"), DONE), kind="ProtocolError", text="Hel"),
    Scenario(
        "F27",
        "unknown fields",
        stream=events(
            data({**chunk_of(delta={"content": "Hi", "mood": "good"}, token_ids=[1]), "new": {"a": 1}}), FINISH, DONE
        ),
        text="Hi",
    ),
    Scenario(
        "F28",
        "interleaved tool calls",
        stream=events(
            _call_event(0, "", id="a", name="add"),
            _call_event(1, '{"x"', id="b", name="sub"),
            _call_event(0, '{"a": '),
            _call_event(1, ": 2}"),
            _call_event(0, "1}"),
            _CALLS_END,
        ),
        chat=_fixed(body=completion(message=_message(ADD, SUB), finish_reason="tool_calls")),
        calls=(ADD, SUB),
        usage=(7, 2),
    ),
    Scenario(
        "F29",
        "broken tool arguments",
        stream=events(_call_event(0, BROKEN[1], id="a", name="add"), data(chunk_of(finish_reason="length")), DONE),
        chat=_fixed(body=completion(message=_message(BROKEN), finish_reason="length")),
        calls=(BROKEN,),
    ),
    Scenario("F32", "byte order mark", stream=events(b"\xef\xbb\xbf" + delta("Hi"), FINISH, DONE), text="Hi"),
    Scenario(
        "F33",
        "U+2028 and split characters",
        chat=_fixed(body=completion(TEXT)),
        stream=events(*_cut_inside_a_character(data(chunk_of(delta={"content": TEXT}))), FINISH, DONE),
        text=TEXT,
    ),
    Scenario(
        "F34",
        "invalid UTF-8",
        stream=events(delta("Hel"), delta("XX").replace(b"XX", b"\xff\xfe"), DONE),
        kind="ProtocolError",
        text="Hel",
    ),
    _both("F38", "303 x 5", fault("held", hops=5), text=_HELLO, generations=1),
    _both(
        "F39",
        "303 for ever",
        fault("held", hops=10**9),
        kind="ColdStartTimeout",
        limits={"cold_start": 0.4},
        says="timeouts.cold_start",
        retryable=True,
    ),
    _both("F40", "reset on the third poll", fault("held", hops=5, on_poll={3: "reset"}), text=_HELLO, generations=1),
    _both(
        "F41",
        "303 to another host",
        fault("redirect", status=303, location="{elsewhere}/{key}/x"),
        kind="RedirectRefused",
    ),
    _both(
        "F41",
        "307 to another host",
        fault("redirect", status=307, location="{elsewhere}/{key}/x"),
        kind="RedirectRefused",
    ),
    _both(
        "F42",
        "308 of the same origin",
        fault("redirect", status=308, location="/{key}/v2/chat/completions"),
        kind="RedirectRefused",
        says="base_url",
    ),
    _both(
        "F44",
        "503 for ever",
        fault("cold_server", boot=None, scale=SCALE),
        kind="ColdStartTimeout",
        limits={**_COLD, "cold_start": 0.5},
        says="timeouts.cold_start",
        retryable=True,
    ),
    _both(
        "F46",
        "401 from Modal",
        _fixed(status=401, body=b"modal-http: missing credentials for proxy authorization", kind="text/plain"),
        kind="AuthenticationError",
        says="proxy token",
    ),
    _both(
        "F46",
        "401 from vLLM",
        _fixed(status=401, body=b'{"error": "Unauthorized"}'),
        kind="AuthenticationError",
        says="LLAMA70B_API_KEY",
    ),
    _both("F46", "403", _fixed(status=403), kind="PermissionDenied"),
    _both(
        "F47",
        "404 model",
        _fixed(status=404, body=vllm_error("The model `x` does not exist.", 404, "NotFoundError")),
        kind="NotFound",
        says="meta-llama/Llama-3.3-70B-Instruct",
    ),
    _both(
        "F48",
        "prompt over the window",
        _fixed(status=400, body=vllm_error(OVERFLOW, 400), tokenize={"count": 4321, "max_model_len": 4096}),
        kind="ContextOverflow",
        says="4321",
    ),
    _both("F49", "Retry-After 0.2", _fixed(status=429, times=1, headers={"Retry_After": "0.2"}), text=_HELLO, posts=2),
    _both(
        "F49",
        "Retry-After 1e9",
        _fixed(status=429, times=1, headers={"Retry_After": "1e9"}),
        kind="RateLimited",
        retryable=True,
    ),
    _both("F50", "500 once", _fixed(status=500, times=1, **HTML), text=_HELLO, posts=2, generations=1),
    _both("F50", "502 with HTML for ever", _fixed(status=502, **HTML), kind="ServerError", posts=3, retryable=True),
)


COLD: tuple[Scenario, ...] = (
    Scenario(
        "F43",
        "503 at once, 60 s of boot",
        chat=fault("cold_server", boot=60),
        stream=fault("cold_server", boot=60),
        text=_HELLO,
        posts=2,
        generations=1,
        seconds=70,
        limits={"cold_start": 100, "total": 100, "first_byte": 10, "poll": 1},
    ),
    Scenario(
        "F43",
        "held, 303 each 150 s, 400 s of boot (scaled)",
        chat=fault("cold_function", boot=400, scale=SCALE),
        stream=fault("cold_function", boot=400, scale=SCALE, stream=True),
        text=_HELLO,
        generations=1,
        limits=_COLD,
    ),
    Scenario(
        "F43",
        "held, 303 each 150 s, 3,300 s of boot (scaled)",
        chat=fault("cold_function", boot=3300, scale=SCALE),
        stream=fault("cold_function", boot=3300, scale=SCALE, stream=True),
        text=_HELLO,
        generations=1,
        seconds=13,
        limits={"cold_start": 20, "total": 20, "first_byte": 2},
    ),
)
"""Cold starts for `peers.py`: in real seconds where a client's own pauses count. Ours have tests of their own."""
