"""Headers of one call, and what is struck out of what a server sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b.endpoint import Endpoint, checked_headers
from llama70b.errors import ConfigurationError
from tests.unit.core.world import few

KEY = 'sk-"quoted\\key'


def test_none_and_some() -> None:
    assert checked_headers(None) == {}
    assert checked_headers({"Modal-Session-ID": " a "}) == {"Modal-Session-ID": "a"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("authorization", "may not carry"),
        ("Modal-Key", "may not carry"),
        ("COOKIE", "may not carry"),
        ("content-length", "may not set"),
        ("X-Request-Id", "may not set"),
        ("a b", "no header can have"),
        ("", "no header can have"),
        ("a\n", "no header can have"),
    ],
)
def test_names_that_are_refused(name: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        checked_headers({name: "s3cret"})
    assert "s3cret" not in str(caught.value)


@few
@given(st.text(max_size=10), st.text(max_size=10))
def test_nothing_but_one_line_of_ascii_gets_through(name: str, value: str) -> None:
    try:
        checked = checked_headers({name: value})
    except ConfigurationError:
        return
    for text in (*checked, *checked.values()):
        assert text.isascii()
        assert text.isprintable()
    assert all(name and ":" not in name and " " not in name for name in checked)


def test_keys_are_struck_out_as_they_are_and_as_json_writes_them() -> None:
    where = Endpoint("https://host", api_key=KEY, modal_key="wk-12345678", modal_secret="short")
    assert where.striker()(f"a {KEY} b") == "a ********** b"
    assert where.striker()(r"a sk-\"quoted\\key b") == "a ********** b"
    assert where.redacted(b"wk-12345678") == b"**********"
    assert where.striker()("nothing to see, short as it is") == "nothing to see, short as it is"
