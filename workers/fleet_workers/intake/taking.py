"""Takes messages of the intake into the store, many in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from fleet_contracts.envelope import AUTO_AGENT
from fleet_contracts.errors import FleetError, InvalidEnvelope, TooEarly, UnknownTenant
from fleet_workers.agents import AgentCatalogue
from fleet_workers.intake.publishers import Publishers
from fleet_workers.intake.reading import IntakeMessage, ReadTask, read_task
from fleet_workers.store import accounts, intake_taken, outbox, put_off, tasks
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter


@dataclass(slots=True)
class Batch:
    """What became of messages: by its place in the batch, why a message was refused.

    `letters` wake workers, `rows` are to be forgotten once the broker has the acknowledgements.
    """

    refusals: dict[int, FleetError] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


class IntakeDesk:
    """One a connection to the broker; `session` tells connections apart."""

    def __init__(
        self, engine: Engine, catalogue: AgentCatalogue, publishers: Publishers, *, session: UUID
    ) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._publishers = publishers
        self._session = session

    def take(self, messages: Sequence[IntakeMessage]) -> Batch:
        """Take each message that is a task, once, and say why the others are none.

        Raises:
            Unavailable: The store is away; nothing is known to be written.
            TooEarly: Whether a message was taken before cannot be told yet; nothing is written.
        """
        batch = Batch()
        read: list[tuple[int, bool, ReadTask]] = []
        for place, message in enumerate(messages):
            try:
                read.append((place, message.is_redelivered, self._read(message)))
            except FleetError as error:
                batch.refusals[place] = error
        # Others lock debounce keys and ids in the same order.
        read.sort(key=lambda each: (each[2].envelope.debounce_key or "", each[2].envelope.id))
        try:
            self._store_all(read, batch)
        except DBAPIError:
            for each in read:  # one of them is what the store cannot hold
                self._store_alone(each, batch)
        return batch

    def forget(self, rows: Sequence[int]) -> None:
        """Forget what the broker can deliver no more.

        Raises:
            Unavailable: The store is away.
        """
        with store_errors(), self._engine.begin() as connection:
            intake_taken.forget(connection, rows)

    def _read(self, message: IntakeMessage) -> ReadTask:
        task = read_task(message, self._publishers)
        if task.envelope.agent != AUTO_AGENT:
            self._catalogue.get(task.envelope.agent)
        return task

    def _store_all(self, read: Sequence[tuple[int, bool, ReadTask]], batch: Batch) -> None:
        found = Batch()
        with store_errors(), self._engine.begin() as connection:
            known = {
                tenant: accounts.tenant_exists(connection, tenant)
                for tenant in {each.envelope.tenant for _, _, each in read}
            }
            new: list[ReadTask] = []
            for place, is_redelivered, task in read:
                tenant = task.envelope.tenant
                try:
                    if not known[tenant]:
                        raise UnknownTenant(
                            f"No tenant is called {tenant!r}: ask an operator to add it."
                        )
                    if is_redelivered and self._was_taken(connection, task, found):
                        continue
                    if tasks.accept(connection, task.envelope, traceparent=task.traceparent):
                        new.append(task)
                except TooEarly:
                    raise
                except FleetError as error:
                    found.refusals[place] = error
            self._note_new(connection, new, found)
        batch.refusals.update(found.refusals)
        batch.letters += found.letters
        batch.rows += found.rows

    def _store_alone(self, each: tuple[int, bool, ReadTask], batch: Batch) -> None:
        try:
            self._store_all([each], batch)
        except DBAPIError as error:
            batch.refusals[each[0]] = InvalidEnvelope(
                f"The store cannot hold this task: {error.orig}. Change what it names."
            )

    def _note_new(self, connection: Connection, new: Sequence[ReadTask], found: Batch) -> None:
        contents = [each.content for each in new if each.content is not None]
        found.rows += intake_taken.note_taken(connection, contents, self._session)
        awake = [
            (each.envelope, each.traceparent)
            for each in new
            if not put_off.waits(connection, each.envelope)
        ]
        found.letters += outbox.post_tasks(connection, awake)

    def _was_taken(self, connection: Connection, task: ReadTask, found: Batch) -> bool:
        if task.content is None:
            return False
        row = intake_taken.take_over(connection, task.content, self._session)
        if row is not None:
            found.rows.append(row)
            return True
        if intake_taken.is_unsettled(connection, task.content, self._session):
            raise TooEarly("Another session may have taken this message just now.")
        return False
