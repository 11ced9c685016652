"""Model runs as Prometheus metrics (extra `prometheus`); serve them with the library's own `start_http_server`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama70b._observe import Run, RunEnd
from llama70b.errors import MissingExtra

try:
    from prometheus_client import REGISTRY, Counter, Gauge, Histogram
except ImportError as error:  # pragma: no cover - tested in an environment without it
    raise MissingExtra("Exporting to Prometheus", "prometheus") from error

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

DURATION_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 120, 180, 240, 300, 450, 600)
"""Up to ten minutes: a cold start takes two or three."""


class PrometheusRecorder:
    """Counts runs.

    Labels are the model and how a run ended: few values each, so that no run makes a new series.

    Args:
        registry: Where the metrics are registered; one recorder a registry.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        by_model = ("model",)
        self._runs = Counter("llama70b_runs", "Model runs", ("model", "outcome", "error"), registry=registry)
        self._tokens = Counter("llama70b_tokens", "Tokens, as the server counted", ("model", "kind"), registry=registry)
        self._cost = Counter(
            "llama70b_cost_dollars", "Estimated cost of boots and work, without idle time", by_model, registry=registry
        )
        self._in_flight = Gauge(
            "llama70b_runs_in_flight", "Model runs that have not ended", by_model, registry=registry
        )
        self._duration = Histogram(
            "llama70b_run_seconds", "Whole runs", by_model, registry=registry, buckets=DURATION_BUCKETS_S
        )
        self._first = Histogram(
            "llama70b_first_token_seconds",
            "To the first piece of a stream",
            ("model", "cold"),
            registry=registry,
            buckets=DURATION_BUCKETS_S,
        )
        self._cold = Histogram(
            "llama70b_cold_start_seconds",
            "Waiting for the endpoint to wake",
            by_model,
            registry=registry,
            buckets=DURATION_BUCKETS_S,
        )

    def started(self, run: Run) -> None:
        """Count a run in flight."""
        self._in_flight.labels(run.model).inc()

    def finished(self, run: Run, end: RunEnd) -> None:
        """Count a run."""
        model, seconds = run.model, end.ended - run.started
        self._in_flight.labels(model).dec()
        self._runs.labels(model, end.outcome, end.error or "").inc()
        self._duration.labels(model).observe(seconds)
        if end.usage is not None:
            self._tokens.labels(model, "input").inc(end.usage.prompt_tokens)
            self._tokens.labels(model, "output").inc(end.usage.completion_tokens)
        if end.first_token is not None:
            self._first.labels(model, str(end.cold_start_s > 0).lower()).observe(end.first_token - run.started)
        if end.cold_start_s > 0:
            self._cold.labels(model).observe(end.cold_start_s)
        if run.price_per_hour is not None:
            self._cost.labels(model).inc(seconds * run.price_per_hour / 3600)
