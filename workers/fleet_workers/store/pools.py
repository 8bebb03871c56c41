"""What the store knows of pools: open tasks by agent, and the worker processes that are alive."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Subquery,
    Table,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    null,
    select,
    text,
    union_all,
)

from fleet_contracts.states import TaskState
from fleet_workers.store.finished import AFTERWARDS
from fleet_workers.store.leases import PRESENCE_LOCKS
from fleet_workers.store.tables import reviews, tasks

POOL_PREFIX = "pool "
"""How the connection that holds a worker's presence is named: `pool SLOTS HOST:PID AGENT…`."""
DRAIN_PREFIX = "drain "
"""How it is named once the process ends: it takes no more tasks."""

_MAX_NAME_BYTES = 63  # PostgreSQL cuts an application's name there
_LEAST_WORKER_BYTES = 12  # a process id and some letters of the host; less would tell nobody
_CUT = "~"
_MORE = "+"
_OTHERS = (TaskState.RUNNING, TaskState.RETRYING, TaskState.IN_REVIEW)

# A presence is an advisory lock of the connection that keeps a process's leases.
_ALIVE = text("""
SELECT held.presence, activity.application_name AS name, activity.backend_start AS since,
    count(tasks.id) AS running, min(tasks.worker) AS worker
FROM (
    SELECT objid::bigint AS presence, pid FROM pg_locks
    WHERE locktype = 'advisory' AND classid::bigint = :locks AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS held
LEFT JOIN pg_stat_activity AS activity ON activity.pid = held.pid
LEFT JOIN tasks ON tasks.presence = held.presence AND tasks.state = 'running'
GROUP BY held.presence, activity.application_name, activity.backend_start
ORDER BY activity.application_name, held.presence
""")


_JANITORS = text("""
SELECT count(DISTINCT client_port) FROM pg_stat_activity
WHERE application_name = 'janitor' AND datname = current_database()
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLoad:
    """Open tasks of an agent.

    `queued` are those that a worker may take now, `put_off` those queued for a later time.
    `oldest_at` is since when the first of `queued` waits: since it was taken in, or since it came
    back to the queue. `next_retry_at` is when the first of those that retry will be queued again,
    or should have been.
    """

    agent: str
    queued: int
    put_off: int
    running: int
    retrying: int
    in_review: int
    oldest_at: datetime | None
    next_retry_at: datetime | None

    @classmethod
    def idle(cls, agent: str) -> Self:
        """That of an agent without open tasks."""
        counts = {"queued": 0, "put_off": 0, "running": 0, "retrying": 0, "in_review": 0}
        return cls(agent=agent, **counts, oldest_at=None, next_retry_at=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process that is alive. `name` is its host and process, `HOST:PID`.

    A long host is cut, marked with `~`, while the process runs no task; where there was no room at
    all the name is None. `slots` and `agents` are empty for a process that runs one task apart.
    `is_whole` is false where PostgreSQL had no room for the names of all its agents. `is_draining`
    marks one that was told to end.
    """

    presence: int
    name: str | None
    slots: int | None
    agents: tuple[str, ...]
    is_whole: bool
    running: int
    since: datetime | None
    is_draining: bool = False

    @property
    def free_slots(self) -> int:
        """How many more tasks it would take now."""
        return 0 if self.is_draining else max(0, (self.slots or 0) - self.running)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """An agent's open tasks, and the processes that take them.

    `slots` counts those of all `processes`, and `busy_slots` those of them that work, for this or
    for another agent that shares them. Processes that drain count in none of the three.
    """

    load: AgentLoad
    processes: int
    slots: int
    busy_slots: int

    @property
    def agent(self) -> str:
        """The agent's name."""
        return self.load.agent

    @property
    def busy(self) -> float | None:
        """The share of its slots that work, from 0; None without slots."""
        return self.busy_slots / self.slots if self.slots else None

    def oldest_seconds(self, now: datetime) -> float:
        """How long the first of the queue has waited; 0 where nothing is queued."""
        oldest = self.load.oldest_at
        return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())


def pool_name(
    agents: Sequence[str], slots: int, *, worker: str = "", is_draining: bool = False
) -> str:
    """The name of a worker's connection, which tells other processes what it serves.

    The agents have their room first, then `worker`, whose host is cut to what is left.
    """
    prefix = f"{DRAIN_PREFIX if is_draining else POOL_PREFIX}{slots}"
    served = ""
    for agent in agents:
        longer = f"{served} {agent}"
        if len(f"{prefix}{longer} {_MORE}".encode()) > _MAX_NAME_BYTES:
            served += f" {_MORE}"
            break
        served = longer
    room = _MAX_NAME_BYTES - len(f"{prefix} {served}".encode())
    return f"{prefix}{_shortened(worker, room)}{served}"


