"""Model runs to other systems' eyes: OpenTelemetry and Prometheus, as recorders.

from llama70b import set_default_recorder
from llama70b.export.otel import OpenTelemetryRecorder
set_default_recorder(OpenTelemetryRecorder())
"""
