"""Row-level security: a role for the requests of a tenant, and what it sees and may write."""

from alembic import op
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from fleet_contracts.errors import ConfigurationError

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MAKE_ROLE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleet_tenant') THEN
        CREATE ROLE fleet_tenant NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- the upgrade of another database made it at the same moment
END $$
"""
_STANDS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleet_tenant')"
_OWN = "tenant = current_setting('fleet.tenant', true)"
_FOR_ALL = "tenant = '*'"
_OWN_NAME = "name = current_setting('fleet.tenant', true)"
_OF_OWN_TASK = "EXISTS (SELECT FROM tasks WHERE tasks.id = steps.task_id)"

# table, what its rows are told apart by, rights
_TABLES = (
    ("tasks", _OWN, "SELECT, INSERT, UPDATE"),
    ("steps", _OF_OWN_TASK, "SELECT, INSERT"),
    ("reviews", _OWN, "SELECT, UPDATE"),
    ("dead_letters", _OWN, "SELECT, UPDATE"),
    ("replays", _OWN, "SELECT, INSERT"),
    ("tenants", _OWN_NAME, "SELECT"),
    ("pauses", _OWN, "SELECT, INSERT, DELETE"),
    ("tool_switches", _OWN, "SELECT, INSERT, DELETE"),
    ("audit", _OWN, "SELECT"),
    ("audit_inbox", _OWN, "INSERT"),
)


def upgrade() -> None:
    """Apply."""
    connection = op.get_bind()
    _make_role(connection)
    for table, own, rights in _TABLES:
        op.execute(f"GRANT {rights} ON {table} TO fleet_tenant")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON {table} TO fleet_tenant USING ({own}) WITH CHECK ({own})"
        )
    # What is paused or disabled for all tenants is so for this one.
    for table in ("pauses", "tool_switches"):
        op.execute(
            f"CREATE POLICY all_tenants ON {table} FOR SELECT TO fleet_tenant USING ({_FOR_ALL})"
        )
    # Messages are of no tenant: they are put in, and counted, and read by nobody.
    op.execute("GRANT INSERT, SELECT (id) ON outbox TO fleet_tenant")
    # Keys are looked up before it is known whose they are; nobody else needs them.
    op.execute("ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY")


def downgrade() -> None:
    """Take back. The role stays: other databases of the server may use it."""
    op.execute("ALTER TABLE api_keys DISABLE ROW LEVEL SECURITY")
    op.execute("REVOKE ALL ON outbox FROM fleet_tenant")
    for table in ("pauses", "tool_switches"):
        op.execute(f"DROP POLICY all_tenants ON {table}")
    for table, _, _ in _TABLES:
        op.execute(f"DROP POLICY own_tenant ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON {table} FROM fleet_tenant")


def _make_role(connection: Connection) -> None:
    try:
        with connection.begin_nested():
            connection.execute(text(_MAKE_ROLE))
        if not _can_become(connection):
            with connection.begin_nested():
                connection.execute(text("GRANT fleet_tenant TO CURRENT_USER"))
    except DBAPIError as error:
        user = connection.execute(text("SELECT quote_ident(CURRENT_USER)")).scalar_one()
        stands = connection.execute(text(_STANDS)).scalar_one()
        make = "" if stands else "CREATE ROLE fleet_tenant NOLOGIN; "
        raise ConfigurationError(
            "Requests of tenants run in the role fleet_tenant, and the store's user may not make "
            f"it or become it. Let a superuser run: {make}GRANT fleet_tenant TO {user}; "
            "and then `fleetctl db upgrade` again."
        ) from error


def _can_become(connection: Connection) -> bool:
    try:
        with connection.begin_nested():
            connection.execute(text("SET LOCAL ROLE fleet_tenant"))
            connection.execute(text("SET LOCAL ROLE NONE"))
    except DBAPIError:
        return False
    return True
