"""A process of the fleet in which things go wrong, as a program; takes Sentry's address."""

import sys
import threading
from typing import NoReturn

import structlog

from fleet_contracts.errors import ConfigurationError, PolicyError, Unavailable
from fleet_workers.rails.personal_data import mask_text
from fleet_workers.settings import Settings
from fleet_workers.telemetry.process import start_telemetry
from fleet_workers.telemetry.run_scope import RunScope, note_claim, note_step, working_on

REQUEST = "My card 4111 1111 1111 1111 was charged twice, write to ada@example.com please"

log = structlog.get_logger()


def _quote() -> NoReturn:
    raise ValueError(f"cannot parse {REQUEST!r}")


def _go_wrong(number: int) -> None:
    with working_on(RunScope(task=f"task-{number}", tenant="acme", words=REQUEST)):
        note_claim("billing", 1, None)
        note_step(2, "tool")
        try:
            _quote()
        except ValueError:
            log.exception("task.failed")
        for expected in (Unavailable("away"), PolicyError("no"), ConnectionResetError("gone")):
            log.error("task.failed", exc_info=expected)
        log.error("task.dead", reason="internal_error", error=REQUEST)
        log.error("task.dead", reason="max_deliveries", error=f"{REQUEST} five times")


def _crash() -> NoReturn:
    raise KeyError(REQUEST)


def main() -> None:
    settings = Settings.model_validate(
        {"sentry_dsn": sys.argv[1], "environment": "staging", "release": "agent-fleet@9.9"}
    )
    start_telemetry(settings, "worker", mask=mask_text)
    for number in (1, 2):
        _go_wrong(number)
    thread = threading.Thread(target=_crash)
    thread.start()
    thread.join()
    raise ConfigurationError("This ends the process: ask ada@example.com.")


if __name__ == "__main__":
    main()
