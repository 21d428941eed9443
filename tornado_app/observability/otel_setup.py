"""Enables tracing by the environment variables of OpenTelemetry."""

from __future__ import annotations

import logging
import os

from tornado_app.core.errors import StartupError
from tornado_app.observability.tracing import NO_TRACING, Tracing

log = logging.getLogger("leaderboard.tracing")


def from_environment() -> Tracing:
    """The tracing that the environment asks for. Raises StartupError."""
    if not _enabled():
        return NO_TRACING
    try:
        from tornado_app.observability.spans import Spans

        return Spans()
    except ModuleNotFoundError as missing:
        raise StartupError(
            "OTEL_TRACES_EXPORTER is otlp, but OpenTelemetry is not installed: pip install 'leaderboard[tracing]'"
        ) from missing
    except ValueError as error:  # such as a negative OTEL_BSP_MAX_QUEUE_SIZE
        raise StartupError(f"a variable of OpenTelemetry (OTEL_...) has a wrong value: {error}") from error


def _enabled() -> bool:
    """Whether tracing is enabled. Unsupported values are logged and ignored, as OpenTelemetry specifies."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if disabled or exporter in ("", "none"):
        return False
    if exporter != "otlp":
        log.warning("tracing is disabled: OTEL_TRACES_EXPORTER must be otlp or none", extra={"exporter": exporter})
        return False
    names = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((value for name in names if (value := os.environ.get(name))), "http/protobuf")
    if protocol != "http/protobuf":
        log.warning("OTLP protocol is not supported, sending http/protobuf", extra={"protocol": protocol})
    return True
