"""Endpoints: every bad input, the environment, keys bound to their origin; secrets; time limits."""

import copy
import dataclasses
import pickle
import pprint
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b import Endpoint, Secret, Timeouts
from llama70b.endpoint import DEFAULT_MODEL, origin_of
from llama70b.errors import ConfigurationError
from tests.unit.core.world import few


@pytest.mark.parametrize(
    ("given_url", "base_url"),
    [
        ("https://host", "https://host/v1"),
        ("https://host/", "https://host/v1"),
        ("https://host/v1", "https://host/v1"),
        (" https://host/v1/ ", "https://host/v1"),
        ("https://Host.Example/", "https://host.example/v1"),
        ("https://host:8443/a/b/", "https://host:8443/a/b/v1"),
        ("https://host:443/v1", "https://host:443/v1"),
        ("https://host:/v1", "https://host/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://vllm.localhost", "http://vllm.localhost/v1"),
        ("https://host./v1", "https://host./v1"),
    ],
)
def test_urls_are_normalised(given_url: str, base_url: str) -> None:
    endpoint = Endpoint(given_url)
    assert endpoint.base_url == base_url
    assert endpoint.root_url + "/v1" == base_url
    assert Endpoint(base_url) == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        None,
        5,
        "host",
        "host/v1",
        "ftp://host",
        "file:///etc/passwd",
        "https://",
        "https:///v1",
        "https://user@host",
        "https://user:pass@host",
        "https://:pass@host",
        "https://host/v1?key=x",
        "https://host/v1#x",
        "https://host:0",
        "https://host:99999",
        "https://host:port",
        "https://[::1",
        "https://ho st/v1",
        "https://host/a\tb",
        "https://h\u00f6st/v1",
        "https://a..b/v1",
        "https://.host",
        "https://" + "a" * 64,
        "http://host/v1",
        "http://10.0.0.1:8000",
        "http://localhost.evil.com",
        "http://127.0.0.1.evil.com",
    ],
)
def test_impossible_urls(url: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Endpoint(url)
    assert "pass@" not in str(caught.value)
    assert ":pass" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@exam\u2100ple.com",
        "https://user:hunter2/x@host",
        "https://user:hunter2?x@host",
        "https://user:hunter2#x@host",
        "https://user:hunter2@[::1",
        "https://user:hunter2@host:99999",
        "user:hunter2@host",
    ],
)
def test_a_password_in_a_broken_url_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Endpoint(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_plain_http_to_another_machine_only_on_demand() -> None:
    assert Endpoint("http://10.0.0.1:8000", allow_insecure=True).origin == ("http", "10.0.0.1", 8000)


@few
@given(st.text(max_size=40))
def test_any_text_is_an_endpoint_or_a_typed_error(url: str) -> None:
    try:
        endpoint = Endpoint(url, allow_insecure=True)
    except ConfigurationError:
        return
    assert endpoint.base_url.endswith("/v1")
    assert Endpoint(endpoint.base_url, allow_insecure=True) == endpoint


@pytest.mark.parametrize(
    "fields",
    [
        {"model": ""},
        {"model": "  "},
        {"model": None},
        {"max_retries": -1},
        {"max_connections": 0},
        {"context_window": 0},
        *({name: value} for name in ("max_retries", "max_connections", "context_window") for value in ("2", 1.5, True)),
        {"max_retries": None},
        {"modal_key": "wk-x"},
        {"modal_secret": "ws-x"},
        {"api_key": ""},
        {"api_key": "a\nb"},
        {"api_key": b"bytes"},
    ],
)
def test_impossible_fields(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Endpoint("https://host", **fields)


def test_credentials_become_secrets_and_headers() -> None:
    endpoint = Endpoint("https://host", api_key=" key ", modal_key=Secret("wk-x"), modal_secret="ws-x")
    assert endpoint.auth_headers() == {"Authorization": "Bearer key", "Modal-Key": "wk-x", "Modal-Secret": "ws-x"}
    assert "wk-x" not in repr(endpoint)
    assert endpoint.openai_kwargs() == {
        "base_url": "https://host/v1",
        "api_key": "key",
        "model": DEFAULT_MODEL,
        "timeout": 900.0,
        "max_retries": 2,
        "default_headers": {"Modal-Key": "wk-x", "Modal-Secret": "ws-x"},
    }
    assert Endpoint("https://host").openai_kwargs()["api_key"] == "none"
    assert "default_headers" not in Endpoint("https://host").openai_kwargs()


def test_environment_is_read_and_explicit_arguments_win() -> None:
    env = {
        "LLAMA70B_BASE_URL": " https://host ",
        "LLAMA70B_API_KEY": "key\n",
        "LLAMA70B_MODEL": "m",
        "OPENAI_API_KEY": "other",
        "LLAMA8B_BASE_URL": "https://small",
    }
    endpoint = Endpoint.from_env(environ=env)
    assert (endpoint.base_url, endpoint.model) == ("https://host/v1", "m")
    assert endpoint.auth_headers() == {"Authorization": "Bearer key"}
    explicit = Endpoint.from_env(environ=env, model="n", api_key="mine", base_url=None, max_retries=5)
    assert (explicit.model, explicit.max_retries) == ("n", 5)
    assert explicit.auth_headers() == {"Authorization": "Bearer mine"}
    assert Endpoint.from_env(environ=env, prefix="LLAMA8B").base_url == "https://small/v1"
    assert Endpoint.from_env(environ={**env, "LLAMA70B_MODEL": " ", "LLAMA70B_API_KEY": " "}).auth_headers() == {}


@pytest.mark.parametrize("environ", [{}, {"LLAMA70B_BASE_URL": " "}, {"OPENAI_BASE_URL": "https://host"}])
def test_no_endpoint_anywhere(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"LLAMA70B_BASE_URL.*llama70b local"):
        Endpoint.from_env(environ=environ)


def test_a_key_of_the_environment_is_not_sent_to_another_origin() -> None:
    env = {"LLAMA70B_BASE_URL": "https://host", "LLAMA70B_API_KEY": "key"}
    assert Endpoint.from_env(environ=env, base_url="https://host/other").auth_headers() != {}
    for elsewhere in ("https://evil", "https://host:444", "http://localhost"):
        assert Endpoint.from_env(environ=env, base_url=elsewhere).auth_headers() == {}
    assert Endpoint.from_env(environ={"LLAMA70B_API_KEY": "key"}, base_url="https://host").auth_headers() != {}
    assert (
        Endpoint.from_env(environ={**env, "LLAMA70B_BASE_URL": "https://h:x"}, base_url="https://h").auth_headers()
        == {}
    )


MODAL: dict[str, Any] = {"modal_key": "wk-x", "modal_secret": "ws-x"}


def test_replace_keeps_credentials_at_their_origin() -> None:
    endpoint = Endpoint("https://host", api_key="key", **MODAL)
    assert endpoint.replace(base_url="https://host/other").auth_headers() == endpoint.auth_headers()
    assert endpoint.replace(model="m").model == "m"
    for kept in ({}, {"api_key": "new"}, {"modal_key": "wk-y", "modal_secret": "ws-y"}, {"api_key": None}):
        with pytest.raises(ConfigurationError, match="another origin"):
            endpoint.replace(base_url="https://evil", **kept)
    moved = endpoint.replace(base_url="https://new", api_key="new", modal_key=None, modal_secret=None)
    assert moved.auth_headers() == {"Authorization": "Bearer new"}
    assert Endpoint("https://host").replace(base_url="https://new").base_url == "https://new/v1"
    with pytest.raises(ConfigurationError):
        endpoint.replace(base_url=5)


@pytest.mark.parametrize(
    ("url", "ingress", "holds"),
    [
        ("https://x--y.modal.run", "auto", True),
        ("https://x--y.modal.direct", "auto", False),
        ("https://modal.run.evil.com", "auto", False),
        ("https://host", "function", True),
        ("https://x--y.modal.run", "server", False),
    ],
)
def test_how_a_sleeping_endpoint_answers(url: str, ingress: Any, holds: bool) -> None:
    assert Endpoint(url, ingress=ingress).holds_requests is holds


def test_what_a_server_echoes_is_redacted() -> None:
    endpoint = Endpoint("https://host", api_key="long-enough-key", **MODAL)
    assert endpoint.redacted(b"bad key long-enough-key, wk-x") == b"bad key **********, wk-x"
    assert Endpoint("https://host").redacted(b"x") == b"x"


def test_origin() -> None:
    assert origin_of("https://Host/x") == ("https", "host", 443)
    assert origin_of("http://host:81") == ("http", "host", 81)
    with pytest.raises(ValueError, match="ort"):
        origin_of("http://host:99999")


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), True, "5", None])
@pytest.mark.parametrize(
    "name", ["connect", "pool", "write", "first_byte", "stream_idle", "total", "cold_start", "poll"]
)
def test_impossible_time_limits(name: str, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Timeouts(**{name: bad})


def test_a_single_timeout() -> None:
    base = Timeouts(stream_idle=20, first_byte=30)
    assert Timeouts.of(None) == Timeouts()
    assert Timeouts.of(None, base) is base
    assert Timeouts.of(base) is base
    assert Timeouts.of(25, base) == Timeouts(stream_idle=20, first_byte=25, total=25)
    for bad in (0, -1, float("nan"), True, "5", float("inf")):
        with pytest.raises(ConfigurationError):
            Timeouts.of(bad)  # type: ignore[arg-type]  # what a user without a type checker may do


def test_secret_shows_nothing_and_compares() -> None:
    secret = Secret(" key ")
    assert repr(secret) == "Secret('**********')"
    assert f"{secret} {secret:>12} {secret!s}" == "**********   ********** **********"
    assert secret.get_secret_value() == "key"
    assert secret == Secret("key")
    assert secret != Secret("other")
    assert secret != "key"
    assert hash(secret) == hash(Secret("key"))
    assert copy.copy(secret) is copy.deepcopy(secret) is secret
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize(
    "bad", ["", " \t", "hunter2\nX: y", "hunter2\0", "hunter2\u00e9", "hunter\u20282", "hunter2\x7f"]
)
def test_secrets_that_no_header_can_carry(bad: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^MY_KEY ") as caught:
        Secret(bad, name="MY_KEY")
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    "show",
    [repr, str, ascii, pprint.pformat, "{}".format, "{!r}".format, lambda it: "%s %r" % (it, it)],  # noqa: UP031 - one of the ways
)
def test_no_way_of_showing_a_secret_shows_it(show: Callable[[object], str]) -> None:
    secret = Secret("hunter2")
    endpoint = Endpoint("https://host", api_key=secret, modal_key="hunter2", modal_secret="hunter2")
    for holder in (secret, [secret], {"key": secret}, endpoint, dataclasses.asdict(endpoint)):
        assert "hunter2" not in show(holder)
        assert "****" in show(holder) or holder is endpoint


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_endpoint_with_a_key_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="give the key again"):
        pickle.dumps(Endpoint("https://host", api_key="hunter2"), protocol)
    endpoint = Endpoint("https://host")
    if protocol >= 2:
        assert pickle.loads(pickle.dumps(endpoint, protocol)) == endpoint
