"""Notes in the audit trail which releases of agents are at work, each once."""

from collections.abc import Iterable

from sqlalchemy import Connection, select, text, union_all

from fleet_workers.store import audit
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.audit_tables import audit as sealed
from fleet_workers.store.audit_tables import audit_inbox

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('audit releases', 0))")


def note_releases(connection: Connection, releases: Iterable[str], *, worker: str) -> list[str]:
    """Write an entry for each release id that the trail does not hold; gives those that are new.

    A release's id covers its manifest, prompt and tools: what an agent may do changes with it.
    For each worker's start, before it takes a task.
    """
    connection.execute(_ONE_AT_A_TIME)
    names = list(releases)
    known = set(
        connection.execute(
            union_all(
                *(
                    select(table.c.what).where(
                        table.c.kind == AuditKind.RELEASE, table.c.what.in_(names)
                    )
                    for table in (sealed, audit_inbox)
                )
            )
        ).scalars()
    )
    new = [name for name in names if name not in known]
    entries = (Entry(kind=AuditKind.RELEASE, who=f"worker:{worker}", what=name) for name in new)
    audit.add(connection, *entries)
    return new
