"""Looks at a sleeping endpoint: what counts as asleep, as awake, and as beyond waiting."""

from __future__ import annotations

import json

import pytest

from llama70b._ops import FailureKind, Outcome, Reply
from llama70b._wake import model_ids
from llama70b.endpoint import DEFAULT_MODEL, Endpoint
from llama70b.errors import (
    AuthenticationError,
    ColdStartTimeout,
    ConfigurationError,
    ConnectionFailed,
    Llama70BError,
    NotFound,
    PermissionDenied,
    RedirectRefused,
)
from tests.unit.core.world import URL, World, failure, held, reply

OK = reply(200)


def listing(*names: str) -> Reply:
    return reply(200, json.dumps({"data": [{"id": name} for name in names]}).encode())


def test_awake_at_the_first_look(world: World) -> None:
    assert world.play(OK, listing(DEFAULT_MODEL)).wake(want_model=True) == 0.0
    assert world.paths == ["GET /health", "GET /v1/models"]
    assert (world.told, world.sleeps) == ([], [])


@pytest.mark.parametrize(
    ("outcome", "detail"),
    [
        *((reply(status), f"HTTP {status}") for status in (429, 500, 502, 503, 504, 520)),
        (held("/anywhere/at/home"), "held (303)"),
        *((failure(kind), kind.replace("_", " ")) for kind in ("connect", "connect_timeout", "no_answer", "timeout")),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["health", "models"])
def test_asleep(world: World, outcome: Outcome, detail: str, path: str) -> None:
    looks = [outcome] if path == "health" else [OK, outcome]
    waited = world.play(*looks, *looks, OK, OK).wake()
    assert waited == pytest.approx(world.time - 1000.0)
    assert [(progress.state, progress.detail) for progress in world.told] == [
        ("cold", detail),
        ("waking", detail),
        ("ready", "serving"),
    ]


@pytest.mark.parametrize("status", [200, 204, 400, 404, 405])
def test_a_gateway_that_hides_a_path_is_awake(world: World, status: int) -> None:
    assert world.play(reply(status), reply(status)).wake(want_model=True) == 0.0


@pytest.mark.parametrize(
    ("outcome", "error", "words"),
    [
        (reply(401), AuthenticationError, "no key was sent"),
        (reply(401, b"modal-http: invalid credentials"), AuthenticationError, "Modal's proxy"),
        (reply(403), PermissionDenied, "not allowed"),
        (reply(301, location="https://llm.example/"), RedirectRefused, "301"),
        (held("https://evil.example/"), RedirectRefused, "evil.example"),
        (held(""), RedirectRefused, "303"),
        (failure("tls"), ConnectionFailed, "certificate"),
        (failure("unsendable"), ConfigurationError, "HTTP library"),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["health", "models"])
def test_beyond_waiting(world: World, outcome: Outcome, error: type[Llama70BError], words: str, path: str) -> None:
    world.endpoint = Endpoint(URL)
    with pytest.raises(error, match=words):
        world.play(*([] if path == "health" else [OK]), outcome).wake()
    assert world.sleeps == []


def test_other_models_are_refused_only_where_asked(world: World) -> None:
    with pytest.raises(NotFound, match="served here: a, b; set model"):
        world.play(OK, listing("a", "b")).wake(want_model=True)
    assert world.play(OK, listing("a", "b")).wake() == 0.0
    assert world.play(OK, listing()).wake(want_model=True) == 0.0


def test_pauses_grow_to_five_times_the_first(world: World) -> None:
    world.dice = 0.0
    with pytest.raises(ColdStartTimeout):
        world.play(reply(503)).wake()
    assert world.sleeps[:3] == [1.0, 1.25, 1.5625]
    assert max(world.sleeps) == 5.0
    assert sum(world.sleeps) <= 120.0


@pytest.mark.parametrize("kind", ["timeout", "connect_timeout"])
def test_a_look_lasts_no_longer_than_the_deadline(world: World, kind: FailureKind) -> None:
    with pytest.raises(ColdStartTimeout, match="still slept after 10 s"):
        world.play((failure(kind), 1000.0)).wake(deadline=world.time + 10.0)
    assert world.time == pytest.approx(1010.0, abs=0.01)
    assert [send.limit for send in world.sends] == [10.0]


def test_a_deadline_already_passed_allows_one_look(world: World) -> None:
    assert world.play(OK, OK).wake(deadline=world.time - 5.0) == 0.0
    with pytest.raises(ColdStartTimeout):
        world.play(reply(503)).wake(deadline=world.time)
    assert len(world.sends) == 3


@pytest.mark.parametrize(
    ("outcome", "names"),
    [
        (listing("a", "b"), ["a", "b"]),
        (reply(200, b'{"data": [{"id": 5}, 7, {"id": "a"}]}'), ["a"]),
        (reply(200, b"{}"), None),
        (reply(404, b'{"data": []}'), None),
        (failure("timeout"), None),
        (None, None),
    ],
)
def test_names_in_a_list_of_models(outcome: Outcome, names: list[str] | None) -> None:
    assert model_ids(outcome) == names
