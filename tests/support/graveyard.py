"""A store with dead tasks and their letters, as workers leave them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, Row, delete, func, insert, select, update

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.states import TaskState
from fleet_workers.agents import AgentCatalogue, load_catalogue
from fleet_workers.deadletters.replay import Replayed, replay_letter
from fleet_workers.store import dead_letters, tables, tasks
from fleet_workers.store.accounts import add_tenant
from fleet_workers.store.dead_letters import DeadLetter
from fleet_workers.store.journal import Step, StepState
from fleet_workers.store.outbox import Letter
from fleet_workers.store.tables import metadata
from support.databases import empty_tables

AGENTS = Path(__file__).parent / "agents"


@dataclass
class Postbag:
    """Keeps what would be sent."""

    letters: list[Letter] = field(default_factory=list)

    def send(self, letters: Sequence[Letter]) -> None:
        self.letters.extend(letters)

    @property
    def task_ids(self) -> list[str]:
        return [letter.message.properties["correlation_id"] for letter in self.letters]


@dataclass
class Graveyard:
    engine: Engine
    catalogue: AgentCatalogue

    @classmethod
    def emptied(cls, engine: Engine) -> "Graveyard":
        """Begin again with two tenants and nothing else."""
        with engine.begin() as connection:
            empty_tables(connection)
            for tenant in ("acme", "globex"):
                add_tenant(connection, tenant)
        return cls(engine=engine, catalogue=load_catalogue([AGENTS], bundled=False))

    def dead(
        self,
        *,
        reason: str = "attempts_used_up",
        error: str = "The model's endpoint is away.",
        age: timedelta = timedelta(0),
        steps: Sequence[Step] = (),
        **fields: Any,
    ) -> DeadLetter:
        """A task that a worker gave up, with its letter."""
        envelope = build_envelope(
            **{"tenant": "acme", "agent": "parcels", "input": f"Where is it? {uuid4()}", **fields}
        )
        self.bury(envelope, steps)
        return self.letter(
            reason=reason,
            error=error,
            age=age,
            body=envelope.to_json(),
            task_id=envelope.id,
            tenant=envelope.tenant,
            agent=envelope.agent,
        )

    def bury(self, envelope: TaskEnvelope, steps: Sequence[Step] = ()) -> None:
        with self.engine.begin() as connection:
            tasks.accept(connection, envelope, traceparent=None)
            connection.execute(
                update(tables.tasks)
                .where(tables.tasks.c.id == envelope.id)
                .values(
                    state=TaskState.DEAD,
                    epoch=3,
                    attempts=5,
                    deliveries=6,
                    outcome={"kind": "dead", "reason": "It failed."},
                    last_error={"code": "unavailable", "message": "It failed."},
                    finished_at=func.now(),
                )
            )
            for step in steps:
                connection.execute(
                    insert(tables.steps).values(
                        task_id=envelope.id,
                        seq=step.seq,
                        epoch=3,
                        kind=step.kind,
                        name=step.name,
                        state=step.state,
                        request=dict(step.request),
                        result=dict(step.result) if step.state is StepState.DONE else None,
                    )
                )

    def letter(self, *, age: timedelta = timedelta(0), **fields: Any) -> DeadLetter:
        with self.engine.begin() as connection:
            letter = dead_letters.add(connection, **fields)
            if age:
                connection.execute(
                    update(tables.dead_letters)
                    .where(tables.dead_letters.c.id == letter.id)
                    .values(created_at=func.now() - age)
                )
        return letter

    def replay(self, letter: DeadLetter | UUID, *, tenant: str | None = None) -> Replayed:
        with self.engine.begin() as connection:
            return replay_letter(
                connection,
                letter if isinstance(letter, UUID) else letter.id,
                catalogue=self.catalogue,
                by="tests",
                tenant=tenant,
            )

    def read(self, letter: DeadLetter) -> DeadLetter:
        with self.engine.begin() as connection:
            found = dead_letters.get(connection, letter.id, tenant=None)
        assert found is not None
        return found

    def task(self, task_id: UUID | None) -> Row[Any]:
        with self.engine.begin() as connection:
            return connection.execute(
                select(tables.tasks).where(tables.tasks.c.id == task_id)
            ).one()

    def set_task(self, task_id: UUID | None, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                update(tables.tasks).where(tables.tasks.c.id == task_id).values(**values)
            )

    def lose_task(self, task_id: UUID | None) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(tables.tasks).where(tables.tasks.c.id == task_id))

    def forget_tenant(self, name: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(tables.tenants).where(tables.tenants.c.name == name))

    def count(self, table: str) -> int:
        with self.engine.begin() as connection:
            return connection.execute(
                select(func.count()).select_from(metadata.tables[table])
            ).scalar_one()
