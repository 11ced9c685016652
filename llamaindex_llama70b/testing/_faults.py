"""Faults: typed, after the exact number of attempts, in time, never taken for an answer."""

# ruff: noqa: PLR2004 - attempts and seconds

from __future__ import annotations

import time
from typing import Any

import pytest

from llama70b.testing import Answer, CountingServer, Raw, Request, error
from llamaindex_llama70b.testing._suite import Caller, Make, Scripted, failure

PAGE = "<html><body>" + "<p>login page of somebody else</p>" * 200 + "</body></html>"


class Faults(Scripted):
    """Behaviours when the server or the way to it misbehaves."""

    @pytest.mark.parametrize("status", [400, 401, 404])
    def test_no_second_attempt(self, llm: Any, server: CountingServer, call: Caller, status: int) -> None:
        """What trying again cannot help is tried once: 400, 401, 404."""
        server.answer(Raw(401, {"error": "Unauthorized"}) if status == 401 else error(status, "no such thing"))
        failure(lambda: call.chat(llm))
        assert len(server.chats) == 1

    def test_the_server_s_words(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """The error tells what the server said."""
        server.answer(error(400, "Grammar error: no such rule"))
        assert "no such rule" in str(failure(lambda: call.chat(llm)))

    def test_zero_retries(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`max_retries=0` is one attempt."""
        server.answer(error(502, "bad gateway"))
        failure(lambda: call.chat(make(max_retries=0)))
        assert len(server.chats) == 1

    @pytest.mark.parametrize("status", [429, 502])
    def test_attempts_are_counted(self, make: Make, server: CountingServer, call: Caller, status: int) -> None:
        """`max_retries=2` is three attempts, on 429 and on 502."""
        server.answer(Raw(status, {"error": {"message": "busy", "code": status}}, {"Retry-After": "0"}))
        failure(lambda: call.chat(make(max_retries=2)))
        assert len(server.chats) == 3

    def test_recovery(self, make: Make, server: CountingServer, call: Caller) -> None:
        """Two answers of 429 and then one that is good end in the answer."""
        busy = Raw(429, {"error": {"message": "busy", "code": 429}}, {"Retry-After": "0"})
        server.answer(busy, busy, Answer("ok"))
        assert call.chat(make(max_retries=2)).message.content == "ok"

    def test_recovery_of_a_stream(self, make: Make, server: CountingServer, call: Caller) -> None:
        """A stream refused with 429 before it began is tried again."""
        busy = Raw(429, {"error": {"message": "busy", "code": 429}}, {"Retry-After": "0"})
        server.answer(busy, Answer("a b"))
        assert call.stream_chat(make(max_retries=2))[-1].message.content == "a b"

    def test_recovery_from_503(self, make: Make, server: CountingServer, call: Caller) -> None:
        """Two answers of 503 and then one that is good end in the answer."""
        asleep = Raw(503, {"error": {"message": "starting", "code": 503}}, {"Retry-After": "0"})
        server.answer(asleep, asleep, Answer("ok"))
        assert call.chat(make(max_retries=3)).message.content == "ok"

    def test_timeout(self, make: Make, server: CountingServer, call: Caller) -> None:
        """`timeout` bounds the whole call, retries included, and the prompt is not sent again meanwhile."""
        server.answer(Raw(200, {}, delay_s=4))
        llm = make(timeout=0.4, max_retries=2)
        began = time.monotonic()
        failure(lambda: call.chat(llm))
        assert time.monotonic() - began < 2.5
        assert len(server.chats) == 1

    def test_a_stalled_stream(self, make: Make, server: CountingServer, call: Caller) -> None:
        """A stream that goes silent ends in an error."""
        server.answer(Answer("a b", pause_s=1.5))
        failure(lambda: call.stream_chat(make(timeout=0.5, max_retries=0)))

    def test_a_cut_stream(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A connection cut in mid-stream ends in an error, and the prompt is not sent again."""
        server.answer(Answer("a b", cut=True))
        failure(lambda: call.stream_chat(llm))
        assert len(server.chats) == 1

    def test_a_stream_without_an_end(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A stream that stops without `finish_reason` is not taken for a whole answer."""
        server.answer(Answer("a b", finish_reason=None, usage=None))
        failure(lambda: call.stream_chat(llm))

    def test_an_error_in_a_stream(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """An error the server sends in mid-stream is raised."""
        server.answer(Answer("a b", error_after={"message": "engine died", "code": 500}))
        assert "engine died" in str(failure(lambda: call.stream_chat(llm)))

    def test_a_page_is_no_answer(self, make: Make, server: CountingServer, call: Caller) -> None:
        """A web page with status 200 is an error."""
        server.answer(Raw(200, PAGE, {"Content-Type": "text/html"}))
        failure(lambda: call.chat(make(max_retries=0)))

    def test_a_page_is_not_quoted(self, make: Make, server: CountingServer, call: Caller) -> None:
        """A web page with status 500 is not pasted into the error."""
        server.answer(Raw(500, PAGE, {"Content-Type": "text/html"}))
        assert len(str(failure(lambda: call.chat(make(max_retries=0))))) < 1000

    def test_a_303_is_followed(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """A 303, as Modal sends while it holds a request, is followed by GET; the prompt is sent once."""
        seen: list[str] = []

        def later(request: Request) -> Answer:
            seen.append(request.method)
            return Answer("late")

        server.routes["/v1/result"] = later
        server.answer(Raw(303, "", {"Location": "/v1/result?call=1"}))
        assert call.chat(llm).message.content == "late"
        assert seen == ["GET"]
        assert len(server.chats) == 1

    def test_missing_choices(self, make: Make, server: CountingServer, call: Caller) -> None:
        """An answer without choices is an error, not an empty text."""
        server.answer(Raw(200, {"id": "x", "object": "chat.completion", "model": "m", "choices": []}))
        failure(lambda: call.chat(make(max_retries=0)))

    def test_unknown_fields(self, llm: Any, server: CountingServer, call: Caller) -> None:
        """Fields of a newer server do not break an answer."""
        server.answer(
            lambda request: Raw(200, Answer("ok", usage=(3, 1)).completion(request.body) | {"novelty": {"a": [1]}})
        )
        assert call.chat(llm).message.content == "ok"

    def test_a_dead_port(self, call: Caller) -> None:
        """Nobody there is an error, soon."""
        llm = self.make_llm("http://127.0.0.1:9/v1", "key", max_retries=0, timeout=2)
        began = time.monotonic()
        failure(lambda: call.chat(llm))
        assert time.monotonic() - began < 20
