"""What a caller says of its runs beyond `observing`: for whom, in which session, and why this model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Attribution:
    """Columns of the runs that begin here.

    Attributes:
        session: Whatever the caller groups by, such as a conversation.
        user: Whoever the runs are for.
        routing: A router's record, as JSON text.
    """

    session: str | None = None
    user: str | None = None
    routing: str | None = None


_NOBODY = Attribution()
_attribution: ContextVar[Attribution] = ContextVar("llama70b_attribution", default=_NOBODY)


def attribution() -> Attribution:
    """Return what is said of runs that begin here and now."""
    return _attribution.get()


@contextmanager
def attributed(
    *, session: str | None = None, user: str | None = None, routing: Mapping[str, Any] | None = None
) -> Iterator[Attribution]:
    """Say whose all runs are that begin inside the block; what is not given is inherited.

        with attributed(session="chat-12", user="ada"):
            llm.invoke("...")

    Args:
        session: Whatever you group by.
        user: Whoever the runs are for.
        routing: A router's record; plain JSON values.
    """
    given: dict[str, Any] = {"session": session, "user": user}
    if routing is not None:
        given["routing"] = json.dumps(routing, default=str)
    inner = replace(_attribution.get(), **{name: value for name, value in given.items() if value is not None})
    token = _attribution.set(inner)
    try:
        yield inner
    finally:
        _attribution.reset(token)
