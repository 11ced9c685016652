"""What holds of every call, whatever the endpoint does."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llama70b._ops import Failure, Notify, Op, Outcome, Reply, Send, Sleep, Wake
from llama70b._retry import RetryBudget
from llama70b.endpoint import Endpoint, Timeouts, origin_of
from llama70b.errors import Llama70BError
from tests.unit.core.world import CHAT_URL, URL, World, failure, few, held, reply

many = settings(few, max_examples=300)

ROUNDING = 1e-6
"""Seconds: sums of floats are not exact."""

LOCATIONS = ["/r", "r?id=1", URL + "/r", "https://LLM.example:443/r", "https://evil.example/", "//evil.example/r"]
LOCATIONS += ["http://llm.example/r", "https://llm.example:1/", "https://a:b@llm.example/", "https://[", "", "\x00"]
STATUSES = [200, 200, 201, 204, 301, 302, 303, 307, 400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 429, 500, 500]
STATUSES += [501, 502, 503, 503, 503, 503, 504, 520, 101, 0, 999]
KINDS: list[Any] = ["connect", "connect_timeout", "tls", "pool_timeout", "no_answer", "stale", "timeout", "broken"]
KINDS += ["protocol", "too_large", "unsendable"]
BODIES = [b"", b"{}", b"<html>", b'{"data": [{"id": "m"}]}', b'{"error": "x"}', b"[", b"\xff"]
BODIES += [b'{"error": {"message": "maximum context length is 9 tokens"}}', b'{"count": 5}']
WAITS = ["0", "1", "30", "59.9", "60", "61", "-1", "nan", "1e9", "x", "Sun, 22 Nov 2026 12:00:30 GMT"]

replies = st.builds(
    lambda status, body, wait: reply(status, body, **({"retry_after": wait} if wait else {})),
    st.sampled_from(STATUSES),
    st.sampled_from(BODIES),
    st.sampled_from([None, None, *WAITS]),
)
anything = st.one_of(replies, st.sampled_from(LOCATIONS).map(held), st.sampled_from(KINDS).map(failure))
# What keeps a call going, often: one in three of anything ends it too early to reach the deadlines.
going_on = st.sampled_from(
    [reply(503), reply(503), held("/r"), held("/r"), reply(500), reply(429), failure("connect"), failure("stale")]
)
outcomes = st.one_of(going_on, going_on, going_on, anything)
seconds = st.sampled_from([0.0, 0.01, 0.5, 1.0, 3.0, 20.0, 1000.0])
scripts = st.lists(st.tuples(outcomes, seconds), min_size=1, max_size=25)
limits = st.sampled_from([0.5, 1.0, 2.0, 5.0, 20.0]) | st.floats(0.5, 100)  # tight ones often
worlds = st.builds(
    World,
    endpoint=st.sampled_from(["auto", "function"]).map(lambda ingress: Endpoint(URL, ingress=ingress)),  # type: ignore[arg-type]
    timeouts=st.builds(
        Timeouts, total=limits, cold_start=limits, first_byte=limits, poll=st.sampled_from([0.1, 1.0, 3.0])
    ),
    max_retries=st.integers(0, 4),
    budget=st.integers(0, 10).map(lambda tokens: RetryBudget(float(tokens))),
    dice=st.floats(0, 1, exclude_max=True),
)


@many
@given(worlds, scripts, st.booleans())
def test_whatever_happens(world: World, script: list[tuple[Outcome, float]], stream: bool) -> None:
    world.play(*script)
    flow = world.call_flow(stream=stream)
    with contextlib.suppress(Llama70BError):  # every path ends in one of these or in an answer
        assert 200 <= world.run(flow.run()).status < 300

    posts = [op for op in world.sends if op.url == CHAT_URL and op.method == "POST"]
    woken = sum(waited > 0 for waited in world.wakes)
    assert 1 <= len(posts) <= world.max_retries + 1 + woken + 1  # retries, the first, after waking, one stale re-send
    assert flow.posts == len(posts)

    for op in world.sends:
        assert origin_of(op.url) == world.endpoint.origin
        assert op.limit > 0
        assert (op.body is None) == (op.method == "GET")

    assert all(pause >= 0 for pause in world.sleeps)
    assert sum(world.sleeps) <= world.timeouts.total + world.timeouts.cold_start + ROUNDING


@many
@given(worlds, scripts, st.booleans())
def test_the_next_step_after_every_outcome(world: World, script: list[tuple[Outcome, float]], stream: bool) -> None:
    polling = False  # for a held answer; the looks of a Wake are a flow of their own, see below
    for before, op in world.play(*script).watch(world.call_flow(stream=stream).run()):
        match before:
            case Reply(status=303):
                polling = True
                assert isinstance(op, Notify)
            case Reply(status=503) if not polling:
                assert isinstance(op, Wake)  # never a second POST before it has been seen to serve
            case Failure():
                assert not isinstance(op, Wake)
        if isinstance(op, Send):
            assert not polling or op.method == "GET" or not isinstance(before, Reply) or before.status != 303
            polling = polling and op.method == "GET"


@many
@given(worlds, scripts, st.booleans())
def test_no_pause_passes_its_deadline(world: World, script: list[tuple[Outcome, float]], stream: bool) -> None:
    flow = world.play(*script).call_flow(stream=stream)
    started = posted = world.time
    cold_before = 0.0
    previous: Op | None = None
    for _, op in world.watch(flow.run()):
        if isinstance(op, Send) and op.method == "POST":
            posted, cold_before = world.time, flow.cold_s
        if isinstance(op, Sleep):
            if isinstance(previous, Notify) and previous.progress.state == "waking":  # between polls for a held answer
                end = posted + world.timeouts.cold_start - cold_before
            else:  # before a retry
                end = started + world.timeouts.total + flow.cold_s
            assert world.time + op.seconds <= end + ROUNDING
        previous = op


@many
@given(worlds, scripts, st.booleans())
def test_a_wake_up_ends_at_its_deadline(world: World, script: list[tuple[Outcome, float]], want_model: bool) -> None:
    began = world.time
    world.play(*script)
    with contextlib.suppress(Llama70BError):
        waited = world.wake(want_model=want_model)
        assert waited == (world.time - began if world.told else 0.0)
    assert {op.method for op in world.sends} == {"GET"}
    assert all(op.body is None and origin_of(op.url) == world.endpoint.origin for op in world.sends)
    assert sum(world.sleeps) <= world.timeouts.cold_start + ROUNDING
    last_exchanges = 2 * world.timeouts.first_byte  # a look begun in time may end after it
    assert world.time - began <= world.timeouts.cold_start + last_exchanges + ROUNDING
