"""F20-F23, F46-F51: whole answers that are none, refusals, and what is tried again."""

import email.utils
import json
import time
from typing import Any

import pytest

from llama70b.errors import (
    AuthenticationError,
    BadRequest,
    ContextOverflow,
    EndpointUnavailable,
    Llama70BError,
    NotFound,
    PermissionDenied,
    ProtocolError,
    RateLimited,
    ServerError,
)
from tests.fault.asking import HELLO, Asker, endpoint
from tests.fault.faultd import MODELS, FaultServer, completion, vllm_error

PAGE = b"<html><body>marker-of-the-page: please log in</body></html>"


def test_f20_login_page(ask: Asker, faultd: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    case = faultd.case("fixed", body=PAGE, kind="text/html; charset=utf-8")
    outcome = ask(endpoint(case))
    assert type(outcome.error) is ProtocolError
    assert "HTML" in outcome.error.hint
    assert "marker-of-the-page" not in f"{outcome.error!r} {outcome.error} {outcome.error.body} {caplog.text}"
    assert case.posts == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (vllm_error("boom", 500), ServerError),
        (vllm_error("no such model", 404), NotFound),
        ({"object": "error", "message": "boom", "code": 400}, BadRequest),
        ({"error": "Unauthorized", "code": 401}, ServerError),
        ({"error": {"message": "slow down", "code": "429"}}, RateLimited),
        ({"detail": "Not Found"}, ServerError),
    ],
)
def test_f21_error_object_with_status_200(
    ask: Asker, faultd: FaultServer, body: dict[str, Any], kind: type[Exception]
) -> None:
    outcome = ask(endpoint(faultd.case("fixed", body=body)))
    assert type(outcome.error) is kind
    assert outcome.error.request_id


@pytest.mark.parametrize("choices", [None, [], {}, "x", [5], [{}], [{"message": None}], [{"message": {"content": 5}}]])
def test_f22_no_choices(ask_chat: Asker, faultd: FaultServer, choices: Any) -> None:
    outcome = ask_chat(endpoint(faultd.case("fixed", body={**completion(), "choices": choices})))
    assert type(outcome.error) is ProtocolError
    assert outcome.error.request_id


def test_f22_choices_missing(ask_chat: Asker, faultd: FaultServer) -> None:
    assert type(ask_chat(endpoint(faultd.case("fixed", body=b"{}"))).error) is ProtocolError


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(completion()).encode()[:60],
        b"",
        b"null",
        b"[1]",
        b'"hello"',
        b"[" * 100_000,
        b'{"choices": NaN}',
        b'{"choices": -Infinity}',
        b'{"created": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
    ],
    ids=["truncated", "empty", "null", "list", "text", "deep", "NaN", "Infinity", "5000 digits", "not UTF-8"],
)
def test_f23_no_json_or_the_wrong_one(ask: Asker, faultd: FaultServer, body: bytes) -> None:
    case = faultd.case("fixed", body=body)
    outcome = ask(endpoint(case))
    assert type(outcome.error) is ProtocolError
    assert case.posts == 1


@pytest.mark.parametrize(
    ("body", "key", "hint"),
    [
        (b"modal-http: missing credentials for proxy authorization", "key-of-the-tests", "proxy token"),
        (b'{"error": "Unauthorized"}', "key-of-the-tests", "LLAMA70B_API_KEY"),
        (b'{"error": "Unauthorized"}', None, "no key was sent"),
    ],
    ids=["Modal", "vLLM", "no key"],
)
def test_f46_401(ask: Asker, faultd: FaultServer, body: bytes, key: str | None, hint: str) -> None:
    case = faultd.case("fixed", status=401, body=body, kind="text/plain")
    outcome = ask(endpoint(case, api_key=key))
    assert isinstance(outcome.error, AuthenticationError)
    assert hint in outcome.error.hint
    assert outcome.error.status == 401
    assert case.posts == 1
    assert ("Modal" in str(outcome.error)) == body.startswith(b"modal")


def test_f46_403(ask: Asker, faultd: FaultServer) -> None:
    assert isinstance(ask(endpoint(faultd.case("fixed", status=403))).error, PermissionDenied)


@pytest.mark.parametrize(
    ("status", "body"), [(404, vllm_error("The model `x` does not exist.", 404)), (405, {}), (404, {})]
)
def test_f47_not_found_lists_what_is_served(ask: Asker, faultd: FaultServer, status: int, body: dict[str, Any]) -> None:
    case = faultd.case("fixed", status=status, body=body)
    outcome = ask(endpoint(case, model="x"))
    assert isinstance(outcome.error, NotFound)
    assert MODELS["data"][0]["id"] in outcome.error.hint
    assert outcome.error.status == status
    assert (case.posts, case.gets) == (1, 1)


