"""F01-F07, F12, F18, F19, F37, F52, F53: connections that do not come about, break, or are too slow."""

import socket
import time
from collections.abc import Iterator

import pytest
import trustme

from llama70b import Endpoint, Timeouts
from llama70b.errors import (
    ConnectionFailed,
    IncompleteStream,
    ProtocolError,
    RequestTimeout,
    StreamStalled,
)
from tests.fault.asking import HELLO, QUICK, Asker, endpoint
from tests.fault.faultd import FaultServer, delta


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that is bound but not listened on: connecting is refused."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: connecting hangs."""
    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for sock in (one, two):
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_f01_connection_refused(ask: Asker, dead_port: int) -> None:
    outcome = ask(Endpoint(f"http://127.0.0.1:{dead_port}", timeouts=QUICK))
    assert isinstance(outcome.error, ConnectionFailed)
    assert outcome.error.retryable
    assert "127.0.0.1" in str(outcome.error)
    assert outcome.seconds < 1


def test_f01_refused_connections_are_tried_three_times_with_jitter(
    ask: Asker, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rolls = iter([0.2, 0.9])
    monkeypatch.setattr("llama70b._shell.random.random", lambda: next(rolls))
    monkeypatch.setattr("llama70b._retry.BASE_S", 0.4)
    outcome = ask(Endpoint(f"http://127.0.0.1:{dead_port}", timeouts=QUICK))
    assert isinstance(outcome.error, ConnectionFailed)
    assert next(rolls, None) is None  # two pauses, hence three attempts
    assert outcome.seconds == pytest.approx(0.4 * 0.2 + 0.8 * 0.9, abs=0.3)


def test_f01_the_deadline_is_held(ask: Asker, dead_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llama70b._retry.BASE_S", 5.0)
    monkeypatch.setattr("llama70b._shell.random.random", lambda: 0.99)
    outcome = ask(Endpoint(f"http://127.0.0.1:{dead_port}", timeouts=QUICK), timeout=0.5)
    assert isinstance(outcome.error, ConnectionFailed)
    assert outcome.seconds < 0.6


def test_f02_dns_failure(ask: Asker) -> None:
    outcome = ask(Endpoint("https://no-such-host.invalid/some/path", api_key="k", timeouts=QUICK))
    assert isinstance(outcome.error, ConnectionFailed)
    assert "no-such-host.invalid" in str(outcome.error)
    assert "some/path" not in str(outcome.error)


def test_f02_a_host_name_that_cannot_be_one_is_refused_before_any_call() -> None:
    for host in ("a..b", "a" * 64 + ".com", ".".join(["a" * 60] * 5)):
        with pytest.raises(ValueError, match="host"):
            Endpoint(f"https://{host}/v1")


def test_f03_connect_hangs(ask: Asker, deaf_port: int) -> None:
    outcome = ask(Endpoint(f"http://127.0.0.1:{deaf_port}", timeouts=Timeouts(connect=0.3)))
    assert isinstance(outcome.error, ConnectionFailed)
    assert "timeouts.connect" in str(outcome.error)
    assert 0.25 < outcome.seconds < 1


def test_f03_a_hanging_connect_does_not_outlast_the_deadline(ask: Asker, deaf_port: int) -> None:
    outcome = ask(Endpoint(f"http://127.0.0.1:{deaf_port}", timeouts=Timeouts(connect=10)), timeout=0.3)
    assert isinstance(outcome.error, ConnectionFailed | RequestTimeout)
    assert outcome.seconds < 1


def test_f04_tls_unknown_authority(ask: Asker, tls_faultd: FaultServer) -> None:
    case = tls_faultd.case("ok")
    outcome = ask(endpoint(case))
    assert isinstance(outcome.error, ConnectionFailed)
    assert "SSL_CERT_FILE" in outcome.error.hint
    assert not case.log
    assert outcome.seconds < 1


def test_f04_tls_wrong_host_and_right_one(
    ask: Asker,
    tls_faultd: FaultServer,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    trusted = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    from llama70b import _http

    _http._trust_store.cache_clear()
    try:
        case = tls_faultd.case("ok")
        outcome = ask(endpoint(case, base_url=case.url.replace("127.0.0.1", "localhost")))
        assert isinstance(outcome.error, ConnectionFailed)
        assert "certificate" in str(outcome.error)
        assert not case.log
        assert ask(endpoint(case)).got.text == "Hello there"
    finally:
        _http._trust_store.cache_clear()


def test_f05_accepts_and_never_answers(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("silent")
    outcome = ask(endpoint(case, first_byte=0.3), timeout=0.3)
    assert isinstance(outcome.error, RequestTimeout)
    assert "timeouts." in str(outcome.error)
    assert case.posts == 1
    assert 0.25 < outcome.seconds < 1


def test_f06_headers_byte_by_byte(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("drip", delay=0.05)
    outcome = ask(endpoint(case, first_byte=0.4), timeout=0.4)
    assert isinstance(outcome.error, RequestTimeout)
    assert case.posts == 1
    assert 0.35 < outcome.seconds < 1


def test_f06_headers_byte_by_byte_over_tls_and_a_reused_connection(
    ask_chat: Asker,
    tls_faultd: FaultServer,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from llama70b import _http

    trusted = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    _http._trust_store.cache_clear()
    try:
        case = tls_faultd.case("mixed", pick=lambda n: ("drip", {"delay": 0.05}) if n == 2 else ("ok", {}))
        first, second = ask_chat.all(endpoint(case), [HELLO, HELLO], timeout=0.5)
        assert first.got.text == "Hello there"
        assert isinstance(second.error, RequestTimeout)
        assert len(case.connections) == 1
        assert 0.4 < second.seconds < 1.2
    finally:
        _http._trust_store.cache_clear()


def test_f07_body_stalls_after_half(ask_chat: Asker, faultd: FaultServer) -> None:
    case = faultd.case("half", then="stall")
    outcome = ask_chat(endpoint(case), timeout=0.4)
    assert isinstance(outcome.error, RequestTimeout)
    assert case.posts == 1
    assert 0.35 < outcome.seconds < 1


def test_f12_reset_before_any_byte(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("reset", times=1)
    outcome = ask(endpoint(case))
    assert outcome.got.text == "Hello there"
    assert case.posts == 2
    assert outcome.got.timing is not None
    assert outcome.got.timing.attempts == 2


def test_f12_reset_for_ever(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("reset")
    assert isinstance(ask(endpoint(case)).error, ConnectionFailed)
    assert case.posts == 3


def test_f18_chunked_stream_cut_inside_a_chunk_header(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("events", blocks=[delta("Hel"), delta("lo")], then="cut")
    outcome = ask_stream(endpoint(case))
    assert isinstance(outcome.error, IncompleteStream)
    assert outcome.text == "Hello"
    assert case.posts == 1


def test_f18_a_chunk_header_that_trickles_in_is_silence(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("events", blocks=[delta("Hel")], then="drip", delay=0.05)
    outcome = ask_stream(endpoint(case, stream_idle=0.3))
    assert isinstance(outcome.error, StreamStalled)
    assert outcome.text == "Hel"
    assert outcome.seconds < 1.3


def test_f19_content_length_larger_than_the_body(ask_chat: Asker, faultd: FaultServer) -> None:
    once = faultd.case("half", then="close", times=1)
    assert ask_chat(endpoint(once)).got.text == "Hello there"
    assert once.posts == 2
    always = faultd.case("half", then="reset")
    assert isinstance(ask_chat(endpoint(always)).error, ConnectionFailed)
    assert always.posts == 3


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nX-Big: " + b"a" * 200_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"SSH-2.0-marker-of-the-answer\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nmarker-of-the-answer\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: marker-of-the-answer\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
    ],
    ids=["200 KB of headers", "not HTTP", "bad header", "bad length", "TLS"],
)
def test_f37_headers_too_large_or_no_http(ask: Asker, faultd: FaultServer, raw: bytes) -> None:
    case = faultd.case("bytes", raw=raw)
    outcome = ask(endpoint(case))
    assert isinstance(outcome.error, ProtocolError)
    assert "marker-of-the-answer" not in str(outcome.error)
    assert case.posts == 1


@pytest.mark.parametrize("silent_after", [0.05, 0.0])
def test_f52_keep_alive_closed_while_idle(ask: Asker, faultd: FaultServer, silent_after: float) -> None:
    case = faultd.case("closes_idle", after=silent_after)
    outcomes = ask.all(endpoint(case), [HELLO] * 3, pause=0.15, max_retries=0)
    assert [o.got.text for o in outcomes] == ["Hello there"] * 3
    assert case.posts == 3


def test_f52_keep_alive_closed_on_reuse(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("closes_on_reuse")
    outcomes = ask.all(endpoint(case), [HELLO] * 3, max_retries=0)
    assert [o.got.text for o in outcomes] == ["Hello there"] * 3
    assert case.posts <= 5  # one silent re-send for the second call and for the third
    assert case.generations == 3


def test_f53_pool_exhausted(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("ok", delay=0.8)
    outcomes = ask.all(endpoint(case, max_connections=1, pool=0.2, stream_idle=2), [HELLO] * 2, together=True)
    failed = [o for o in outcomes if o.error]
    assert len(failed) == 1
    assert isinstance(failed[0].error, RequestTimeout)
    assert "max_connections" in str(failed[0].error)
    assert failed[0].seconds < 0.7
    assert case.posts == 1


def test_f53_waiting_for_a_slot_counts_against_the_deadline(ask_chat: Asker, faultd: FaultServer) -> None:
    case = faultd.case("silent")
    limits = Timeouts(pool=300, total=0.5)
    started = time.monotonic()
    outcomes = ask_chat.all(endpoint(case, max_connections=1), [HELLO] * 2, together=True, timeout=limits)
    assert all(isinstance(o.error, RequestTimeout) for o in outcomes)
    assert time.monotonic() - started < 1.2


def test_f53_a_slot_is_given_back_by_every_way_out(ask: Asker, faultd: FaultServer) -> None:
    faults = [("reset", {}), ("half", {"then": "close"}), ("fixed", {"status": 400}), ("bytes", {"raw": b"x\r\n\r\n"})]
    faults.append(("events", {"blocks": [delta("a")], "then": "reset"}))
    faults.append(("events", {"blocks": [b"data: {\n\n"], "then": "stall"}))
    faults.append(("fixed", {"kind": "text/html", "body": b"<html>"}))
    case = faultd.case("mixed", pick=lambda n: faults[(n - 1) // 2] if n <= 2 * len(faults) else ("ok", {}))
    requests = [HELLO] * (2 * len(faults) + 2)
    outcomes = ask.all(endpoint(case, max_connections=1, pool=0.5), requests, max_retries=0, timeout=1)
    assert outcomes[-1].got.text == "Hello there"
    assert sum(o.error is not None for o in outcomes) >= len(faults)


def test_unknown_success_status_is_typed(ask_stream: Asker, faultd: FaultServer) -> None:
    case = faultd.case("fixed", status=204)
    assert isinstance(ask_stream(endpoint(case)).error, ProtocolError)
