"""What one answer cost, told with the answer: an estimate, because the idle time after it is not known yet."""

from __future__ import annotations

from typing import Any

from llama70b.types import Timing

_HOUR_S = 3600


def answer_cost(timing: Timing, price_per_hour: float) -> dict[str, Any]:
    """Return what an answer cost by the seconds the container worked for it, as plain JSON values.

    `usd` is the container's price times the seconds from the call to its end: the boot it waited for (`boot_usd`) and
    the work (`busy_usd`). It is an estimate in both directions: other requests in work at the same time bear a part
    of it, and the idle time until the container sleeps is not in it. `llama70b usage` shares out both exactly.

    Args:
        timing: Of the answer.
        price_per_hour: Dollars an hour while the container is up.
    """
    per_second = price_per_hour / _HOUR_S
    boot = min(timing.cold_start_s, timing.total_s) * per_second
    whole = timing.total_s * per_second
    return {
        "usd": round(whole, 9),
        "boot_usd": round(boot, 9),
        "busy_usd": round(whole - boot, 9),
        "price_per_hour": price_per_hour,
        "estimate": True,
    }
