"""PostgreSQL keeps tenants apart, whatever a query forgets."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, insert, select, text
from sqlalchemy.exc import DBAPIError

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import Conflict
from fleet_contracts.outcome import ReviewKind
from fleet_workers.store import (
    accounts,
    audit,
    audit_chain,
    claims,
    dead_letters,
    outbox,
    pauses,
    replays,
    reviews,
    switches,
    tasks,
)
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.claims import Holder
from fleet_workers.store.dead_letters import DeadLetterFilter
from fleet_workers.store.engine import single_statement
from fleet_workers.store.journal import StepKind, StoredJournal
from fleet_workers.store.row_security import ROLE, for_tenant
from fleet_workers.store.statement import Statement
from fleet_workers.store.tables import metadata
from support.databases import temporary_store

LEASE = timedelta(minutes=5)
HOLDER = Holder(worker="w1", presence=1, lease=LEASE, silence=LEASE)
TENANTS = ("acme", "globex")
OF_TENANTS = (
    "api_keys", "audit", "audit_inbox", "dead_letters", "pauses", "replays", "reviews", "tasks",
    "tool_switches",
)  # fmt: skip


def fill(engine: Engine, tenant: str) -> UUID:
    """A row of a tenant in every table that has one."""
    with engine.begin() as connection:
        accounts.add_tenant(connection, tenant)
        accounts.add_key(connection, tenant=tenant, role="viewer", label="x")
        envelope = build_envelope(tenant=tenant, agent="billing", input="Hello?")
        held = claims.take_new(connection, envelope, HOLDER, traceparent=None)
        assert held is not None
        reviews.add(
            connection,
            task_id=held.task_id,
            tenant=tenant,
            agent="billing",
            kind=ReviewKind.APPROVAL,
            reason="r",
            packet={},
        )
        dead_letters.add(connection, reason="r", error="e", body="{}", tenant=tenant)
        wanted = DeadLetterFilter(tenant=tenant)
        replays.request(connection, wanted, per_second=1, by="ann")
        pauses.pause(connection, agent="billing", tenant=tenant, reason="r", paused_by="ann")
        switch(connection, tenant)
    journal = StoredJournal(engine, held)
    journal.begin(StepKind.TOOL, "refund", {"effect": "write", "arguments": {}})
    with engine.begin() as connection:
        audit_chain.seal(connection, limit=1000)
    with engine.begin() as connection:
        audit.add(connection, Entry(kind=AuditKind.KEY, who="a", what="w", tenant=tenant))
    return held.task_id


def switch(connection: Connection, tenant: str) -> None:
    switches.disable(
        connection, tool="refund", tenant=tenant, agent="*", reason="r", disabled_by="ann"
    )


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_store(connections=1) as engine:
        for tenant in TENANTS:
            fill(engine, tenant)
        with engine.begin() as connection:
            pauses.pause(connection, agent="other", tenant="*", reason="r", paused_by="ann")
            switch(connection, "*")
        yield engine


def test_every_table_with_a_tenant_is_guarded(engine: Engine) -> None:
    """Fails for a new table: its migration must add a policy and rights, as 0005 does."""
    with engine.connect() as connection:
        unguarded = connection.execute(
            text(
                "SELECT CAST(pg_class.oid::regclass AS text) FROM pg_class "
                "JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'tenant' "
                "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
                "AND NOT relrowsecurity"
            )
        )
        assert list(unguarded.scalars()) == []


def read(connection: Connection, table: str) -> set[str]:
    """Whose rows a query without any condition gives; `none` where it may not be asked."""
    column = {"tenants": "name", "steps": "task_id::text"}.get(table, "tenant")
    found = connection.execute(text(f"SELECT {column} FROM {table}"))  # noqa: S608 from this file
    return set(found.scalars())


@pytest.mark.parametrize("table", [*OF_TENANTS, "steps", "tenants"])
def test_a_query_without_a_condition_sees_its_own_tenant_only(engine: Engine, table: str) -> None:
    with engine.connect() as connection:
        everything = read(connection, table)
    assert len(everything) >= 2
    seen = {}
    for tenant in (*TENANTS, "nobody", ""):
        try:
            with for_tenant(engine, tenant).begin() as connection:
                seen[tenant] = read(connection, table)
        except DBAPIError as error:
            assert "permission denied" in str(error)  # noqa: PT017 one of two ways to see nothing
            assert table in {"api_keys", "audit_inbox"}
            return
    for_all = {"*"} if table in {"pauses", "tool_switches"} else set()
    assert seen["nobody"] == seen[""] == for_all
    assert seen["acme"] - for_all
    assert seen["acme"] & seen["globex"] == for_all
    if table != "steps":
        assert seen["acme"] - for_all == {"acme"}


def test_a_bound_transaction_without_a_tenant_sees_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {ROLE}"))
        assert read(connection, "tasks") == set()


WRITES = {
    "a task": "INSERT INTO tasks (id, tenant, agent, requested_agent, state, envelope, "
    "content_hash) VALUES (gen_random_uuid(), 'globex', 'a', 'a', 'queued', '{}', '')",
    "a step of another's task": "INSERT INTO steps (task_id, seq, epoch, kind, name, state, "
    "request) VALUES ('{other}', 9, 1, 'review', 'decision', 'done', '{}')",
    "a task given away": "UPDATE tasks SET tenant = 'globex'",
    "a pause": "INSERT INTO pauses VALUES ('a', 'globex', 'r', 'p')",
    "a switch for all": "INSERT INTO tool_switches VALUES ('t', '*', '*', 'r', 'p')",
    "a pause of all": "INSERT INTO pauses VALUES ('a', '*', 'r', 'p')",
    "an entry of the audit trail": "INSERT INTO audit_inbox (kind, who, what, why, tenant, detail) "
    "VALUES ('key', 'a', 'w', '', 'globex', '{}')",
    "an entry of the whole fleet": "INSERT INTO audit_inbox (kind, who, what, why, detail) "
    "VALUES ('key', 'a', 'w', '', '{}')",
    "a key": "INSERT INTO api_keys VALUES (gen_random_uuid(), 'globex', 'admin', 'l', 'h')",
    "a key for all": "INSERT INTO api_keys VALUES (gen_random_uuid(), '*', 'admin', 'l', 'h')",
    "the hash of a key": "SELECT key_hash FROM api_keys",
    "a key given away": "UPDATE api_keys SET tenant = '*'",
    "who is signed in": "SELECT * FROM desk_sessions",
    "a person of another": "INSERT INTO people (id, tenant, email, name, role) "
    "VALUES (gen_random_uuid(), '*', 'e', 'n', 'admin')",
    "what links are signed with": "SELECT * FROM signing_keys",
    "a tenant": "INSERT INTO tenants VALUES ('acme2')",
    "another's message": "SELECT body FROM outbox",
    "the sealed trail": "INSERT INTO audit SELECT * FROM audit",
    "a task deleted": "DELETE FROM tasks",
}


@pytest.mark.parametrize("statement", WRITES.values(), ids=WRITES)
def test_what_a_tenant_may_not_do_is_refused(engine: Engine, statement: str) -> None:
    with engine.connect() as connection:
        other = connection.execute(text("SELECT id FROM tasks WHERE tenant = 'globex'")).scalar()
    with (
        pytest.raises(DBAPIError, match=r"row-level security|permission denied"),
        for_tenant(engine, "acme").begin() as connection,
    ):
        connection.exec_driver_sql(statement.replace("{other}", str(other)))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tasks SET agent = 'x'",
        "UPDATE reviews SET reason = 'x'",
        "UPDATE dead_letters SET settled_by = 'x'",
        "DELETE FROM pauses",
    ],
)
def test_changes_without_a_condition_reach_no_other_tenant(engine: Engine, statement: str) -> None:
    with for_tenant(engine, "acme").connect() as connection, connection.begin() as transaction:
        assert connection.execute(text(statement)).rowcount == 1
        transaction.rollback()


def test_an_id_of_another_tenant_is_a_conflict_and_tells_no_more(engine: Engine) -> None:
    with engine.connect() as connection:
        taken = connection.execute(text("SELECT id FROM tasks WHERE tenant = 'globex'")).scalar()
    envelope = build_envelope(tenant="acme", agent="billing", input="Hello?", id=taken)
    with (
        pytest.raises(Conflict),
        for_tenant(engine, "acme").begin() as connection,
    ):
        tasks.accept(connection, envelope, traceparent=None)


def whose(connection: Connection) -> tuple[str, str | None]:
    row = connection.execute(
        text("SELECT CURRENT_USER, current_setting('fleet.tenant', true)")
    ).one()
    return row[0], row[1] or None


def test_a_connection_goes_back_to_the_pool_unbound(engine: Engine) -> None:
    with engine.connect() as connection:
        owner = whose(connection)
    bound = for_tenant(engine, "acme")
    with bound.begin() as connection:
        assert whose(connection) == (ROLE, "acme")
        with pytest.raises(DBAPIError), connection.begin_nested():
            connection.execute(text("SELECT 1/0"))
        assert whose(connection) == (ROLE, "acme")
    with engine.connect() as connection:
        assert whose(connection) == owner
    with pytest.raises(DBAPIError), bound.begin() as connection:
        connection.execute(text("SELECT 1/0"))
    with bound.connect() as connection:
        assert whose(connection) == (ROLE, "acme")
    with engine.connect() as connection:
        assert whose(connection) == owner
    with for_tenant(bound, "globex").begin() as connection:
        assert whose(connection) == (ROLE, "globex")


def test_raw_statements_are_bound_too(engine: Engine) -> None:
    whose_rows = Statement("SELECT string_agg(tenant, ',' ORDER BY tenant) AS found FROM tasks")
    assert whose_rows.run(engine, {}).found == "acme,globex"
    assert whose_rows.run(for_tenant(engine, "acme"), {}).found == "acme"
    with (
        pytest.raises(ValueError, match="autocommit"),
        single_statement(for_tenant(engine, "acme")) as connection,
    ):
        connection.execute(text("SELECT 1"))


def test_messages_can_be_put_in_and_counted(engine: Engine) -> None:
    with for_tenant(engine, "acme").begin() as connection:
        envelope = build_envelope(tenant="acme", agent="billing", input="Hello?")
        outbox.post_task(connection, envelope, agent="billing", traceparent=None)
        assert outbox.count_waiting(connection) == 1


def test_nobody_logs_in_as_the_role_and_it_is_no_way_around(engine: Engine) -> None:
    with engine.connect() as connection:
        row = connection.execute(
            text("SELECT rolcanlogin, rolbypassrls, rolsuper FROM pg_roles WHERE rolname = :role"),
            {"role": ROLE},
        ).one()
    assert tuple(row) == (False, False, False)


def test_the_trail_takes_entries_of_the_tenant(engine: Engine) -> None:
    table = metadata.tables["audit_inbox"]
    with for_tenant(engine, "acme").begin() as connection:
        audit.add(connection, Entry(kind=AuditKind.DECISION, who="eve", what="w", tenant="acme"))
    with engine.connect() as connection:
        found = connection.execute(select(table.c.tenant).where(table.c.who == "eve")).scalars()
        assert list(found) == ["acme"]
    with (
        pytest.raises(DBAPIError, match="row-level security"),
        for_tenant(engine, "acme").begin() as connection,
    ):
        connection.execute(
            insert(table)
            .values(kind="key", who="a", what="w", why="", tenant="globex", detail={})
            .inline()
        )
