"""F58-F60: a marker secret is hunted through everything that can be printed; the environment of others is not read."""

import asyncio
import copy
import gc
import io
import logging
import pickle
import signal
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llama70b import AsyncClient, Client, Endpoint, Secret
from llama70b.errors import ConfigurationError, Llama70BError
from llama70b.ledger import LedgerRecorder
from tests.fault.asking import HELLO, Asker, endpoint
from tests.fault.faultd import DONE, FaultServer, completion, data, delta, vllm_error

MARKER = "marker5ecret"
KEYS = {"api_key": f"sk-{MARKER}-a", "modal_key": f"wk-{MARKER}-b", "modal_secret": f"ws-{MARKER}-c"}


@pytest.mark.parametrize(
    "bad",
    [f"{MARKER}\nx", f"{MARKER}\r", f"x{MARKER}\u00e9", f"{MARKER}\x00", "", "   ", "\n"],
    ids=["newline", "return", "not ASCII", "NUL", "empty", "blank", "only a newline"],
)
@pytest.mark.parametrize("name", ["api_key", "modal_key", "modal_secret"])
def test_f58_keys_that_cannot_be(bad: str, name: str) -> None:
    if bad == f"{MARKER}\r":
        assert Secret(bad).get_secret_value() == MARKER  # a key read from a file: the line end is stripped
        return
    with pytest.raises(ConfigurationError) as caught:
        Endpoint("https://host", **{"modal_key": "wk-x", "modal_secret": "ws-x", name: bad})
    assert name in str(caught.value)
    assert MARKER not in "".join(traceback.format_exception(caught.value))


def test_f58_keys_of_another_kind_are_refused_not_dropped() -> None:
    with pytest.raises(ConfigurationError, match="api_key is a int"):
        Endpoint("https://host", api_key=5)  # type: ignore[arg-type] - what a user without a type checker may do


def test_f58_a_key_in_place_of_the_url_is_not_echoed() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Endpoint(KEYS["api_key"])
    assert MARKER not in "".join(traceback.format_exception(caught.value))


def test_f58_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="LLAMA70B_BASE_URL"):
        Client()
    monkeypatch.setenv("LLAMA70B_BASE_URL", "https://host")
    assert Endpoint.from_env().auth_headers() == {}


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[io.StringIO]:
    """All that is logged at DEBUG by anybody, formatted with its arguments and tracebacks."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection", "llama70b", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    yield stream
    root.removeHandler(handler)


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and all(one is not other for other in found):
            found.append(one)
            todo += [one.__cause__, one.__context__]
    return found


def _shown(value: Any, depth: int = 4) -> str:
    """Return what a curious dump would print of a value: its repr, and that of all it holds."""
    text = [repr(value)]
    if depth:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple | set) else ()
        text += [_shown(item, depth - 1) for item in inside]
        text += [_shown(item, depth - 1) for item in getattr(value, "__dict__", {}).values()]
    return "\n".join(text)


def _frames(error: BaseException) -> str:
    """Return the traceback with the variables of every frame, as rich, pytest -l and error trackers print it."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("reset", {}),
    ("silent", {}),
    ("half", {"then": "close"}),
    ("drip", {"delay": 0.05}),
    ("bytes", {"raw": b"no http\r\n\r\n"}),
    ("events", {"blocks": [delta("a")], "then": "reset"}),
    ("events", {"blocks": [delta("a")], "then": "stall"}),
    ("events", {"blocks": [b"data: {\n\n"]}),
    ("events", {"blocks": [b"data: \xff\n\n"]}),
    ("events", {"blocks": [delta("a"), data(vllm_error(f"bad key {KEYS['api_key']}", 401)), DONE]}),
    ("events", {"blocks": [delta(f"your key is {KEYS['modal_secret']}"), b"data: {\n\n"]}),
    ("events", {"blocks": [delta(f"your key is {KEYS['api_key'][:9]}"), delta(KEYS["api_key"][9:])], "then": "reset"}),
    ("fixed", {"body": b"<html>", "kind": "text/html"}),
    ("fixed", {"body": {"choices": []}}),
    ("fixed", {"status": 400, "body": vllm_error("no", 400)}),
    ("fixed", {"status": 401, "body": vllm_error(f"Incorrect API key provided: {KEYS['api_key']}", 401)}),
    ("fixed", {"status": 403, "body": KEYS["modal_secret"].encode()}),
    ("fixed", {"status": 500, "body": {"error": {"message": "x", "headers": {"modal-key": KEYS["modal_key"]}}}}),
    ("fixed", {"body": {"error": {"message": f"bad key {KEYS['api_key']}", "code": 401}}}),
    ("fixed", {"status": 404}),
    ("fixed", {"status": 502}),
    ("redirect", {"status": 307, "location": "https://elsewhere.invalid/"}),
    ("cold_server", {"boot": None}),
    ("cold_then_401", {}),
    ("ok", {}),
]


