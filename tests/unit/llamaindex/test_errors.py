"""Faults, as LlamaIndex's callers meet them: typed, after the exact number of attempts, in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import llamaindex_llama70b as package
from llama70b import Timeouts, errors
from llamaindex_llama70b import Llama70B
from tests.unit.scripted_server import Answer, Raw, ScriptedServer, error

Make = Callable[..., Llama70B]
METHODS = ["chat", "stream_chat", "complete", "stream_complete"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("status", "kind", "builtin"),
    [
        (400, errors.BadRequest, ValueError),
        (401, errors.AuthenticationError, Exception),
        (403, errors.PermissionDenied, Exception),
        (404, errors.NotFound, Exception),
        (422, errors.BadRequest, ValueError),
    ],
)
def test_what_retrying_cannot_help_is_tried_once(  # noqa: PLR0917 - fixtures and parameters
    llm: Llama70B, scripted: ScriptedServer, call: Any, method: str, status: int, kind: type[Exception], builtin: Any
) -> None:
    scripted.answer(error(status, "no such thing"))
    with pytest.raises(kind, match="no such thing") as caught:
        getattr(call, method)(llm)
    assert isinstance(caught.value, builtin)
    assert len(scripted.chats) == 1


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("status", [429, 502])
def test_attempts_are_counted_exactly(
    make: Make, scripted: ScriptedServer, call: Any, status: int, retries: int
) -> None:
    scripted.answer(Raw(status, {"error": {"message": "busy", "code": status}}, {"Retry-After": "0"}))
    kind = errors.RateLimited if status == 429 else errors.ServerError
    with pytest.raises(kind):
        call.chat(make(max_retries=retries))
    assert len(scripted.chats) == retries + 1
    with pytest.raises(kind):
        call.chat(make(max_retries=7), max_retries=1)
    assert len(scripted.chats) == retries + 1 + 2


def test_recovery(llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
    busy = Raw(429, {"error": {"message": "busy", "code": 429}}, {"Retry-After": "0"})
    scripted.answer(busy, busy, Answer("ok"))
    answer = call.chat(llm)
    assert answer.message.content == "ok"
    assert answer.additional_kwargs["timing"]["attempts"] == 3


@pytest.mark.parametrize("method", METHODS)
def test_a_timeout_is_the_whole_call_s(make: Make, scripted: ScriptedServer, call: Any, method: str) -> None:
    scripted.answer(Raw(200, {}, delay_s=3))
    began = time.monotonic()
    with pytest.raises(errors.RequestTimeout) as caught:
        getattr(call, method)(make(), timeout=0.4)
    assert time.monotonic() - began < 2
    assert isinstance(caught.value, TimeoutError)
    assert len(scripted.chats) == 1


def test_a_stream_that_goes_silent(make: Make, scripted: ScriptedServer, call: Any) -> None:
    scripted.answer(Answer("a b", pause_s=1.0))
    with pytest.raises(errors.StreamStalled):
        call.stream_chat(make(timeout=Timeouts(stream_idle=0.3)))


@pytest.mark.parametrize("method", ["stream_chat", "stream_complete"])
@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (Answer("a b", finish_reason=None, usage=None), errors.IncompleteStream, "a b"),
        (Answer("a b", cut=True), errors.IncompleteStream, "a b"),
        (Answer("a b", error_after={"message": "boom", "code": 500}), errors.ServerError, "a b"),
        (Answer("a b", error_after={"message": "bad regex", "code": 400}), errors.BadRequest, "a b"),
    ],
)
def test_a_stream_that_breaks_keeps_what_came(  # noqa: PLR0917 - as above
    llm: Llama70B, scripted: ScriptedServer, call: Any, method: str, answer: Answer, kind: Any, text: str
) -> None:
    scripted.answer(answer)
    with pytest.raises(kind) as caught:
        getattr(call, method)(llm)
    assert caught.value.text.strip() == text
    assert len(scripted.chats) == 1  # never repeated once the caller has seen a token


def test_the_server_says_the_prompt_is_too_long(llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
    said = (
        "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens. "
        "Please reduce the length of the input messages."
    )
    scripted.answer(error(400, said, param="input_tokens"))
    with pytest.raises(errors.ContextOverflow) as caught:
        call.chat(llm)
    assert caught.value.max_model_len == 4096
    assert isinstance(caught.value, ValueError)


def test_an_html_page(llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
    scripted.answer(Raw(200, "<html>log in</html>", {"Content-Type": "text/html"}))
    for method in (call.chat, call.stream_chat):
        with pytest.raises(errors.ProtocolError):
            method(llm)


def test_nobody_there(call: Any) -> None:
    llm = Llama70B(base_url="http://127.0.0.1:9", max_retries=0, timeout=Timeouts(connect=1, cold_start=0.5, poll=0.1))
    with pytest.raises((errors.ConnectionFailed, errors.EndpointUnavailable)):
        call.chat(llm)
    llm.close()


def test_every_error_is_exported() -> None:
    kinds = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    missing = [kind.__name__ for kind in kinds if not hasattr(package, kind.__name__)]
    assert missing == ["MissingExtra"]  # about installing, not about calling
