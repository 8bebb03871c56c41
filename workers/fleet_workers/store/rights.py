"""Rights that a tenant, or one of its customers, withholds from all agents.

A right is a tool's name or one of the scopes that it asks for. `*` stands for all customers. A
change is announced on the channel of the switches.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from fleet_workers.store import audit
from fleet_workers.store.audit import AuditKind, Entry, digest
from fleet_workers.store.money_tables import withheld_rights
from fleet_workers.store.switches import announce

EVERY_CUSTOMER = "*"


class WithheldRight(BaseModel):
    """Which right is withheld, by whom and why."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    customer: str
    name: str
    reason: str
    withheld_by: str
    created_at: datetime

    def covers(self, names: frozenset[str], *, tenant: str, customer: str | None) -> bool:
        """Tell whether a call that needs these rights for this customer may not be made."""
        return (
            self.tenant == tenant
            and self.name in names
            and self.customer in {EVERY_CUSTOMER, customer}
        )


def withhold(
    connection: Connection, *, tenant: str, customer: str, name: str, reason: str, withheld_by: str
) -> WithheldRight:
    """Let no agent use a right for this tenant or customer. Again, it keeps the first reason."""
    own = (
        withheld_rights.c.tenant == tenant,
        withheld_rights.c.customer == customer,
        withheld_rights.c.name == name,
    )
    added = connection.execute(
        insert(withheld_rights)
        .values(tenant=tenant, customer=customer, name=name, reason=reason, withheld_by=withheld_by)
        .on_conflict_do_nothing()
        .returning(withheld_rights.c.name)
    ).one_or_none()
    if added is not None:
        what = f"{name} withheld"
        _note(connection, what, by=withheld_by, tenant=tenant, customer=customer, why=reason)
    announce(connection)
    found = connection.execute(select(withheld_rights).where(*own))
    return WithheldRight.model_validate(dict(found.mappings().one()))


def restore(
    connection: Connection, *, tenant: str, customer: str, name: str, restored_by: str
) -> bool:
    """Give a right back; others that cover the same calls stay. Tells whether it was withheld."""
    removed = connection.execute(
        delete(withheld_rights)
        .where(
            withheld_rights.c.tenant == tenant,
            withheld_rights.c.customer == customer,
            withheld_rights.c.name == name,
        )
        .returning(withheld_rights.c.name)
    ).one_or_none()
    if removed is not None:
        _note(connection, f"{name} restored", by=restored_by, tenant=tenant, customer=customer)
    announce(connection)
    return removed is not None


def all_withheld(connection: Connection) -> list[WithheldRight]:
    """Every right that is withheld now, oldest first."""
    rows = connection.execute(select(withheld_rights).order_by(withheld_rights.c.created_at))
    return [WithheldRight.model_validate(dict(row)) for row in rows.mappings()]


def _note(
    connection: Connection, what: str, *, by: str, tenant: str, customer: str, why: str = ""
) -> None:
    # A customer may be called by an e-mail address, and entries outlive what they are about.
    whose = "all" if customer == EVERY_CUSTOMER else "one"
    digests = {} if whose == "all" else {"customer_sha256": digest(customer)}
    entry = Entry(
        kind=AuditKind.RIGHT,
        who=by,
        what=what,
        why=why,
        tenant=tenant,
        detail={"customers": whose, **digests},
    )
    audit.add(connection, entry)
