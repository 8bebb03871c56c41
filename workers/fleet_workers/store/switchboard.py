"""What a process knows of disabled tools and withheld rights: told at once, and looked up."""

import time
from collections.abc import Sequence
from threading import Event, Thread

import psycopg
import structlog
from sqlalchemy import Connection, Engine, text

from fleet_contracts.errors import Unavailable
from fleet_workers.store import rights, switches
from fleet_workers.store.engine import single_statement
from fleet_workers.store.rights import WithheldRight
from fleet_workers.store.switches import CHANNEL, Switch

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0  # behind a pooler that passes no notifications on, this is what is left
_LISTEN_SECONDS = 0.25  # also how long a stop waits, and how soon a lost store is tried again
_FIRST_LOOK_SECONDS = 5.0


class Switchboard:
    """Follows switches and rights with a thread and a connection of its own.

    While the store is away, what was known last holds.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._switches: Sequence[Switch] = ()
        self._withheld: Sequence[WithheldRight] = ()
        self._stopped = Event()
        self._ready = Event()
        self._thread = Thread(target=self._run, name="switches", daemon=True)

    def start(self) -> None:
        """Begin; returns once the switches are known, or after five seconds."""
        self._thread.start()
        self._ready.wait(_FIRST_LOOK_SECONDS)

    def stop(self) -> None:
        """Stop; what was known last holds."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def disabled(self, tool: str, *, tenant: str, agent: str) -> Switch | None:
        """The oldest switch that covers such a call, or None where it may be made.

        It asks nobody. A switch is known here within a second after it was set.
        """
        found = (each for each in self._switches if each.covers(tool, tenant=tenant, agent=agent))
        return next(found, None)

    def withheld(
        self, names: frozenset[str], *, tenant: str, customer: str | None
    ) -> WithheldRight | None:
        """The oldest of these rights that is withheld here, or None. It asks nobody, as above."""
        found = (
            each for each in self._withheld if each.covers(names, tenant=tenant, customer=customer)
        )
        return next(found, None)

    def _run(self) -> None:
        was_away = False
        while not self._stopped.is_set():
            try:
                with single_statement(self._engine) as connection:
                    connection.execute(text(f"LISTEN {CHANNEL}"))
                    if was_away:
                        log.info("switches.store_back")
                    was_away = False
                    self._follow(connection)
            except Unavailable as error:
                if not was_away:
                    log.warning("switches.store_away", error=str(error))
                was_away = True
                self._stopped.wait(_LISTEN_SECONDS)
            except Exception:
                log.exception("switches.broke")
                self._stopped.wait(_LOOK_SECONDS)

    def _follow(self, connection: Connection) -> None:
        while not self._stopped.is_set():
            self._switches = tuple(switches.all_switches(connection))
            self._withheld = tuple(rights.all_withheld(connection))
            self._ready.set()
            self._wait_for_news(connection)

    def _wait_for_news(self, connection: Connection) -> None:
        """Return when something was announced, when it is time for a look, or at a stop."""
        driver = connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise TypeError("The switchboard needs psycopg, whose connections can listen.")
        look_at = time.monotonic() + _LOOK_SECONDS
        try:
            while time.monotonic() < look_at and not self._stopped.is_set():
                if any(driver.notifies(timeout=_LISTEN_SECONDS, stop_after=1)):
                    return
        except psycopg.OperationalError as error:
            connection.invalidate()
            raise Unavailable(f"The connection to the store was lost: {error}") from error
