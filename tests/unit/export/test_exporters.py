"""What the exporters say of a run, read back from the libraries themselves."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry, generate_latest

from llama70b import ChatRequest, Client, Endpoint, Message, RunEnd, observing
from llama70b._observe import Run, RunContext
from llama70b.errors import Llama70BError
from llama70b.export.otel import OpenTelemetryRecorder
from llama70b.export.prometheus import PrometheusRecorder
from llama70b.ledger import Recorders
from llama70b.types import Usage
from tests.unit.scripted_server import KEY, MODEL, Answer, Raw, ScriptedServer

HELLO = ChatRequest((Message("user", "the secret plan"),), max_tokens=9)
COLD = RunEnd(
    "answered",
    ended=256.0,
    ended_at=0.0,
    first_token=251.0,
    usage=Usage(10, 5),
    cold_start_s=250.0,
    attempts=2,
    pieces=5,
)


class Telemetry:
    """An SDK that keeps everything in memory."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.recorder = OpenTelemetryRecorder(self.tracers, self.meters)

    def metrics(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        assert data is not None
        (scope,) = data.resource_metrics[0].scope_metrics
        return {metric.name: list(metric.data.data_points) for metric in scope.metrics}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def begun() -> Run:
    return Run("r1", "https://host:8443", MODEL, True, 1, 0, 4, None, 0.0, 1.8e9, RunContext(), 3.6, HELLO)


def test_a_span_and_the_metrics_of_a_stream(scripted: ScriptedServer, telemetry: Telemetry) -> None:
    scripted.answer(Answer(pieces=["a ", "b ", "c"], usage=(11, 7)))
    client = Client(Endpoint(scripted.url, api_key=KEY, price_per_hour=3.6), recorder=telemetry.recorder)
    with (
        client,
        telemetry.tracers.get_tracer("app").start_as_current_span("outer") as outer,
        observing(tags=("nightly",), parent_run_id="agent-7"),
        client.stream(HELLO) as stream,
    ):
        list(stream)
    span, outside = telemetry.spans.get_finished_spans()
    assert (span.name, span.kind, outside.name) == (f"chat {MODEL}", SpanKind.CLIENT, "outer")
    assert span.parent is not None
    assert span.parent.span_id == outer.get_span_context().span_id
    got = dict(span.attributes or {})
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "llama70b",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "server.address": "127.0.0.1",
        "llama70b.request_id": stream.request_id,
        "llama70b.outcome": "answered",
        "llama70b.tags": ("nightly",),
        "llama70b.parent_run_id": "agent-7",
    }
    assert {name: got.get(name) for name in expected} == expected
    assert got["gen_ai.usage.cost"] > 0
    assert "secret" not in repr(got)
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time > span.start_time
    metrics = telemetry.metrics()
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in metrics["gen_ai.client.token.usage"]}
    assert tokens == {"input": 11, "output": 7}
    for name in ("duration", "time_to_first_chunk", "time_per_output_chunk"):
        (point,) = metrics[f"gen_ai.client.operation.{name}"]
        assert point.count == 1
    assert "llama70b.client.cold_start.duration" not in metrics


def test_a_failure_is_an_error_span(scripted: ScriptedServer, telemetry: Telemetry) -> None:
    scripted.answer(Raw(status=401, body=b'{"error": {"message": "no"}}'))
    with (
        Client(Endpoint(scripted.url, api_key=KEY), recorder=telemetry.recorder) as client,
        pytest.raises(Llama70BError),
    ):
        client.chat(HELLO)
    (span,) = telemetry.spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "AuthenticationError"
    assert (span.attributes or {})["http.response.status_code"] == 401


def test_a_cold_start_falls_into_a_bucket(telemetry: Telemetry) -> None:
    telemetry.recorder.started(begun())
    telemetry.recorder.finished(begun(), COLD)
    metrics = telemetry.metrics()
    for name in ("gen_ai.client.operation.duration", "llama70b.client.cold_start.duration"):
        (point,) = metrics[name]
        assert max(point.explicit_bounds) == 600
        assert point.bucket_counts[-1] == 0, "in no bucket but +Inf"
        assert sum(point.bucket_counts) == 1
    (span,) = telemetry.spans.get_finished_spans()
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time - span.start_time == 256_000_000_000
    assert (span.attributes or {})["gen_ai.usage.cost"] == pytest.approx(0.256)


def test_prometheus(scripted: ScriptedServer) -> None:
    registry = CollectorRegistry()
    recorder = PrometheusRecorder(registry)
    scripted.answer(Answer(content="a", usage=(11, 7)), Raw(status=400, body=b'{"error": {"message": "no"}}'))
    with Client(Endpoint(scripted.url, api_key=KEY, price_per_hour=3.6), recorder=recorder) as client:
        client.chat(HELLO)
        with pytest.raises(Llama70BError):
            client.chat(HELLO)
    recorder.started(begun())
    recorder.finished(begun(), COLD)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"model": MODEL, **labels})

    assert value("llama70b_runs_total", outcome="answered", error="") == 2
    assert value("llama70b_runs_total", outcome="failed", error="BadRequest") == 1
    assert value("llama70b_tokens_total", kind="input") == 21
    assert value("llama70b_tokens_total", kind="output") == 12
    assert value("llama70b_runs_in_flight") == 0
    assert value("llama70b_cold_start_seconds_bucket", le="240.0") == 0
    assert value("llama70b_cold_start_seconds_bucket", le="300.0") == 1
    assert value("llama70b_first_token_seconds_count", cold="true") == 1
    cost = value("llama70b_cost_dollars_total")
    assert cost is not None
    assert cost >= 0.256
    assert b"secret" not in generate_latest(registry)


def test_several_at_once(scripted: ScriptedServer, telemetry: Telemetry) -> None:
    class Broken:
        def started(self, run: Run) -> None: ...

        def finished(self, run: Run, end: RunEnd) -> None:
            raise RuntimeError("broken")

    scripted.say("x")
    both = Recorders(Broken(), telemetry.recorder)
    with Client(Endpoint(scripted.url, api_key=KEY), recorder=both) as client:
        client.chat(HELLO)
    assert len(telemetry.spans.get_finished_spans()) == 1
