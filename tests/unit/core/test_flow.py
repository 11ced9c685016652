"""The policy of a call, without sockets and without time: what is sent, when it waits, how it ends."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from llama70b._ops import Failure, FailureKind, Outcome, Reply
from llama70b._retry import RetryBudget
from llama70b.endpoint import Endpoint, Timeouts
from llama70b.errors import (
    AuthenticationError,
    BadRequest,
    ColdStartTimeout,
    ConfigurationError,
    ConnectionFailed,
    ContextOverflow,
    EndpointUnavailable,
    Llama70BError,
    NotFound,
    ProtocolError,
    RateLimited,
    RedirectRefused,
    RequestTimeout,
    ResponseTooLarge,
    ServerError,
)
from tests.unit.core.world import CHAT, URL, World, failure, held, reply

OK = reply(200, b"{}")
MODELS = reply(200, json.dumps({"object": "list", "data": [{"id": "llama-a"}, {"id": "llama-b"}]}).encode())
POST, HEALTH, LIST = "POST /v1/chat/completions", "GET /health", "GET /v1/models"


PASSING: tuple[FailureKind, ...] = ("connect", "connect_timeout", "no_answer", "stale", "timeout", "broken")


def spent(budget: RetryBudget) -> int:
    """Return how many of the ten retries of a fresh budget are gone, by spending the rest."""
    left = 0
    while budget.spend():
        left += 1
    return 10 - left


class TestAnswered:
    def test_at_once(self, world: World) -> None:
        assert world.play(OK).chat() == OK
        assert world.paths == [POST]
        assert json.loads(world.sends[0].body or b"") == CHAT
        assert (world.sleeps, world.told) == ([], [])

    @pytest.mark.parametrize("status", [200, 201, 204])
    def test_any_2xx_is_an_answer(self, world: World, status: int) -> None:
        assert world.play(reply(status)).chat().status == status

    def test_a_get_has_no_body(self, world: World) -> None:
        assert world.play(MODELS).chat(get=True) == MODELS
        assert (world.paths, world.sends[0].body) == ([LIST], None)

    def test_success_refunds_a_tenth(self, world: World) -> None:
        world.budget.spend()
        for _ in range(11):  # ten tenths fall short of one by a rounding error
            world.play(OK).chat()
        assert spent(world.budget) == 0


class TestLimits:
    @pytest.mark.parametrize(
        ("ingress", "stream", "total", "limit"),
        [
            ("server", True, 900.0, (170.0, "first_byte")),
            ("server", True, 100.0, (100.0, "total")),
            ("server", False, 900.0, (900.0, "total")),
            ("function", True, 900.0, (170.0, "first_byte")),
            ("function", False, 10.0, (170.0, "first_byte")),  # cut before Modal does, the run would be done twice
        ],
    )
    def test_how_long_a_send_may_take(self, ingress: Any, stream: bool, total: float, limit: tuple[float, str]) -> None:
        world = World(endpoint=Endpoint(URL, ingress=ingress), timeouts=Timeouts(total=total)).play(OK)
        world.chat(stream=stream)
        send = world.sends[0]
        assert ((send.limit, send.limit_name), send.stream, send.within) == (limit, stream, max(limit[0], total))

    def test_a_retry_has_what_is_left(self, world: World) -> None:
        world.play((reply(500), 20.0), OK).chat()
        assert world.sends[1].limit == pytest.approx(60.0 - 20.0 - world.sleeps[0])

    def test_no_send_after_the_total(self, world: World) -> None:
        flow = world.play(OK).call_flow()
        world.time += 60.0
        with pytest.raises(RequestTimeout, match=r"timeouts\.total \(60 s\)") as caught:
            world.run(flow.run())
        assert (world.sends, caught.value.request_id) == ([], "req-1")

    def test_a_pause_that_would_pass_the_total_is_not_begun(self, world: World) -> None:
        with pytest.raises(RateLimited):
            world.play((reply(429, retry_after="30"), 31.0)).chat()
        assert (len(world.sends), world.sleeps) == (1, [])

    def test_waking_does_not_count_as_total(self, world: World) -> None:
        slow = (reply(503), 20.0)
        flow = world.play(reply(503), slow, slow, slow, slow, OK, MODELS, OK).call_flow()
        world.run(flow.run())
        assert flow.cold_s > 60.0
        assert world.sends[-1].limit == pytest.approx(60.0, abs=0.1)


class TestRetries:
    @pytest.mark.parametrize("status", [408, 429, 502, 504])
    def test_passing_faults_are_retried(self, world: World, status: int) -> None:
        assert world.play(reply(status), reply(status), OK).chat() == OK
        assert world.paths == [POST] * 3
        assert world.sleeps == [0.25, 0.5]  # full jitter at dice 0.5: half of 0.5 s, half of 1 s

    @pytest.mark.parametrize("status", [408, 429, 502, 504])
    def test_but_only_max_retries_times(self, world: World, status: int) -> None:
        world.max_retries = 1
        with pytest.raises(Llama70BError) as caught:
            world.play(reply(status)).chat()
        assert (caught.value.status, len(world.sends)) == (status, 2)

    def test_a_500_is_retried_once(self, world: World) -> None:
        world.max_retries = 5
        with pytest.raises(ServerError):
            world.play(reply(500)).chat()
        assert world.paths == [POST] * 2

    def test_a_500_after_another_retry_is_not_retried(self, world: World) -> None:
        world.max_retries = 5
        with pytest.raises(ServerError):
            world.play(reply(502), reply(500)).chat()
        assert world.paths == [POST] * 2

    @pytest.mark.parametrize(
        ("status", "kind"), [(400, BadRequest), (401, AuthenticationError), (413, BadRequest), (501, ServerError)]
    )
    def test_refusals_are_final(self, world: World, status: int, kind: type[Llama70BError]) -> None:
        with pytest.raises(kind):
            world.play(reply(status)).chat()
        assert world.paths == [POST]

    def test_the_same_bytes_are_sent_again(self, world: World) -> None:
        world.play(reply(502), failure("no_answer"), OK).chat()
        assert len({send.body for send in world.sends}) == 1

    def test_nothing_is_retried_with_no_retries(self, world: World) -> None:
        world.max_retries = 0
        with pytest.raises(ConnectionFailed):
            world.play(failure("connect")).chat()
        assert len(world.sends) == 1

    def test_an_empty_budget_ends_it_with_the_last_error(self, world: World) -> None:
        while world.budget.spend():
            pass
        with pytest.raises(RateLimited, match="retry budget is empty"):
            world.play(reply(429)).chat()
        assert (len(world.sends), world.sleeps) == (1, [])


class TestRetryAfter:
    @pytest.mark.parametrize("status", [429, 502])
    def test_is_kept_to(self, world: World, status: int) -> None:
        world.play(reply(status, retry_after="2"), reply(status, retry_after="0"), OK).chat()
        assert world.sleeps == [2.0, 0.0]

    @pytest.mark.parametrize("value", ["-1", "nan", "soon", "inf"])
    def test_nonsense_is_ignored(self, world: World, value: str) -> None:
        world.play(reply(429, retry_after=value), OK).chat()
        assert world.sleeps == [0.25]

    @pytest.mark.parametrize("value", ["61", "1e9"])
    def test_more_than_a_minute_fails_at_once_and_says_so(self, world: World, value: str) -> None:
        with pytest.raises(RateLimited) as caught:
            world.play(reply(429, retry_after=value)).chat()
        assert caught.value.retry_after == float(value)
        assert (len(world.sends), world.sleeps, spent(world.budget)) == (1, [], 0)

    def test_the_same_from_an_overloaded_server(self, world: World) -> None:
        with pytest.raises(EndpointUnavailable) as caught:
            world.play(reply(503, retry_after="3600"), OK, MODELS).chat()
        assert caught.value.retry_after == 3600.0
        assert world.paths == [POST, HEALTH, LIST]

    def test_a_date(self, world: World) -> None:
        # The fake wall clock: 1_800_000_000 + 1000 s is Fri, 15 Jan 2027 08:16:40 GMT.
        world.play(reply(429, retry_after="Fri, 15 Jan 2027 08:16:45 GMT"), OK).chat()
        assert world.sleeps == [pytest.approx(5.0, abs=0.02)]


class TestFailures:
    @pytest.mark.parametrize("kind", ["connect", "no_answer", "broken"])
    def test_retried(self, world: World, kind: FailureKind) -> None:
        assert world.play(failure(kind), OK).chat() == OK
        assert len(world.sleeps) == 1

    @pytest.mark.parametrize(
        ("kind", "error", "words"),
        [
            ("connect_timeout", ConnectionFailed, "no connection to llm.example"),
            ("tls", ConnectionFailed, "certificate of llm.example"),
            ("pool_timeout", RequestTimeout, "no free connection"),
            ("timeout", RequestTimeout, "no answer from llm.example"),
            ("protocol", ProtocolError, "what the HTTP library said"),
            ("too_large", ResponseTooLarge, "what the HTTP library said"),
            ("unsendable", ConfigurationError, "what the HTTP library said"),
        ],
    )
    def test_final(self, world: World, kind: FailureKind, error: type[Llama70BError], words: str) -> None:
        with pytest.raises(error, match=words) as caught:
            world.play(failure(kind)).chat()
        assert len(world.sends) == 1
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.request_id == "req-1"

    @pytest.mark.parametrize("kind", ["connect", "no_answer", "stale"])
    def test_the_last_one_keeps_its_cause(self, world: World, kind: FailureKind) -> None:
        with pytest.raises(ConnectionFailed) as caught:
            world.play(failure(kind)).chat()
        assert isinstance(caught.value.__cause__, OSError)

    def test_a_broken_stream_is_not_begun_again(self, world: World) -> None:
        with pytest.raises(ConnectionFailed, match="broke"):
            world.play(failure("broken")).chat(stream=True)
        assert len(world.sends) == 1

    def test_a_stale_connection_costs_nothing_once(self, world: World) -> None:
        world.max_retries = 0
        assert world.play(failure("stale"), OK).chat() == OK
        assert (len(world.sends), world.sleeps, spent(world.budget)) == (2, [], 0)

    def test_but_only_once(self, world: World) -> None:
        world.max_retries = 1
        with pytest.raises(ConnectionFailed):
            world.play(failure("stale")).chat()
        assert (len(world.sends), len(world.sleeps)) == (3, 1)


class TestCold:
    def test_only_gets_until_it_serves(self, world: World) -> None:
        asleep: list[Outcome] = [reply(503), failure("connect"), failure("timeout"), reply(502), reply(504), reply(429)]
        assert world.play(reply(503), *asleep, OK, reply(503), OK, MODELS, OK).chat() == OK
        assert world.paths == [POST, *[HEALTH] * 7, LIST, HEALTH, LIST, POST]
        assert all(send.body is None for send in world.sends[1:-1])

    def test_waiting_is_no_retry(self, world: World) -> None:
        world.max_retries = 0
        flow = world.play(reply(503), *[reply(503)] * 20, OK, MODELS, OK).call_flow()
        assert world.run(flow.run()) == OK
        assert (flow.posts, spent(world.budget)) == (2, 0)
        assert flow.cold_s == world.wakes[0] > 20.0

    def test_it_tells(self, world: World) -> None:
        world.play(reply(503), reply(503), reply(502), OK, MODELS, OK).chat()
        assert world.states == ["cold", "waking", "ready"]
        assert [progress.detail for progress in world.told] == ["HTTP 503", "HTTP 502", "serving"]
        assert sorted(progress.elapsed_s for progress in world.told) == [p.elapsed_s for p in world.told]

    def test_a_503_of_a_server_that_serves_is_a_retry(self, world: World) -> None:
        round_of_looks = [reply(503), OK, MODELS]
        with pytest.raises(EndpointUnavailable, match="HTTP 503"):
            world.play(*round_of_looks * 3).chat()
        assert world.paths == [POST, HEALTH, LIST] * 3
        assert (world.sleeps, world.told, spent(world.budget)) == ([0.25, 0.5], [], 2)

    def test_asleep_for_good(self, world: World) -> None:
        with pytest.raises(ColdStartTimeout, match=r"timeouts\.cold_start is 120 s") as caught:
            world.play(reply(503)).chat()
        assert caught.value.elapsed_s == pytest.approx(120.0, abs=1.0)
        assert world.time - 1000.0 == pytest.approx(120.0, abs=1.0)
        assert world.paths.count(POST) == 1
        assert (world.states[0], world.states[-1]) == ("cold", "failed")

    def test_it_wakes_and_sleeps_again_within_one_deadline(self, world: World) -> None:
        with pytest.raises(ColdStartTimeout):
            world.play(*[reply(503), reply(503), OK, MODELS] * 500).chat()
        assert sum(world.wakes) <= 120.1  # the last look is begun in time and ends after it

    def test_a_refused_key_ends_the_waiting(self, world: World) -> None:
        with pytest.raises(AuthenticationError):
            world.play(reply(503), reply(503), reply(401)).chat()
        assert world.paths == [POST, HEALTH, HEALTH]


class TestHeld:
    def test_gets_without_body_until_the_answer_comes(self, world: World) -> None:
        world.timeouts = Timeouts(cold_start=1000.0)
        flow = world.play((held("/v1/r?id=1"), 150.0), (held("r2"), 150.0), (OK, 30.0)).call_flow()
        assert world.run(flow.run()) == OK
        assert world.paths == [POST, "GET /v1/r?id=1", "GET /v1/r2"]
        assert [send.body for send in world.sends[1:]] == [None, None]
        assert (flow.posts, flow.cold_s, world.sleeps) == (1, 330.0, [])
        assert world.states == ["waking", "waking", "ready"]

    def test_who_answers_at_once_is_not_asked_in_a_tight_loop(self, world: World) -> None:
        world.play(*[held("/r")] * 5, OK).chat()
        assert len(world.sleeps) == 5
        assert all(pause > 0.5 for pause in world.sleeps)

    @pytest.mark.parametrize(
        "trouble",
        [*map(reply, (408, 429, 502, 503, 504)), *map(failure, PASSING)],
        ids=lambda trouble: str(trouble.status if isinstance(trouble, Reply) else trouble.kind),
    )
    def test_a_poll_that_fails_is_repeated_and_the_prompt_is_not(self, world: World, trouble: Outcome) -> None:
        assert world.play(held("/r"), trouble, trouble, OK).chat() == OK
        assert world.paths == [POST, "GET /r", "GET /r", "GET /r"]
        assert spent(world.budget) == 0

    def test_a_run_that_failed_is_a_failed_call(self, world: World) -> None:
        with pytest.raises(BadRequest):
            world.play(held("/r"), reply(400)).chat()
        assert world.play(held("/r"), reply(500), OK).chat() == OK
        assert world.paths[2:] == [POST, "GET /r", POST]

    def test_held_for_ever(self, world: World) -> None:
        with pytest.raises(ColdStartTimeout):
            world.play((held("/r"), 50.0)).chat()
        assert world.paths.count(POST) == 1
        assert world.states[-1] == "failed"
        assert world.time - 1000.0 <= 121.0

    def test_held_for_ever_by_one_who_answers_at_once(self, world: World) -> None:
        with pytest.raises(ColdStartTimeout):
            world.play((held("/r"), 0.0)).chat()
        assert world.time == pytest.approx(1120.0)  # the last pause is cut to end at the deadline

    @pytest.mark.parametrize("first", [True, False], ids=["the first", "the second"])
    @pytest.mark.parametrize(
        "location",
        [
            "",
            "https://evil.example/r",
            "//evil.example/r",
            "http://llm.example/r",
            "https://llm.example:8443/r",
            "https://llm.example@evil.example/",
            "https://u:p@llm.example/r",
            "https://llm.example.evil.example/",
            "https://[",
            "https://llm.example:99999/",
        ],
    )
    def test_other_origins_are_refused(self, world: World, location: str, first: bool) -> None:
        with pytest.raises(RedirectRefused) as caught:
            world.play(*([] if first else [held("/r")]), held(location)).chat()
        assert caught.value.status == 303
        assert len(world.sends) == (1 if first else 2)
        assert ":p@" not in str(caught.value)

    @pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308])
    def test_other_redirects_are_refused_even_at_home(self, world: World, status: int) -> None:
        with pytest.raises(RedirectRefused, match=str(status)):
            world.play(reply(status, location=URL + "/x")).chat()
        assert len(world.sends) == 1


class TestBetterErrors:
    @pytest.mark.parametrize("status", [404, 405])
    def test_not_found_names_what_is_served(self, world: World, status: int) -> None:
        with pytest.raises(NotFound, match="llama-a, llama-b"):
            world.play(reply(status), MODELS).chat()
        assert world.paths == [POST, LIST]

    @pytest.mark.parametrize(
        "listed",
        [
            reply(404),
            reply(200, b"<html>"),
            reply(200, b'{"data": 5}'),
            reply(200, b'{"data": []}'),
            failure("timeout"),
        ],
    )
    def test_or_asks_about_the_url(self, world: World, listed: Outcome) -> None:
        with pytest.raises(NotFound, match=r"is https://llm\.example/v1 the right base_url"):
            world.play(reply(404), listed).chat()

    def test_a_get_that_is_not_found_looks_no_further(self, world: World) -> None:
        with pytest.raises(NotFound):
            world.play(reply(404)).chat(get=True)
        assert len(world.sends) == 1

    overflow = reply(
        400, b'{"error": {"message": "maximum context length is 4096 tokens, prompt contains at least 4097"}}'
    )

    def test_an_overflow_is_counted(self, world: World) -> None:
        body = CHAT | {"tools": [{"type": "function"}], "temperature": 0}
        with pytest.raises(ContextOverflow, match="has 5000 tokens, the context window 4096") as caught:
            world.play(self.overflow, reply(200, b'{"count": 5000, "max_model_len": 8192}')).chat(body)
        error = caught.value
        assert (error.prompt_tokens, error.max_model_len, error.requested_tokens) == (5000, 4096, 7)
        assert world.paths == [POST, "POST /tokenize"]
        assert json.loads(world.sends[1].body or b"") == {
            "model": "m",
            "messages": CHAT["messages"],
            "tools": [{"type": "function"}],
            "add_generation_prompt": True,
        }

    @pytest.mark.parametrize("counted", [reply(404), reply(200, b"{}"), reply(200, b"no JSON"), failure("broken")])
    def test_or_reported_in_the_servers_words(self, world: World, counted: Outcome) -> None:
        with pytest.raises(ContextOverflow, match="at least 4097") as caught:
            world.play(self.overflow, counted).chat()
        assert (caught.value.prompt_tokens, caught.value.max_model_len) == (4097, 4096)

    def test_a_request_that_is_no_chat_is_not_counted(self, world: World) -> None:
        with pytest.raises(ContextOverflow):
            world.play(self.overflow).chat({"model": "m", "prompt": "a text to tokenize"})
        assert len(world.sends) == 1

    def test_an_error_body_is_read(self, world: World) -> None:
        with pytest.raises(BadRequest, match="temperature must be") as caught:
            world.play(reply(400, b'{"error": {"message": "temperature must be >= 0", "code": 400}}')).chat()
        assert caught.value.body == {"error": {"message": "temperature must be >= 0", "code": 400}}


class TestBody:
    def test_lone_surrogates_are_escaped(self, world: World) -> None:
        body = {"messages": [{"role": "user", "content": "\ud800 é"}]}
        world.play(OK).chat(body)
        sent = world.sends[0].body or b""
        assert b"\\ud800" in sent
        assert json.loads(sent) == body

    @pytest.mark.parametrize("value", [math.nan, math.inf, object(), {1, 2}, {("a", "b"): 1}])
    def test_what_is_no_json_is_refused_before_it_is_sent(self, world: World, value: Any) -> None:
        with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
            world.call_flow({"temperature": value})

    def test_nested_without_end(self, world: World) -> None:
        loop: list[Any] = []
        loop.append(loop)
        with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
            world.call_flow({"messages": loop})


@pytest.mark.parametrize("nonsense", [None, 1.5])
def test_a_driver_that_answers_a_send_with_nonsense(world: World, nonsense: Any) -> None:
    with pytest.raises(AssertionError, match="a Send was answered with"):
        world.play(nonsense).chat()
    with pytest.raises(AssertionError, match="a Send was answered with"):
        world.play(reply(503), nonsense).chat()


def test_failures_compare_without_their_cause() -> None:
    assert Failure("tls", "x", OSError()) == Failure("tls", "x")
