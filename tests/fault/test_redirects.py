"""F38-F42: redirects. A 303 of our own origin is a held answer; everything else is refused, and nobody else hears."""

import pytest

from llama70b.errors import ColdStartTimeout, RedirectRefused
from tests.fault.asking import Asker, endpoint
from tests.fault.faultd import FaultServer


def test_f38_303_of_the_same_origin_five_times(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("held", hops=5)
    outcome = ask(endpoint(case, modal_key="wk-test-key", modal_secret="ws-test-secret"))
    assert outcome.got.text == "Hello there"
    assert (case.posts, case.gets, case.generations) == (1, 5, 1)
    for poll in case.log[1:]:
        assert poll.body == b""
        assert "content-type" not in poll.headers
        assert poll.headers["authorization"] == "Bearer key-of-the-tests"
        assert poll.headers["modal-key"] == "wk-test-key"
        assert poll.headers["modal-secret"] == "ws-test-secret"
        assert "cookie" not in poll.headers
    assert [p.state for p in outcome.progress] == ["waking"] * 5 + ["ready"]


def test_f39_303_for_ever(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("held", hops=10**9)
    outcome = ask(endpoint(case, cold_start=0.6))
    assert isinstance(outcome.error, ColdStartTimeout)
    assert "timeouts.cold_start" in str(outcome.error)
    assert case.posts == 1
    assert 0.55 < outcome.seconds < 1.6
    assert case.gets < 40  # at once answered hops are not asked for in a tight loop
    assert outcome.progress[-1].state == "failed"


@pytest.mark.parametrize("strange", ["reset", "stall", 502, 503, 504, 429, 408])
def test_f40_trouble_on_the_third_poll(ask: Asker, faultd: FaultServer, strange: str | int) -> None:
    case = faultd.case("held", hops=5, on_poll={3: strange})
    outcome = ask(endpoint(case, first_byte=0.3))
    assert outcome.got.text == "Hello there"
    assert (case.posts, case.generations) == (1, 1)
    assert len({poll.path for poll in case.log[1:]}) == 1


@pytest.mark.parametrize("status", [300, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/{key}/v1/chat/completions",
        "//127.0.0.1:{port}/x",
        "http://localhost:{own}/{key}/v1/chat/completions",
        "https://127.0.0.1:{own}/{key}/v1/chat/completions",
        "http://user:pw@127.0.0.1:{own}/{key}",
        "http://127.0.0.1:{own}@127.0.0.1:{port}/x",
        "http://127.0.0.1:{own}\\@127.0.0.1:{port}/x",
        "http://127.0.0.1:99999/x",
        "http://[::1/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "",
    ],
)
def test_f41_redirect_elsewhere(
    ask_chat: Asker, faultd: FaultServer, elsewhere: FaultServer, status: int, location: str
) -> None:
    case = faultd.case("redirect", status=status)
    case.params["location"] = location.format(port=elsewhere.port, own=faultd.port, key=case.key)
    outcome = ask_chat(endpoint(case, modal_key="wk-test-key", modal_secret="ws-test-secret"))
    assert isinstance(outcome.error, RedirectRefused)
    assert (case.posts, case.gets) == (1, 0)
    assert elsewhere.strays == []
    assert not elsewhere.open
    assert "pw@" not in str(outcome.error)


def test_f41_redirect_elsewhere_streaming(ask_stream: Asker, faultd: FaultServer, elsewhere: FaultServer) -> None:
    for status in (303, 307):
        case = faultd.case("redirect", status=status, location=f"{elsewhere.origin}/x")
        assert isinstance(ask_stream(endpoint(case)).error, RedirectRefused)
        assert elsewhere.strays == []


def test_f41_redirect_elsewhere_in_the_middle_of_a_wait(
    ask: Asker, faultd: FaultServer, elsewhere: FaultServer
) -> None:
    case = faultd.case("held_then_elsewhere", location=f"{elsewhere.origin}/x")
    outcome = ask(endpoint(case))
    assert isinstance(outcome.error, RedirectRefused)
    assert case.posts == 1
    assert elsewhere.strays == []


def test_f41_a_look_that_is_redirected_to_a_login_page_ends_at_once(
    ask: Asker, faultd: FaultServer, elsewhere: FaultServer
) -> None:
    case = faultd.case("cold_then_login", location=f"{elsewhere.origin}/login")
    outcome = ask(endpoint(case))
    assert isinstance(outcome.error, RedirectRefused)
    assert outcome.seconds < 1
    assert elsewhere.strays == []


@pytest.mark.parametrize("status", [301, 308, 302, 307])
def test_f42_other_redirects_of_the_same_origin(ask: Asker, faultd: FaultServer, status: int) -> None:
    case = faultd.case("redirect", status=status, location="/elsewhere/v1/chat/completions")
    outcome = ask(endpoint(case))
    assert isinstance(outcome.error, RedirectRefused)
    assert "base_url" in outcome.error.hint
    assert outcome.error.status == status
    assert (case.posts, case.gets) == (1, 0)
