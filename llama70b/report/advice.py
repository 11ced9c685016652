"""Advice for the endpoints of a ledger, put together from its rows."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from llama70b.cost.closed_form import Container as Box
from llama70b.cost.cycles import Cycle, cycles
from llama70b.cost.prices import Deployment, PriceTable, Size, price_table
from llama70b.cost.recommend import (
    ProfileAdvice,
    SiblingAdvice,
    Terms,
    WarmHour,
    WindowAdvice,
    advise_sibling,
    advise_window,
    compare_profiles,
    warm_hours,
)
from llama70b.errors import MissingExtra
from llama70b.ledger._rows import NS, Row
from llama70b.report.figures import DeploymentOf, gaps, known_deployment, quantile

DEFAULT_VALUE_PER_HOUR = 10.0
"""Dollars that an hour of waiting is worth unless you say: an assumption, shown with every advice."""

_DAY_S, _HOUR_S = 86_400.0, 3600.0


@dataclass(frozen=True, slots=True)
class EndpointAdvice:
    """Advice for one endpoint.

    Attributes:
        endpoint: Its URL.
        model: The name it serves.
        price_per_hour: Dollars while it is up.
        boot_s: Cold start reckoned with.
        boots_seen: How many cold starts that is the median of; 0: a planning figure.
        waiting: Requests that wait for one boot, on average.
        window: About the scaledown window.
        warm: Hours of the week in which it should never sleep.
    """

    endpoint: str
    model: str
    price_per_hour: float
    boot_s: float
    boots_seen: int
    waiting: float
    window: WindowAdvice
    warm: tuple[WarmHour, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """All advice.

    Attributes:
        value_per_hour: Dollars that an hour of waiting is worth: assumed, or given.
        days: Over how many days the rows came.
        endpoints: By URL; only those whose price is known.
        unpriced: URLs of the others, of which nothing can be said.
        profiles: The 70B's profiles at its rate, best first; empty with too little evidence.
        sibling: About the 8B that is there; None if there is none, or one of the two has too few runs.
        sibling_if: What an 8B would do that took half of the 70B's requests; None if there is one already.
    """

    value_per_hour: float
    days: float
    endpoints: tuple[EndpointAdvice, ...]
    unpriced: tuple[str, ...]
    profiles: tuple[ProfileAdvice, ...]
    sibling: SiblingAdvice | None
    sibling_if: SiblingAdvice | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        values = asdict(self)
        for name in ("sibling", "sibling_if"):
            one: SiblingAdvice | None = getattr(self, name)
            if one is not None:
                values[name]["keep"] = one.keep
        return values

    def windows(self) -> dict[str, tuple[float, float | None, float]]:
        """Return by endpoint: the window now, the one recommended, the break-even one."""
        return {
            one.endpoint: (one.window.current_s, one.window.recommended_s, one.window.break_even_s)
            for one in self.endpoints
        }


_LEAST_RUNS = 30


def advise(
    rows: Sequence[Row],
    *,
    deployment_of: DeploymentOf,
    value_per_hour: float = DEFAULT_VALUE_PER_HOUR,
    table: PriceTable | None = None,
) -> Advice:
    """Return all advice that the rows carry.

    Args:
        rows: From `Ledger.runs`, oldest first.
        deployment_of: What is known of the container that serves a model.
        value_per_hour: Dollars that an hour of somebody's waiting is worth.
        table: Prices; None takes the package's.
    """
    table = price_table() if table is None else table
    by_endpoint: dict[str, list[Row]] = {}
    for row in rows:
        by_endpoint.setdefault(row.endpoint, []).append(row)
    days = max((rows[-1].ended_ns - rows[0].started_ns) / NS / _DAY_S, 1e-9) if rows else 0.0
    advised, unpriced, sized = [], [], {}
    for endpoint, own in sorted(by_endpoint.items()):
        known = known_deployment(own, deployment_of)
        if known.price is None:
            unpriced.append(endpoint)
            continue
        found = cycles(own, known.window_s)
        advised.append(_endpoint(endpoint, own, found, known, value_per_hour, days))
        sized[known.size] = (own, _box(own, found, known))
    return Advice(
        value_per_hour,
        days,
        tuple(advised),
        tuple(unpriced),
        *_of_models(sized, table, value_per_hour, days),
    )


def _endpoint(  # noqa: PLR0917 - one line of a table
    endpoint: str, rows: Sequence[Row], found: Sequence[Cycle], known: Deployment, value: float, days: float
) -> EndpointAdvice:
    assert known.price is not None
    boots = [cycle for cycle in found if cycle.boot_ns]
    waited = sum(row.cold for row in rows)
    terms = Terms(
        known.price.dollars_per_hour,
        _boot_s(boots, known),
        value,
        max(1.0, waited / len(boots)) if boots else 1.0,
    )
    return EndpointAdvice(
        endpoint,
        rows[-1].served_model or rows[-1].requested_model,
        terms.dollars_per_hour,
        terms.boot_s,
        len(boots),
        terms.waiting,
        advise_window(gaps(rows), terms, current_s=known.window_s, days=days),
        tuple(warm_hours(found, terms, weeks=days / 7)),
    )


def _boot_s(boots: Sequence[Cycle], known: Deployment) -> float:
    return quantile(sorted(cycle.boot_ns / NS for cycle in boots), 0.5) if boots else known.boot_s


def _box(rows: Sequence[Row], found: Sequence[Cycle], known: Deployment) -> Box:
    assert known.price is not None
    served = [(row.total_ns - row.cold_ns) / NS for row in rows if row.outcome == "answered"]
    boot = _boot_s([cycle for cycle in found if cycle.boot_ns], known)
    return Box(known.price.dollars_per_hour, boot, known.window_s, sum(served) / len(served) if served else 1.0)


def _of_models(
    sized: Mapping[Size, tuple[list[Row], Box]], table: PriceTable, value: float, days: float
) -> tuple[tuple[ProfileAdvice, ...], SiblingAdvice | None, SiblingAdvice | None]:
    if "70b" not in sized or len(sized["70b"][0]) < _LEAST_RUNS:
        return (), None, None
    rows, large = sized["70b"]
    per_second = 1 / (days * _DAY_S)
    written = [row.completion_tokens for row in rows if row.completion_tokens]
    profiles = compare_profiles(
        table,
        rate=len(rows) * per_second,
        answer_tokens=sum(written) / len(written) if written else 200.0,
        window_s=large.window_s,
        value_per_hour=value,
    )
    if "8b" in sized:
        own, small = sized["8b"]
        if len(own) < _LEAST_RUNS:
            return tuple(profiles), None, None
        both = len(rows) + len(own)
        return tuple(profiles), advise_sibling(large, small, rate=both * per_second, share=len(own) / both), None
    price = table.profile("8b")
    small = Box(price.price.dollars_per_hour, price.boot_s, price.window_s, large.service_s / 4)
    return tuple(profiles), None, advise_sibling(large, small, rate=len(rows) * per_second, share=0.5)


class Autoscaler(Protocol):
    """Whoever can change how long a deployed container stays up."""

    def set_window(self, seconds: int) -> None:
        """Set the scaledown window."""
        ...


class ModalAutoscaler:
    """Modal's, of one deployed function or server class (SDK 1.6: `Function.autoscaler.update`).

    It was written from the SDK's source and tested with a fake: it has never run against a live account. A redeploy
    resets what it sets.

    Args:
        app: Name of the deployed application.
        function: Name of the function in it.
        modal: The SDK; None imports it.
    """

    def __init__(self, app: str, function: str, modal: Any = None) -> None:
        self._app, self._function, self._modal = app, function, modal

    def set_window(self, seconds: int) -> None:
        """Set the scaledown window.

        Raises:
            MissingExtra: Modal's SDK is not installed.
        """
        modal = self._modal
        if modal is None:
            try:
                modal = importlib.import_module("modal")
            except ImportError as error:
                raise MissingExtra("Changing Modal's autoscaler", "server") from error
        modal.Function.from_name(self._app, self._function).autoscaler.update(scaledown_window=seconds)
