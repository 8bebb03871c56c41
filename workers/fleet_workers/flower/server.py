"""Runs Flower beside the fleet: with a password, read only, and with nothing of the requests."""

import atexit
import logging
import re
import signal
import sys
from collections.abc import Mapping
from typing import Any, Final

from flower.app import Flower
from flower.command import apply_env_options, extract_settings
from flower.events import Events
from flower.inspector import Inspector
from flower.options import options
from flower.urls import settings as handler_settings
from tornado.ioloop import IOLoop, PeriodicCallback

from fleet_contracts.errors import ConfigurationError
from fleet_workers.app import app
from fleet_workers.flower.redaction import redact_event, redact_reply

_OURS: Final[Mapping[str, Any]] = {
    # Its buttons act on Celery alone: a revoked message or a smaller pool is unknown to the store.
    "read_only": True,
    # About 2 KB each; the store keeps what happened to every task, and the console shows it.
    "max_tasks": 10_000,
    # A pool that scales leaves a name behind with each process that ends.
    "purge_offline_workers": 3600,
    "tasks_columns": "name,uuid,state,received,started,runtime,worker,retries",
}
"""Flower's options as the fleet wants them; a FLOWER_… variable comes before them."""

_LOOK_MILLISECONDS: Final = 2000
_USER_AND_PASSWORD: Final = re.compile(r"[^:]+:.+")


class RedactedEvents(Events):  # type: ignore[misc]  # flower has no types
    """Flower's memory of events, which never sees contents: its search cannot find them either."""

    def on_event(self, event: dict[str, Any]) -> None:
        """Take in one event of Celery's."""
        super().on_event(redact_event(event))


class RedactedInspector(Inspector):  # type: ignore[misc]  # as above
    """Flower's questions to the workers, with the arguments taken out of the answers."""

    def _on_update(self, workername: str, method: str, response: Any) -> None:
        super()._on_update(workername, method, redact_reply(response))


def run_flower(*, host: str, port: int) -> None:
    """Serve Flower's pages, API, `/metrics` and `/healthcheck` until the process is stopped.

    All but the last two ask for the user and password of FLOWER_BASIC_AUTH.

    Raises:
        ConfigurationError: No sign-in is set, or an option of Flower's is wrong.
    """
    _set_options(host=host, port=port)
    server = Flower(capp=app, options=options, events=_events(), **handler_settings)
    server.inspector = RedactedInspector(server.io_loop, app, options.inspect_timeout / 1000.0)
    # Health checks ask every few seconds; refused requests are still logged.
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    atexit.register(server.stop)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    PeriodicCallback(lambda: ask_new_workers(server), _LOOK_MILLISECONDS).start()
    try:
        server.start_http_server()
        server.start()
    except OSError as error:
        raise ConfigurationError(f"Flower cannot listen on {host}:{port}: {error}.") from error
    except (KeyboardInterrupt, SystemExit):
        return


def ask_new_workers(server: Flower) -> None:
    """Ask for queues and statistics where a worker has come whose queues are not known.

    Flower itself asks at its own start only: of those that come later its broker page would show
    no queue until somebody asks for them.
    """
    alive = {name for name, worker in server.events.state.workers.items() if worker.alive}
    known = {name for name, told in server.workers.items() if "active_queues" in told}
    if alive - known:
        server.update_workers()


def _set_options(*, host: str, port: int) -> None:
    for name, value in _OURS.items():
        setattr(options, name, value)
    try:
        apply_env_options()
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"A FLOWER_… variable is wrong: {error}.") from error
    options.address, options.port = host, port
    users = options.basic_auth or []
    if not users and not options.auth:
        raise ConfigurationError(
            "Flower has no sign-in, and would be open to everybody: set FLOWER_BASIC_AUTH to "
            "USER:PASSWORD."
        )
    if not all(_USER_AND_PASSWORD.fullmatch(each) for each in users):
        raise ConfigurationError("FLOWER_BASIC_AUTH is not of the form USER:PASSWORD.")
    try:
        extract_settings()
    except SystemExit as error:  # it has logged which option it does not like
        raise ConfigurationError("An option of Flower's is wrong: see the line above.") from error


def _events() -> Events:
    return RedactedEvents(
        app,
        io_loop=IOLoop.current(),
        db=options.db,
        persistent=options.persistent,
        state_save_interval=options.state_save_interval,
        enable_events=options.enable_events,
        max_workers_in_memory=options.max_workers,
        max_tasks_in_memory=options.max_tasks,
    )
