"""The first content of the sandbox business: always the same, on a fixed day in June 2026."""

from collections import defaultdict
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, insert

from fleet_workers.embedded.business import tables
from fleet_workers.embedded.business.seed_accounts import ACCOUNTS, PLANS
from fleet_workers.embedded.business.seed_billing import billing_rows
from fleet_workers.embedded.business.seed_support import support_rows
from fleet_workers.embedded.business.seed_workspaces import workspace_rows

TODAY: Final = "2026-06-15"
"""The business's day: it stands still, so that the same requests always get the same answers."""

TENANTS: Final = ("acme", "globex")


def seed_rows() -> dict[str, list[dict[str, Any]]]:
    """Give every seeded row by the name of its table, in the order of writing."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rows["plans"] = [asdict(plan) for plan in PLANS]
    rows["customers"] = [
        {
            "id": account.id,
            "tenant": account.tenant,
            "name": account.name,
            "company": account.company,
            "email": account.email,
            "since": account.since,
        }
        for account in ACCOUNTS
    ]
    for source in (billing_rows(), support_rows(), workspace_rows()):
        for table, row in source:
            rows[table].append(row)
    return dict(rows)


def write_seed(connection: Connection) -> None:
    """Write all rows into empty tables."""
    for table, rows in seed_rows().items():
        connection.execute(insert(tables.metadata.tables[table]), rows)
