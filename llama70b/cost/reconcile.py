"""What the platform charged beside what the ledger says: the factor kappa, and where the charges come from."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Protocol

from llama70b.errors import MissingExtra, ProtocolError
from llama70b.ledger._rows import NS, Bill


class Billing(Protocol):
    """Whoever knows what was charged."""

    def bills(self, from_ns: int, to_ns: int) -> Sequence[Bill]:
        """Return the charges for whole hours inside [from, to), UTC nanoseconds."""
        ...


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Estimate and bill of the same hours.

    Attributes:
        from_ns: From when, UTC.
        to_ns: Until when.
        estimated: Nanodollars by the ledger.
        billed: Nanodollars by the platform.
    """

    from_ns: int
    to_ns: int
    estimated: int
    billed: int

    @property
    def kappa(self) -> float | None:
        """Billed over estimated. Above 1: other clients, crashes, or boots we do not see; None without an estimate."""
        return self.billed / self.estimated if self.estimated else None


def reconcile(spans: Iterable[tuple[int, int]], nano_per_s: int, bills: Sequence[Bill]) -> Reconciliation | None:
    """Compare up-times with charges, over the hours that were billed.

    Args:
        spans: Up-times, disjoint, UTC nanoseconds.
        nano_per_s: Nanodollars a second.
        bills: Charges; their hours decide what is compared.

    Returns:
        None if nothing was billed.
    """
    if not bills:
        return None
    hours = sorted({(bill.from_ns, bill.to_ns) for bill in bills})
    covered = 0
    for begin, end in spans:
        covered += sum(max(0, min(end, until) - max(begin, since)) for since, until in hours)
    return Reconciliation(
        hours[0][0],
        max(until for _, until in hours),
        covered * nano_per_s // NS,
        sum(bill.nanodollars for bill in bills),
    )


class ModalBilling:
    """Modal's own bill, by its SDK (1.6: `Workspace.billing.report`).

    It was written from the SDK's source and tested with a fake: it has never run against a live account.

    Args:
        app: Name of the deployed application; None takes all of the workspace.
        workspace: `modal.Workspace`; None asks the SDK for the one of the current token.
    """

    def __init__(self, app: str | None = None, workspace: Any = None) -> None:
        self._app = app
        self._workspace = workspace

    def bills(self, from_ns: int, to_ns: int) -> Sequence[Bill]:
        """Return the charges for whole hours inside [from, to), UTC nanoseconds.

        Raises:
            MissingExtra: Modal's SDK is not installed.
            ProtocolError: It answers in a form that is not known here.
        """
        workspace = self._workspace if self._workspace is not None else _workspace()
        start, end = _hour(from_ns, up=True), _hour(to_ns, up=False)
        if end <= start:
            return []
        items = workspace.billing.report(start=start, end=end, resolution="h")
        return [bill for item in items for bill in self._read(item)]

    def _read(self, item: Any) -> list[Bill]:
        get = item.get if isinstance(item, Mapping) else lambda name, default=None: getattr(item, name, default)
        name, start, cost = get("description") or get("app_name"), get("interval_start"), get("cost")
        if not isinstance(start, datetime) or cost is None:
            raise ProtocolError("Modal's billing report has a form that this version does not know")
        if self._app is not None and name != self._app:
            return []
        from_ns = _ns(start)
        by_resource = get("cost_by_resource") or {"all": cost}
        return [
            Bill(from_ns, from_ns + 3600 * NS, str(name), str(resource), _nano(dollars))
            for resource, dollars in by_resource.items()
        ]


def _workspace() -> Any:
    try:
        modal = importlib.import_module("modal")
    except ImportError as error:
        raise MissingExtra("Modal's billing", "server") from error
    return modal.Workspace.from_context()


def _nano(dollars: Any) -> int:
    return int((Decimal(str(dollars)) * NS).to_integral_value(ROUND_HALF_EVEN))


def _ns(at: datetime) -> int:
    delta = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * NS + delta.microseconds * 1000


def _hour(at_ns: int, *, up: bool) -> datetime:
    hours = -(-at_ns // (3600 * NS)) if up else at_ns // (3600 * NS)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
