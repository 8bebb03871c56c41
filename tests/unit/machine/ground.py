"""The machine's world: a store, a broker that holds messages as the rules please, and processes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, Row, func, select, text, update

from fleet_contracts.codec import STORED_HEADER, WireMessage
from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope, build_envelope
from fleet_contracts.topology import AGENTS_EXCHANGE
from fleet_workers.controller.reception import Delivery
from fleet_workers.deadletters.replay import replay_letter
from fleet_workers.janitor.sweep import Sweeper
from fleet_workers.models.messages import ChatModel
from fleet_workers.store import outbox, tables, tasks
from fleet_workers.store.accounts import add_tenant
from fleet_workers.store.outbox import Letter
from fleet_workers.store.tables import metadata
from fleet_workers.tools import Tool
from support.databases import empty_tables
from unit.machine.business import Business, catalogue_of
from unit.machine.process import MAX_DELIVERIES, Process, open_ports
from unit.machine.strikes import UNDER_WAY, Run, Strike, point
from unit.machine.writer import Script, Writer

_PAST = func.now() - timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Message:
    """What stands on the broker."""

    payload: dict[str, Any]
    stored: bool
    submitted_at: datetime | None = None
    traceparent: Any = None

    @property
    def task_id(self) -> str:
        return str(self.payload["id"])


@dataclass
class Broker:
    """Keeps messages; each rule takes which it likes. It also is the postman that sends them."""

    engine: Engine
    messages: list[Message] = field(default_factory=list)
    replies: list[WireMessage] = field(default_factory=list)

    def send(self, letters: Sequence[Letter]) -> None:
        for letter in sorted(letters, key=_request_of):
            if point("send") == "away":
                return
            if letter.exchange == AGENTS_EXCHANGE:
                payload = json.loads(letter.message.body)[0][0]
                stored = bool(letter.message.headers.get(STORED_HEADER))
                self.messages.append(Message(payload=payload, stored=stored))
            elif letter.message.routing_key.startswith("reply."):
                self.replies.append(letter.message)
            with self.engine.begin() as connection:
                outbox.mark_sent(connection, [letter.id])

    def count_messages(self, agent: str) -> int:
        assert agent
        return 0


def _request_of(letter: Letter) -> str:
    """In whatever order a statement gave them, letters of one moment go in that of requests."""
    if letter.exchange != AGENTS_EXCHANGE:
        return ""
    return str(json.loads(letter.message.body)[0][0]["input"])


class World:
    """A fleet on an empty store. Its business and model are the machine's own, unless given."""

    def __init__(
        self,
        engine: Engine,
        *,
        model: ChatModel | None = None,
        tools: Sequence[Tool] | None = None,
    ) -> None:
        self.engine = engine
        self.broker = Broker(engine)
        self.writer = Writer()
        self.ports = open_ports(model or self.writer)
        self.business = Business(may_act=self._may_act)
        self.catalogue = catalogue_of(self.business.tools() if tools is None else tools)
        self.served = (AUTO_AGENT, *self.catalogue.names)  # queues stay, whatever is installed
        self.stalled: list[tuple[Run, Process]] = []
        self.dead: set[str] = set()
        self.idle: set[str] = set()
        self._at_work: Process | None = None
        with engine.begin() as connection:
            empty_tables(connection)
            add_tenant(connection, "acme")

    def deliver(self, message: Message, strikes: Sequence[Strike]) -> Run:
        """Give a message to a process of its own."""
        process = Process(
            self.engine,
            self.catalogue,
            self.ports,
            self.broker,  # type: ignore[arg-type]
            serves=self.served,
        )

        def work() -> None:
            process.deliver(
                Delivery(
                    payload=message.payload,
                    queue="agent.clerk",
                    traceparent=message.traceparent,
                    stored=message.stored,
                    submitted_at=message.submitted_at,
                )
            )

        run = Run(process.name, work)
        self._go_on(run, process, strikes)
        return run

    def submit(self, wishes: Sequence[str] = (), *, end: str = "answer", **fields: Any) -> UUID:
        """Store a task whose script is this, with its message on the broker."""
        number = len(self.writer.scripts)
        self.writer.scripts[number] = Script(
            number=number, wishes=tuple(wishes), together=1, end=end
        )
        asked = self.writer.scripts[number].request
        values = {"tenant": "acme", "agent": "clerk", "input": asked, **fields}
        envelope = build_envelope(**values)

        def take(connection: Connection) -> list[Letter]:
            assert tasks.accept(connection, envelope, traceparent=None)
            return post(connection, envelope)

        self.change(take)
        return envelope.id

    def work(self, *strikes: Strike) -> None:
        """Deliver all messages that stand on the broker now, the oldest first."""
        for message in list(self.broker.messages):
            run = self.deliver(message, strikes)
            if not run.is_killed:
                self.broker.messages.remove(message)

    def settle(self) -> None:
        """Sweep and work until nothing more happens by itself."""
        for _ in range(40):
            self.work()
            self.pass_time()
            self.sweep()
            if not self.broker.messages:
                return
        pytest.fail(f"No end in sight: {self.all_tasks()}")

    def wake(self, place: int, strikes: Sequence[Strike]) -> None:
        """Let a stalled process go on."""
        run, process = self.stalled.pop(place)
        self._go_on(run, process, strikes)

    def kill(self, place: int) -> None:
        """End a stalled process."""
        run, process = self.stalled.pop(place)
        run.kill()
        self.dead.add(process.name)

    def sweep(self, strikes: Sequence[Strike] = ()) -> None:
        """Let a janitor make one round, and look for forgotten tasks."""

        def work() -> None:
            sweeper = Sweeper(self.engine, self.broker)  # type: ignore[arg-type]
            sweeper.sweep()
            sweeper.wake_forgotten()

        run = Run("janitor", work)
        run.go_on(strikes)
        while run.stalled_at is not None:
            Run("another janitor", work).go_on()
            run.go_on()
        if run.error is not None:
            raise run.error

    def pass_time(self) -> None:
        """Whatever waits for a time, waits no more.

        Who is dead has been silent for long, and whoever has let a task go has not renewed it.
        A request is over when its tool's time-out is.
        """
        with self.engine.begin() as connection:
            for statement in (
                "UPDATE tasks SET due_at = now() - interval '1 day' WHERE state = 'retrying'",
                "UPDATE tasks SET woken_at = now() - interval '1 day' WHERE woken_at IS NOT NULL",
                "UPDATE outbox SET try_at = now() - interval '1 day'",
            ):
                connection.execute(text(statement))
            if all(run.stalled_at != UNDER_WAY for run, _ in self.stalled):
                connection.execute(update(tables.steps).values(started_at=_PAST))
            for column, names in (("silent_from", self.dead), ("lease_until", self.idle)):
                connection.execute(
                    update(tables.tasks)
                    .where(tables.tasks.c.worker.in_(sorted(names)))
                    .values({column: _PAST})
                )

    def end_lease(self, place: int, *, cut: bool) -> None:
        """A stalled process has not renewed: its lease is over, or its connection was cut."""
        _, process = self.stalled[place]
        process.guardian.is_over = not cut
        with self.engine.begin() as connection:
            connection.execute(
                update(tables.tasks)
                .where(tables.tasks.c.worker == process.name)
                .values({"silent_from" if cut else "lease_until": _PAST})
            )

    def close(self) -> None:
        """End what still stands, and close connections."""
        while self.stalled:
            self.kill(0)
        self.ports.tools.close()  # type: ignore[attr-defined] # the real runtime

    def all_tasks(self) -> list[Row[Any]]:
        """All rows of tasks, oldest first."""
        with self.engine.begin() as connection:
            query = select(tables.tasks).order_by(tables.tasks.c.created_at, tables.tasks.c.id)
            return list(connection.execute(query))

    def task(self, task_id: UUID) -> Row[Any] | None:
        with self.engine.begin() as connection:
            return connection.execute(
                select(tables.tasks).where(tables.tasks.c.id == task_id)
            ).one_or_none()

    def rows(self, table: str) -> list[Row[Any]]:
        """All rows of a table, the oldest first."""
        with self.engine.begin() as connection:
            found = metadata.tables[table]
            return list(connection.execute(select(found).order_by(found.c.created_at, found.c.id)))

    def replay(self, letter_id: UUID) -> None:
        """Bring a dead task back."""
        self.change(
            lambda connection: [
                replay_letter(connection, letter_id, catalogue=self.catalogue, by="test").wake_up
            ]
        )

    def change(self, work: Callable[[Connection], Sequence[Letter] | None]) -> None:
        """Do something in one transaction, and send its letters."""
        with self.engine.begin() as connection:
            letters = work(connection)
        self.broker.send(letters or [])

    def decide_outside(self, review_id: UUID, decision: dict[str, str]) -> None:
        """Another system writes a decision; the janitor gives it its consequence."""
        with self.engine.begin() as connection:
            connection.execute(
                update(tables.reviews)
                .where(tables.reviews.c.id == review_id, tables.reviews.c.state == "waiting")
                .values(state="decided", decision=decision, decided_by="outside")
            )

    def _go_on(self, run: Run, process: Process, strikes: Sequence[Strike]) -> None:
        before, self._at_work = self._at_work, process
        run.go_on(strikes)
        self._at_work = before
        if run.stalled_at is not None:
            self.stalled.append((run, process))
            return
        (self.dead if run.is_killed else self.idle).add(process.name)
        if run.error is not None:
            raise run.error

    def _may_act(self, task_id: UUID) -> bool:
        """Its worker holds it, and not too many have died of it before."""
        process, row = self._at_work, self.task(task_id)
        return (
            process is not None
            and row is not None
            and row.worker == process.name
            and row.deliveries <= MAX_DELIVERIES
        )


def post(connection: Connection, envelope: TaskEnvelope) -> list[Letter]:
    """The letter of a task that was just stored."""
    letter = outbox.post_task(connection, envelope, agent=envelope.agent, traceparent=None)
    return [letter]
