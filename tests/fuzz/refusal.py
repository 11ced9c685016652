"""Fuzz what reads error bodies, `Retry-After` and whole answers: `python -m tests.fuzz.refusal [libFuzzer options]`.

The first two bytes give the HTTP status, the next says how much of the rest is the header; what remains is the body.
"""

from __future__ import annotations

import math
import pickle
import sys

import atheris

with atheris.instrument_imports(include=["llama70b"]):
    from llama70b import _wire
    from llama70b._retry import parse_retry_after
    from llama70b._status import error_for, error_in_answer, read_refusal, refusal_in
    from llama70b.errors import Llama70BError, ProtocolError

NOW = 1_800_000_000.0
LONGEST = 1200
"""Characters of an error's text: the server's own words are quoted up to 500, escapes may double them."""


def check_header(value: str) -> None:
    """A wait is a finite number of seconds, or none."""
    wait = parse_retry_after(value, now=NOW)
    assert wait is None or (wait >= 0 and math.isfinite(wait))


def check_refusal(status: int, header: str, body: bytes) -> None:
    """An error body becomes a typed error, with a text of some lines at most, that survives pickling."""
    refusal = read_refusal(body)
    for error in (
        error_for(status, refusal, request_id="r", retry_after=header, now=NOW),
        error_in_answer(refusal, request_id="r"),
    ):
        assert isinstance(error, Llama70BError)
        assert len(str(error)) < LONGEST
        if refusal.body is not None:
            assert str(pickle.loads(pickle.dumps(error))) == str(error)


def check_answer(body: bytes) -> None:
    """A body becomes an answer, or is a protocol error."""
    for reading in (_wire.completion, _wire.models, _wire.token_count, _wire.token_ids):
        error: ProtocolError | None = None
        try:
            raw = _wire.body_object(body, what="the answer")
            refusal_in(raw)
            reading(raw)
        except ProtocolError as caught:
            error = caught
        assert len(str(error)) < LONGEST


def one(given: bytes) -> None:
    """Run one input."""
    status = int.from_bytes(given[:2], "big") % 1000
    size = given[2] % 64 if len(given) > 2 else 0
    header, body = given[3 : 3 + size].decode("latin-1"), given[3 + size :]
    check_header(header)
    check_refusal(status, header, body)
    check_answer(body)


def main() -> None:
    """Hand over to libFuzzer."""
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