@pytest.mark.parametrize(("fault", "params"), FAULTS)
def test_f59_marker_in_errors_and_logs(
    ask: Asker, faultd: FaultServer, logged: io.StringIO, fault: str, params: dict[str, Any]
) -> None:
    case = faultd.case(fault, **params)
    limits = {"first_byte": 0.4, "stream_idle": 0.3, "total": 0.8, "cold_start": 0.3}
    outcome = ask(endpoint(case, **KEYS, **limits))
    arrived = case.log[0].headers
    assert MARKER in arrived["authorization"] + arrived["modal-key"] + arrived["modal-secret"]  # it was sent
    if outcome.error is not None:
        for error in _chain(outcome.error):
            assert MARKER not in _shown(error)
            assert MARKER not in f"{error}{error!r}{error.args}"
            assert MARKER not in _frames(error)
        assert MARKER.encode() not in pickle.dumps(outcome.error)
        assert MARKER not in _shown(copy.deepcopy(outcome.error))
    assert MARKER not in _shown(outcome.deltas) + _shown(outcome.progress) + _shown(outcome.completion)
    said = logged.getvalue()
    assert "httpcore" in said  # the logs were really on
    assert MARKER not in said


def _stopped(client: Client, *, stream: bool) -> BaseException:
    """Return what a call raises that Ctrl-C stops after 0.2 s; the frames of this function hold no marker."""
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    try:
        if stream:
            list(client.stream(HELLO))
        else:
            client.chat(HELLO)
    except KeyboardInterrupt as error:
        return error
    raise AssertionError("it ended by itself")


@pytest.mark.parametrize("stream", [False, True])
def test_f59_marker_in_what_ctrl_c_prints(faultd: FaultServer, stream: bool) -> None:
    case = faultd.case("events", blocks=[delta("a")], then="stall") if stream else faultd.case("silent")
    with Client(endpoint(case, **KEYS, stream_idle=5), progress_bar=False) as client:
        printed = [_frames(error) for error in _chain(_stopped(client, stream=stream))]
    assert "_http.py" in printed[0]
    assert MARKER not in "".join(printed)


async def _cancelled(client: AsyncClient, *, stream: bool) -> BaseException:
    async def run() -> None:
        if stream:
            async for _ in await client.stream(HELLO):
                pass
        else:
            await client.chat(HELLO)

    try:
        await asyncio.wait_for(run(), 0.2)
    except TimeoutError as error:
        return error
    raise AssertionError("it ended by itself")


@pytest.mark.parametrize("stream", [False, True])
async def test_f59_marker_in_what_a_cancelled_call_prints(faultd: FaultServer, stream: bool) -> None:
    case = faultd.case("events", blocks=[delta("a")], then="stall") if stream else faultd.case("silent")
    async with AsyncClient(endpoint(case, **KEYS, stream_idle=5), progress_bar=False) as client:
        printed = [_frames(error) for error in _chain(await _cancelled(client, stream=stream))]
    assert any("_http.py" in text for text in printed)
    assert MARKER not in "".join(printed)


def test_f59_marker_when_nothing_listens(ask: Asker, logged: io.StringIO) -> None:
    outcome = ask(Endpoint("http://127.0.0.1:9", **KEYS))
    assert outcome.error is not None
    for error in _chain(outcome.error):
        assert MARKER not in _shown(error) + _frames(error)
    assert MARKER not in logged.getvalue()


def test_f59_marker_in_objects() -> None:
    where = Endpoint("https://host", **KEYS)
    clients = (Client(where), AsyncClient(where))
    for value in (where, *clients, Secret(KEYS["api_key"]), copy.copy(where), copy.deepcopy(where)):
        assert MARKER not in f"{value!r} {value!s} {value} {value:>9}" if isinstance(value, Secret) else f"{value!r}"
        assert MARKER not in repr([value]) + str({"x": value}) + _shown(value, 6)
    assert copy.deepcopy(where).auth_headers() == where.auth_headers()
    for value in (where, Secret(KEYS["api_key"])):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(value)
    assert pickle.loads(pickle.dumps(Endpoint("https://host"))) == Endpoint("https://host")


