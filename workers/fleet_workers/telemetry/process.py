"""Sets up what a process tells of itself: logs, traces and error reports."""

import atexit
from importlib.metadata import version

from fleet_workers.settings import Settings
from fleet_workers.telemetry.logs import configure_logs
from fleet_workers.telemetry.redaction import Mask
from fleet_workers.telemetry.sentry import configure_sentry
from fleet_workers.telemetry.traces import start_traces, stop_traces


def start_telemetry(settings: Settings, process: str, *, mask: Mask) -> None:
    """Begin to log, and where it is asked for to trace and to report errors.

    `process` is what this one is: `worker`, `web` or `janitor`. `mask` hides personal data. Spans
    that are not sent yet are sent when the process ends by itself.

    Raises:
        ConfigurationError: A setting of traces or of Sentry cannot be used.
    """
    release = settings.release or f"agent-fleet@{version('agent-fleet-workers')}"
    configure_logs(settings.log_level, settings.log_format, mask=mask)
    configure_sentry(
        settings.sentry_dsn, process=process, environment=settings.environment, release=release
    )
    if start_traces(
        process,
        broker_url=settings.broker_url,
        environment=settings.environment,
        release=release,
    ):
        atexit.register(stop_traces)