def test_f47_not_found_and_no_list_of_models(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("redirect", status=404, location="x")
    outcome = ask(endpoint(case, base_url=case.url + "/wrong"))
    assert isinstance(outcome.error, NotFound)
    assert "base_url" in outcome.error.hint


OVERFLOWS = [
    "This model's maximum context length is 4096 tokens. However, your prompt contains at least 4097 input tokens.",
    "maximum context length is 4096 tokens. You requested 4097 tokens (3997 in the messages, 100 in the completion)",
    "This model's maximum context length is 4096 tokens. However, your request has 4097 input tokens.",
    "The decoder prompt (length 4097) is longer than the maximum model length of 4096.",
]


@pytest.mark.parametrize("words", OVERFLOWS)
def test_f48_context_overflow(ask: Asker, faultd: FaultServer, words: str) -> None:
    case = faultd.case(
        "fixed", status=400, body=vllm_error(words, 400), tokenize={"count": 4321, "max_model_len": 4096}
    )
    outcome = ask(endpoint(case))
    error = outcome.error
    assert isinstance(error, ContextOverflow)
    assert (error.prompt_tokens, error.max_model_len) == (4321, 4096)
    assert "4321" in str(error)
    assert "4096" in str(error)
    assert case.posts == 1


def _date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("value", "posts", "seconds"),
    [
        ("1", 2, (0.95, 2.0)),
        ("0", 2, (0.0, 0.5)),
        ("0.3", 2, (0.28, 0.9)),
        ("-1", 2, (0.0, 0.5)),
        ("nan", 2, (0.0, 0.5)),
        ("soon", 2, (0.0, 0.5)),
        ("", 2, (0.0, 0.5)),
        (_date(-3600), 2, (0.0, 0.5)),
        ("1e9", 1, (0.0, 0.5)),
        ("61", 1, (0.0, 0.5)),
        (_date(3600), 1, (0.0, 0.5)),
        ("4", 1, (0.0, 0.5)),
    ],
    ids=["1", "0", "0.3", "-1", "nan", "garbage", "empty", "past", "1e9", "61", "in an hour", "past the deadline"],
)
def test_f49_retry_after(ask: Asker, faultd: FaultServer, value: str, posts: int, seconds: tuple[float, float]) -> None:
    case = faultd.case("fixed", status=429, times=1, headers={"Retry_After": value})
    outcome = ask(endpoint(case), timeout=3.0)
    assert case.posts == posts
    assert seconds[0] <= outcome.seconds < seconds[1]
    if posts == 2:
        assert outcome.got.text == "Hello there"
    else:
        assert isinstance(outcome.error, RateLimited)
        assert outcome.error.retry_after is not None
        assert outcome.error.retry_after > 3


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_f50_retried_once(ask: Asker, faultd: FaultServer, status: int) -> None:
    case = faultd.case("fixed", status=status, body=PAGE, kind="text/html", times=1)
    outcome = ask(endpoint(case))
    assert outcome.got.text == "Hello there"
    assert case.posts == 2
    assert len({a.headers["x-request-id"] for a in case.log}) == 1  # the server's log shows that it is one call


@pytest.mark.parametrize(("status", "posts"), [(500, 2), (502, 3), (504, 3), (501, 1), (418, 1), (400, 1), (422, 1)])
def test_f50_for_ever(ask: Asker, faultd: FaultServer, status: int, posts: int) -> None:
    case = faultd.case("fixed", status=status, body=PAGE, kind="text/html")
    outcome = ask(endpoint(case))
    assert isinstance(outcome.error, ServerError if status >= 500 else BadRequest)
    assert "marker-of-the-page" not in f"{outcome.error!r} {outcome.error} {outcome.error.body}"
    assert case.posts == posts


@pytest.mark.parametrize("status", [301, 304, 399, 600, 999])
def test_f50_strange_status(ask: Asker, faultd: FaultServer, status: int) -> None:
    outcome = ask(endpoint(faultd.case("fixed", status=status)))
    assert isinstance(outcome.error, Llama70BError)


def test_f50_no_retry_when_none_is_wanted(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("fixed", status=502)
    assert isinstance(ask(endpoint(case), max_retries=0).error, ServerError)
    assert case.posts == 1
    case = faultd.case("fixed", status=502)
    assert isinstance(ask(endpoint(case, max_retries=5)).error, ServerError)
    assert case.posts == 6


def test_f51_steady_failure_of_50_calls(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("fixed", status=502)
    outcomes = ask.all(endpoint(case), [HELLO] * 50, together=True)
    assert all(isinstance(o.error, ServerError) for o in outcomes)
    assert 50 <= case.posts <= 60
    assert any("budget" in o.error.hint for o in outcomes if o.error)


def test_f51_an_overloaded_but_awake_server_is_not_hammered(ask: Asker, faultd: FaultServer) -> None:
    case = faultd.case("fixed", status=503)
    outcomes = ask.all(endpoint(case), [HELLO] * 50, together=True)
    assert all(isinstance(o.error, EndpointUnavailable) for o in outcomes)
    assert 50 <= case.posts <= 60


def test_f11_deadline_passes_during_a_retry_pause(
    ask: Asker, faultd: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama70b._shell.random.random", lambda: 0.999)
    monkeypatch.setattr("llama70b._retry.BASE_S", 0.3)
    case = faultd.case("fixed", status=502)
    outcome = ask(endpoint(case, max_retries=10), timeout=1.6)  # pauses of 0.3, 0.6, 1.2 ... s
    assert isinstance(outcome.error, ServerError)
    assert case.posts == 3
    assert 0.85 < outcome.seconds < 1.6