def test_f59_the_way_out_is_the_only_clear_text() -> None:
    where = Endpoint("https://host", **KEYS)
    assert where.openai_kwargs()["api_key"] == KEYS["api_key"]
    assert where.openai_kwargs()["default_headers"] == {
        "Modal-Key": KEYS["modal_key"],
        "Modal-Secret": KEYS["modal_secret"],
    }


def test_f59_nothing_is_left_when_an_error_is_forgotten(faultd: FaultServer) -> None:
    case = faultd.case("fixed", status=400)
    with Client(endpoint(case), progress_bar=False) as client:
        for _ in range(3):
            with pytest.raises(Llama70BError):
                client.chat(HELLO)
    gc.collect()
    assert not [o for o in gc.get_objects() if isinstance(o, Llama70BError) and o.status == 400]


OTHERS = {
    "OPENAI_API_KEY": f"sk-{MARKER}",
    "OPENAI_ORG_ID": MARKER,
    "OPENAI_ORGANIZATION": MARKER,
    "OPENAI_PROJECT_ID": MARKER,
    "OPENAI_BASE_URL": "http://127.0.0.1:9",
    "OPENAI_API_BASE": "http://127.0.0.1:9",
    "OPENAI_CUSTOM_HEADERS": f"X-Marker: {MARKER}",
    "OPENAI_PROXY": "http://127.0.0.1:9",
    "HF_TOKEN": MARKER,
}


def test_f60_environment_of_others(ask: Asker, faultd: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)
    case = faultd.case("ok")
    assert ask(endpoint(case, api_key=None)).got.text == "Hello there"
    assert MARKER not in repr(case.log)
    assert "authorization" not in case.log[0].headers
    assert not [h for h in case.log[0].headers if h.startswith(("openai", "x-stainless"))]


def test_f60_netrc_is_ignored(ask: Asker, faultd: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {MARKER}\ndefault login me password {MARKER}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    case = faultd.case("ok")
    assert ask(endpoint(case, api_key=None)).got.text == "Hello there"
    assert "authorization" not in case.log[0].headers


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_f60_proxy_is_honoured(
    ask: Asker, faultd: FaultServer, elsewhere: FaultServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, elsewhere.origin)
    case = elsewhere.case("ok")
    aim = endpoint(case, base_url=f"http://vllm.internal/{case.key}", allow_insecure=True)
    assert ask(aim).got.text == "Hello there"
    assert case.log[0].path.startswith("http://vllm.internal/")
    assert case.log[0].headers["host"] == "vllm.internal"


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "localhost,127.0.0.1"])
def test_f60_no_proxy_is_honoured(
    ask: Asker, faultd: FaultServer, monkeypatch: pytest.MonkeyPatch, exempt: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert ask(endpoint(faultd.case("ok"))).got.text == "Hello there"


def test_f60_cookies_are_not_kept(ask: Asker, faultd: FaultServer) -> None:
    headers = {"Set_Cookie": f"session={MARKER}; Path=/"}
    case = faultd.case("fixed", body=completion(), headers=headers)
    if ask.streaming:
        case = faultd.case("fixed", status=502, times=1, headers=headers)
    ask.all(endpoint(case), [HELLO] * 2)
    assert len(case.log) >= 2
    assert not [a for a in case.log if "cookie" in a.headers]


@pytest.mark.parametrize("fault", [FAULTS[5], FAULTS[15], ("ok", {})])
def test_f59_marker_in_the_ledger(
    ask: Asker, faultd: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: tuple[str, dict[str, Any]]
) -> None:
    recorder = LedgerRecorder(tmp_path / "usage.sqlite3", texts=True)  # the most that it ever keeps
    monkeypatch.setattr("llama70b._observe._default", recorder)
    ask(endpoint(faultd.case(fault[0], **fault[1]), **KEYS))
    recorder.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"SQLite format 3" in written
    assert b"127.0.0.1" in written  # the run is in it
    assert MARKER.encode() not in written


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_f59_marker_when_stopped_while_the_head_is_sent(
    faultd: FaultServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The one moment at which a variable of the HTTP library's frames shows all headers."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    async def cancel(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr("httpcore._backends.sync.SyncStream.write", stop)
    monkeypatch.setattr("httpcore._backends.anyio.AnyIOStream.write", cancel)
    where = endpoint(faultd.case("ok"), **KEYS)
    try:
        if way == "sync":
            with Client(where, progress_bar=False) as client:
                client.chat(HELLO)
        else:
            async with AsyncClient(where, progress_bar=False) as aclient:
                await aclient.chat(HELLO)
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        printed = [_frames(one) for one in _chain(error)]
    assert "_http.py" in "".join(printed)
    assert MARKER not in "".join(printed)
