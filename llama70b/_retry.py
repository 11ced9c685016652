"""When to try again, how long to wait, and when to stop trying for everybody. Pure: clock and dice are given.

Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/. Budget: a token bucket as in
botocore's standard mode [notes: reliability 2], so that a failing endpoint is not hammered by many callers at once.
"""

from __future__ import annotations

import email.utils
import math
import threading
from datetime import UTC

BASE_S = 0.5
CAP_S = 8.0
MAX_RETRY_AFTER_S = 60.0
"""A server that wants a longer pause gets no retry: the caller decides, with `retry_after` on the error."""

RETRYABLE_STATUS = frozenset({408, 429, 500, 502, 504})
"""503 is not here: it means cold, or overloaded, and is decided by looking (see `_flow`)."""


def backoff(attempt: int, dice: float) -> float:
    """Return seconds to wait after failed attempt number `attempt` (from 1); `dice` is uniform in [0, 1)."""
    return float(dice * min(CAP_S, BASE_S * 2 ** min(attempt - 1, 30)))


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Return the seconds a `Retry-After` header asks for, None if it is absent, negative or nonsense.

    Args:
        value: Seconds or an HTTP date (RFC 9110 10.2.3).
        now: Unix seconds.
    """
    if value is None:
        return None
    try:
        seconds = float(value.replace("_", "?"))  # Python's own 1_000 is no number on the wire
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(value)
            # The obsolete forms of a date name no zone: they are UTC (RFC 9110 5.6.7).
            seconds = max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


class RetryBudget:
    """Retries all calls of one client may spend: a retry takes one, a success gives back a tenth."""

    def __init__(self, capacity: float = 10.0, refund: float = 0.1) -> None:
        self._capacity = self._tokens = capacity
        self._refund = refund
        self._lock = threading.Lock()

    def spend(self) -> bool:
        """Take one retry; False when none is left, and then the call fails with its last error."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def success(self) -> None:
        """Note a call that needed no retry."""
        with self._lock:
            self._tokens = min(self._capacity, self._tokens + self._refund)
