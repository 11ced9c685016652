"""Model runs as OpenTelemetry spans and metrics, by the GenAI conventions (extra `otel`: the API alone).

Names are those of the conventions' own repository, v0.1.0 (2026-06), all still "Development" there. No attribute is
standard for cost; `gen_ai.usage.cost` is what Langfuse and others read. No text of prompt or answer is exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llama70b._observe import Run, RunEnd
from llama70b.errors import MissingExtra

try:
    from opentelemetry import context as otel_context
    from opentelemetry import metrics, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError as error:  # pragma: no cover - tested in an environment without it
    raise MissingExtra("Exporting to OpenTelemetry", "otel") from error

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

from llama70b._version import __version__

PROVIDER = "llama70b"
DURATION_BUCKETS_S: Sequence[float] = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 120, 180, 240, 300, 450, 600
)  # fmt: skip
"""The conventions' buckets end at 81.92 s, so every cold start would fall beyond the last."""
TOKEN_BUCKETS: Sequence[int] = (
    1,
    4,
    16,
    64,
    256,
    1024,
    4096,
    16384,
    65536,
    262144,
    1048576,
    4194304,
    16777216,
    67108864,
)
_NS = 1_000_000_000
_ENDED_WELL = frozenset({"answered", "closed"})


class OpenTelemetryRecorder:
    """Makes one client span and the GenAI metrics of every run.

    Spans belong to the span that is current where the call is made, so agents' traces hold them.

    Args:
        tracer_provider: None takes the global one.
        meter_provider: None takes the global one.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer("llama70b", __version__, tracer_provider)
        meter = metrics.get_meter("llama70b", __version__, meter_provider)
        seconds: dict[str, Any] = {"unit": "s", "explicit_bucket_boundaries_advisory": DURATION_BUCKETS_S}
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration", description="GenAI operation duration.", **seconds
        )
        self._first = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk", description="Time to receive the first chunk.", **seconds
        )
        self._each = meter.create_histogram(
            "gen_ai.client.operation.time_per_output_chunk",
            description="Time between chunks after the first.",
            **seconds,
        )
        self._cold = meter.create_histogram(
            "llama70b.client.cold_start.duration", description="Time spent waiting for the endpoint to wake.", **seconds
        )
        self._parents: dict[str, otel_context.Context] = {}

    def started(self, run: Run) -> None:
        """Remember the span that the run belongs to."""
        self._parents[run.request_id] = otel_context.get_current()

    def finished(self, run: Run, end: RunEnd) -> None:
        """Export the run."""
        common = _common(run, end)
        context = self._parents.pop(run.request_id, None)
        begun = round(run.started_at * _NS)
        span = self._tracer.start_span(
            f"chat {run.model}",
            context=context,
            kind=SpanKind.CLIENT,
            attributes=common | _details(run, end),
            start_time=begun,
        )
        if end.error is not None and end.outcome not in _ENDED_WELL:
            span.set_status(Status(StatusCode.ERROR, end.error))
        # Durations are of the monotonic clock: a wall clock that was set meanwhile does not bend them.
        span.end(begun + round((end.ended - run.started) * _NS))
        self._measure(run, end, common, trace.set_span_in_context(span, context))

    def _measure(self, run: Run, end: RunEnd, common: dict[str, Any], context: otel_context.Context) -> None:
        self._duration.record(end.ended - run.started, common, context)
        if end.usage is not None:
            self._tokens.record(end.usage.prompt_tokens, common | {"gen_ai.token.type": "input"}, context)
            self._tokens.record(end.usage.completion_tokens, common | {"gen_ai.token.type": "output"}, context)
        if end.first_token is not None:
            self._first.record(end.first_token - run.started, common, context)
            if end.pieces > 1:
                self._each.record((end.ended - end.first_token) / (end.pieces - 1), common, context)
        if end.cold_start_s > 0:
            self._cold.record(end.cold_start_s, common, context)


def _common(run: Run, end: RunEnd) -> dict[str, Any]:
    """Return what metrics may be divided by: few values each."""
    at = urlsplit(run.endpoint)
    values: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": run.model,
        "server.address": at.hostname or "",
        "server.port": at.port or (443 if at.scheme == "https" else 80),
    }
    if end.model is not None:
        values["gen_ai.response.model"] = end.model
    if end.error is not None:
        values["error.type"] = end.error
    return values


def _details(run: Run, end: RunEnd) -> dict[str, Any]:
    """Return what only the span says."""
    usage, price = end.usage, run.price_per_hour
    optional: dict[str, Any] = {
        "gen_ai.request.max_tokens": run.max_tokens,
        "gen_ai.response.finish_reasons": None if end.finish_reason is None else [end.finish_reason],
        "gen_ai.response.time_to_first_chunk": None if end.first_token is None else end.first_token - run.started,
        "gen_ai.usage.input_tokens": usage and usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage and usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage and usage.cached_tokens,
        "gen_ai.usage.cost": None if price is None else (end.ended - run.started) * price / 3600,
        "http.response.status_code": end.status,
        "llama70b.parent_run_id": run.context.parent_run_id,
        "llama70b.framework": run.context.framework or None,
        "llama70b.tags": list(run.context.tags) or None,
    }
    always = {
        "gen_ai.request.stream": run.stream,
        "llama70b.request_id": run.request_id,
        "llama70b.outcome": end.outcome,
        "llama70b.attempts": end.attempts,
        "llama70b.cold_start_s": end.cold_start_s,
    }
    return always | {name: value for name, value in optional.items() if value is not None}