def _shortened(worker: str, room: int) -> str:
    """` HOST:PID` in so many bytes; the end of a host's name is what tells replicas apart."""
    if not worker.isascii() or " " in worker or not worker:
        return ""
    if len(worker) <= room:
        return f" {worker}"
    return f" {_CUT}{worker[1 - room :]}" if room >= _LEAST_WORKER_BYTES else ""


def load_by_agent(connection: Connection, *, tenant: str | None) -> dict[str, AgentLoad]:
    """Open tasks by agent; agents without any are not in it. `tenant=None` sees all."""
    rows = _open_rows(tenant)
    state, due_at = rows.c.state, rows.c.due_at
    is_queued = state == TaskState.QUEUED
    claimable = and_(is_queued, due_at.is_(None))
    query = select(
        rows.c.agent,
        func.count().filter(claimable).label("queued"),
        func.count().filter(is_queued, due_at.is_not(None)).label("put_off"),
        *(func.count().filter(state == each).label(each.value) for each in _OTHERS),
        func.min(rows.c.waits_since).filter(claimable).label("oldest_at"),
        func.min(due_at).filter(state == TaskState.RETRYING).label("next_retry_at"),
    ).group_by(rows.c.agent)
    return {row.agent: AgentLoad(**row._mapping) for row in connection.execute(query)}  # noqa: SLF001 the documented way to a dict


def _open_rows(tenant: str | None) -> Subquery:
    """Open tasks: each state by its own partial index, for no index covers all of them.

    Those in review are counted by the item that waits for a person: none has two.
    """
    waits_since = case(
        (tasks.c.epoch == 0, tasks.c.created_at),
        else_=func.coalesce(tasks.c.woken_at, tasks.c.created_at),
    ).label("waits_since")
    nothing: ColumnElement[datetime | None] = cast(null(), tasks.c.created_at.type)
    parts = [
        select(tasks.c.agent, tasks.c.state, tasks.c.due_at, waits_since).where(
            tasks.c.state == literal_column(f"'{state.value}'"), *_of_tenant(tasks, tenant)
        )
        for state in (TaskState.QUEUED, TaskState.RUNNING, TaskState.RETRYING)
    ]
    in_review = select(
        reviews.c.agent,
        literal(TaskState.IN_REVIEW.value),
        nothing.label("due_at"),
        nothing.label("waits_since"),
    ).where(
        reviews.c.state == literal_column("'waiting'"),
        reviews.c.kind.not_in(AFTERWARDS),
        *_of_tenant(reviews, tenant),
    )
    return union_all(*parts, in_review).subquery("open")


def _of_tenant(table: Table, tenant: str | None) -> list[ColumnElement[bool]]:
    return [] if tenant is None else [table.c.tenant == tenant]


def janitors_alive(connection: Connection) -> int:
    """The number of janitor processes that are connected now; needs the store's own user, too."""
    return int(connection.execute(_JANITORS).scalar_one())


def workers_alive(connection: Connection) -> list[Worker]:
    """The worker processes that hold their presence now.

    Needs a connection of the store's own user: PostgreSQL shows a tenant nobody's connections.
    """
    rows = connection.execute(_ALIVE, {"locks": PRESENCE_LOCKS})
    return [_worker(row) for row in rows]


def pools(
    loads: Mapping[str, AgentLoad], workers: Sequence[Worker], agents: Iterable[str] = ()
) -> list[Pool]:
    """Each agent's pool by name: of `agents`, of those with open tasks and of those served."""
    serving: dict[str, list[Worker]] = {name: [] for name in (*agents, *loads)}
    for each in workers:
        for name in () if each.is_draining else each.agents:
            serving.setdefault(name, []).append(each)
    return [
        Pool(
            load=loads.get(name) or AgentLoad.idle(name),
            processes=len(serving[name]),
            slots=sum(each.slots or 0 for each in serving[name]),
            busy_slots=sum(each.running for each in serving[name]),
        )
        for name in sorted(serving)
    ]


def _worker(row: Row[*tuple[Any, ...]]) -> Worker:
    is_draining = (row.name or "").startswith(DRAIN_PREFIX)
    slots, served = _served(row.name or "", DRAIN_PREFIX if is_draining else POOL_PREFIX)
    agents = [each for each in served if ":" not in each]
    shown = next((each for each in served if ":" in each), None)
    return Worker(
        presence=row.presence,
        name=row.worker or shown,
        slots=slots,
        agents=tuple(each for each in agents if each != _MORE),
        is_whole=_MORE not in agents,
        running=row.running,
        since=row.since,
        is_draining=is_draining,
    )


def _served(name: str, prefix: str) -> tuple[int | None, list[str]]:
    """Slots, and what else stands in a connection's name."""
    slots, *words = name.removeprefix(prefix).split(" ")
    if not name.startswith(prefix) or not slots.isdecimal():
        return None, []
    return int(slots), words
