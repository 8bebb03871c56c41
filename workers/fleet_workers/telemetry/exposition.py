"""Serves a process's meters to Prometheus, and tells where: over HTTP, in a file for discovery."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from fleet_contracts.errors import ConfigurationError
from fleet_workers.settings import Settings
from fleet_workers.telemetry import meters

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS: Final = 10.0  # of a connection that says nothing
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 it is compared, not bound


class _Handler(WSGIRequestHandler):
    """Logs nothing, and leaves a client that does not go on."""

    timeout = _PATIENCE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 its parent's name
        """Log nothing."""


class _Server(ThreadingWSGIServer):
    daemon_threads = True
    request_queue_size = 32

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


@contextmanager
def served_meters(settings: Settings, role: str) -> Iterator[None]:
    """Serve this process's meters while this is open, where the settings ask for it.

    `role` is `worker` or `janitor`. Without FLEET_METRICS_PORT the system chooses a port if a
    folder for Prometheus' discovery is set, and nothing is served if not.

    Raises:
        ConfigurationError: The port cannot be had, or the folder not written to.
    """
    note_build(role)
    if not settings.metrics_port and settings.metrics_targets is None:
        yield
        return
    host, port = settings.metrics_host, settings.metrics_port
    try:
        server = make_server(
            host, port, make_wsgi_app(meters.REGISTRY), _Server, handler_class=_Handler
        )
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"Metrics cannot be served at {host}:{port}: {error}. Give each process on this "
            "machine a FLEET_METRICS_PORT of its own, or set FLEET_METRICS_TARGETS alone."
        ) from error
    thread = _serve(server)
    try:
        log.info("metrics.served", host=host, port=server.server_port)
        with noted_target(settings, role, host, server.server_port):
            yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=1)


@contextmanager
def noted_target(settings: Settings, role: str, host: str, port: int) -> Iterator[None]:
    """Keep a file for Prometheus' `file_sd_configs` while this process serves its metrics.

    Its name is that of the process's readiness file, so that a process that is started again after
    a crash takes the place of the one before.

    Raises:
        ConfigurationError: The folder cannot be written to.
    """
    folder = settings.metrics_targets
    if folder is None:
        yield
        return
    ready = settings.ready_file
    name = ready.name if ready is not None else f"{role}-{os.getpid()}"
    file = folder / f"{name}.json"
    labels = {"job": f"fleet-{role}", "process": name}
    target = [{"targets": [f"{_ANYWHERE.get(host, host)}:{port}"], "labels": labels}]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(file, json.dumps(target))
    except OSError as error:
        raise ConfigurationError(
            f"The file {file} for Prometheus cannot be written: {error}. Set FLEET_METRICS_TARGETS "
            "to a folder that this process may write to."
        ) from error
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def note_build(role: str) -> None:
    """Show which version runs, and as what."""
    meters.BUILD.labels(version("agent-fleet-workers"), role).set(1)


def _serve(server: WSGIServer) -> Thread:
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    return thread


def _replace(file: Path, text: str) -> None:
    """Prometheus may read it at any moment: it sees the old one or the new one, whole."""
    draft = file.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(file)
