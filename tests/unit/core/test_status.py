"""Error bodies of every shape become typed errors; nothing but a server's own error message is quoted."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b._status import Refusal, error_for, error_in_answer, read_refusal, refusal_in
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
from tests.unit.core.world import few


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("received", "message", "code", "param"),
    [
        (body({"error": {"message": "no", "type": "T", "param": "max_tokens", "code": 400}}), "no", 400, "max_tokens"),
        (body({"object": "error", "message": "no", "type": "T", "param": None, "code": 400}), "no", 400, None),
        (body({"error": "Unauthorized"}), "Unauthorized", None, None),
        (body({"detail": "Not Found"}), "Not Found", None, None),
        (
            body({"detail": [{"loc": ["body", "n"], "msg": "bad"}]}),
            '[{"loc": ["body", "n"], "msg": "bad"}]',
            None,
            None,
        ),
        (body({"error": {"type": "NotFoundError"}}), "NotFoundError", None, None),
        (body({"error": {"message": "no", "code": "404"}}), "no", 404, None),
        (body({"error": {"message": "no", "code": "not_found", "param": 5}}), "no", None, None),
        (body({"error": {"message": "no", "code": "\u00b2\u00b2\u00b2"}}), "no", None, None),
        (body({"error": {"message": "no", "code": "9" * 5000}}), "no", None, None),
        (body({"error": {"message": "no", "code": True}}), "no", None, None),
        (body({"error": {"message": {"nested": 1}}}), '{"nested": 1}', None, None),
        (body({"error": {"message": "x" * 600}}), "x" * 500 + " ...", None, None),
        (body({"error": None, "message": "no"}), "", None, None),
        (body({"choices": [], "detail": "x"}), "", None, None),
        (b"modal-http: invalid credentials\nsecond line", "modal-http: invalid credentials", None, None),
        (b"<html>secret page</html>", "", None, None),
        (b"plain words of a proxy", "", None, None),
        (b'"text"', "", None, None),
        (b"[1]", "", None, None),
        (b"", "", None, None),
        (b"\xff\xfe", "", None, None),
        (b"[" * 60_000, "", None, None),
    ],
)
def test_every_shape_of_body(received: bytes, message: str, code: int | None, param: str | None) -> None:
    refusal = read_refusal(received)
    assert (refusal.message, refusal.code, refusal.param) == (message, code, param)
    assert refusal.modal == received.startswith(b"modal")


@few
@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_exception(received: bytes) -> None:
    read_refusal(received)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "param", "detail", "object", "type"]), inner)
    ),
    max_leaves=10,
)


@few
@given(JSON, st.integers(-10, 1000), st.booleans(), st.integers() | st.none())
def test_any_error_object_gives_a_typed_error(value: Any, status: int, has_key: bool, wanted: int | None) -> None:
    refusal = read_refusal(body(value))
    error = error_for(status, refusal, retry_after="x", has_key=has_key, requested_tokens=wanted)
    assert isinstance(error, Llama70BError)
    assert error.status == status
    assert str(error)
    found = refusal_in(value)
    if found is not None:
        assert isinstance(error_in_answer(found), Llama70BError)


@few
@given(st.integers(900, 1100))
def test_deeply_nested_messages(depth: int) -> None:
    read_refusal(b'{"error": {"message": ' + b"[" * depth + b"]" * depth + b"}}")


def test_a_message_too_deep_to_be_written_down() -> None:
    message: list[Any] = []
    for _ in range(100_000):
        message = [message]
    refusal = refusal_in({"error": {"message": message, "code": 400}})
    assert refusal is not None
    assert (refusal.message, refusal.code) == ("", 400)


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (401, AuthenticationError, False),
        (407, AuthenticationError, False),
        (403, PermissionDenied, False),
        (404, NotFound, False),
        (405, NotFound, False),
        (410, NotFound, False),
        (400, BadRequest, False),
        (413, BadRequest, False),
        (422, BadRequest, False),
        (418, BadRequest, False),
        (429, RateLimited, True),
        (503, EndpointUnavailable, True),
        (500, ServerError, True),
        (599, ServerError, True),
        (100, ProtocolError, False),
        (204, ProtocolError, False),
    ],
)
def test_status_becomes_a_type(status: int, kind: type[Llama70BError], retryable: bool) -> None:
    error = error_for(status, Refusal(message="why"), request_id="r1")
    assert type(error) is kind
    assert error.retryable is retryable
    assert error.request_id == "r1"
    assert "why" in str(error)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_on_the_error(status: int) -> None:
    error = error_for(status, Refusal(), retry_after="90")
    assert isinstance(error, RateLimited | EndpointUnavailable)
    assert error.retry_after == 90.0


@pytest.mark.parametrize(
    ("message", "prompt", "window"),
    [
        (  # vLLM 0.32, recorded
            (
                "This model's maximum context length is 4096 tokens. However, your prompt contains at least 4097 input "
                "tokens. Please reduce the length of the input messages. (parameter=input_tokens, value=4097)"
            ),
            4097,
            4096,
        ),
        (
            (
                "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens. "
                "Please reduce the length of the input messages."
            ),
            5000,
            4096,
        ),
        (
            (
                "You passed 5000 input tokens and requested 10 output tokens. However, the model's context length is "
                "only 4096 tokens, resulting in a maximum input length of 4086 tokens."
            ),
            5000,
            4096,
        ),
        (  # vLLM up to 0.8, and OpenAI
            (
                "This model's maximum context length is 4096 tokens. However, you requested 4196 tokens (4096 in the "
                "messages, 100 in the completion). Please reduce the length of the messages or completion."
            ),
            4096,
            4096,
        ),
        (
            "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
            5000,
            4096,
        ),
        ("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", 5000, 4096),
        ("the request exceeds the available context size. try increasing the context size", None, None),
    ],
)
def test_overflow_in_every_wording(message: str, prompt: int | None, window: int | None) -> None:
    error = error_for(400, read_refusal(body({"error": {"message": message, "code": 400}})), requested_tokens=100)
    assert isinstance(error, ContextOverflow)
    assert (error.prompt_tokens, error.max_model_len, error.requested_tokens) == (prompt, window, 100)
    for count in (prompt, window):
        assert count is None or str(count) in str(error)


@pytest.mark.parametrize(
    "message",
    [
        "max_completion_tokens=5000 cannot be greater than max_model_len=4096. Please request fewer output tokens.",
        "temperature must be non-negative, got -1.0.",
    ],
)
def test_what_is_no_overflow(message: str) -> None:
    assert type(error_for(400, Refusal(message=message))) is BadRequest


def test_too_large_a_wish_is_no_overflow_of_the_prompt() -> None:
    words = "'max_tokens' is too large: 5000. This model's maximum context length is 4096 tokens"
    assert type(error_for(400, Refusal(message=words, param="max_tokens"))) is BadRequest


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', "llama3_json"),
        ('Grammar error: Unimplemented keys: ["uniqueItems"]', "simplify"),
        ("temperature is bad", ""),
    ],
)
def test_hints_of_bad_requests(message: str, hint: str) -> None:
    error = error_for(400, Refusal(message=message))
    assert hint in error.hint
    assert bool(error.hint) == bool(hint)


@pytest.mark.parametrize(
    ("refusal", "has_key", "hint"),
    [
        (Refusal(modal=True), True, "wk-"),
        (Refusal(), False, "no key was sent"),
        (Refusal(), True, "LLAMA70B_API_KEY"),
    ],
)
def test_hints_of_refused_keys(refusal: Refusal, has_key: bool, hint: str) -> None:
    assert hint in error_for(401, refusal, has_key=has_key).hint


def test_an_error_inside_an_answer_takes_its_code() -> None:
    error = error_in_answer(Refusal(message="no", code=404), request_id="r1", where="the stream")
    assert isinstance(error, NotFound)
    assert str(error) == error.args[0] == "error inside the stream: no"
    assert isinstance(error_in_answer(Refusal()), ServerError)


@pytest.mark.parametrize(
    ("name", "status", "kind", "words"),
    [
        ("overflow", 400, ContextOverflow, "the prompt has 4097 tokens, the context window 4096"),
        ("too_long_an_answer", 400, BadRequest, "max_tokens=5000 cannot be greater"),
        ("unknown_model", 404, NotFound, "The model `nope` does not exist"),
        ("unauthorized", 401, AuthenticationError, "Unauthorized"),
        ("method_not_allowed", 405, NotFound, "Method Not Allowed"),
        ("bad_parameter", 400, BadRequest, "should be a valid integer"),
    ],
)
def test_recorded_refusals(
    recorded_body: Callable[[str], Any], name: str, status: int, kind: type[Llama70BError], words: str
) -> None:
    received = recorded_body(name)
    error = error_for(status, read_refusal(body(received)))
    assert type(error) is kind
    assert words in str(error)
    assert error.body == received


@pytest.mark.parametrize(
    "page",
    [b"<html><form>secret</form></html>", b"secret " * 50_000, b'"secret"', b'["secret"]', b'{"page": "secret"}'],
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
def test_pages_are_not_quoted(page: bytes, status: int) -> None:
    assert "secret" not in str(error_for(status, read_refusal(page)))
