"""A read timeout that ends at one moment. No I/O.

HTTP libraries begin their read timeout anew with every byte, so a server that drips its headers or a chunk's header is
never too slow for them. httpcore hands the value it was given on to the network stream's `read` as it is; wrapped by
`bind`, that `read` waits only for what is left. The streams are those httpcore's `trace` extension shows as they open
(https://www.encode.io/httpcore/extensions/#trace). Costs one function call a read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self

_AT_LEAST_S = 0.001  # a socket takes 0 for "do not block", which is not an answer "too late"
_OPENED = ("connect_tcp.complete", "start_tls.complete")


class ReadLimit(float):
    """Seconds that end at one moment; as a plain float, what they were at first."""

    __slots__ = ("_ends", "_now")
    _ends: float
    _now: Callable[[], float]

    def __new__(cls, seconds: float, now: Callable[[], float]) -> Self:
        """Begin a limit.

        Args:
            seconds: From now.
            now: The monotonic clock.
        """
        limit = super().__new__(cls, seconds)
        limit._now = now
        limit.restart(seconds)
        return limit

    def ends_at(self, moment: float) -> None:
        """Move the end to a moment of the clock."""
        self._ends = moment

    def restart(self, seconds: float) -> None:
        """Move the end to `seconds` from now."""
        self._ends = self._now() + seconds

    @property
    def over(self) -> bool:
        """Whether the moment has passed."""
        return self._now() > self._ends

    def left(self) -> float:
        """Return the seconds left, never 0."""
        return max(_AT_LEAST_S, self._ends - self._now())


def bind_opened(name: str, info: dict[str, Any]) -> Any:
    """Bind the network stream that a trace event shows as opened; return it, None for other events."""
    if not name.endswith(_OPENED):
        return None
    stream = info["return_value"]
    read = stream.read

    def bounded(max_bytes: int, timeout: float | None = None) -> bytes | Awaitable[bytes]:
        return read(max_bytes, timeout.left() if isinstance(timeout, ReadLimit) else timeout)  # type: ignore[no-any-return]

    stream.read = bounded
    return stream


def is_bound(stream: Any) -> bool:
    """Return whether reads from a network stream keep to a `ReadLimit`."""
    return "read" in getattr(stream, "__dict__", {})
