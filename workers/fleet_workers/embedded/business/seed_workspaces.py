"""The customers' workspaces, who works in them, what they import and which calls they booked."""

from collections.abc import Iterator
from typing import Any, Final

from fleet_workers.embedded.business.seed_accounts import ACCOUNTS, Account

# Everybody but the two newest customers has a workspace; this is what differs from a healthy one.
_NO_WORKSPACE: Final = {"cus_acme_13", "cus_globex_12"}
_UNUSUAL: Final[dict[str, dict[str, Any]]] = {
    "cus_acme_07": {
        "status": "suspended",
        "suspended_because": "invoice inv_2072 is overdue since 2026-05-15",
    },
    "cus_acme_15": {"storage_used_gb": 10},
    "cus_acme_18": {"failed_webhooks": 41, "api_access": "expired"},
    "cus_globex_06": {"storage_used_gb": 246},
    "cus_globex_07": {
        "status": "suspended",
        "suspended_because": "security hold: unusual downloads on 2026-06-11",
    },
    "cus_globex_15": {"storage_used_gb": 5},
    "cus_globex_16": {"failed_webhooks": 7},
}

# Colleagues beside the owner: customer, name before the @, role, status.
_COLLEAGUES: Final = (
    ("cus_acme_01", "paul", "member", "active"),
    ("cus_acme_01", "nina", "member", "active"),
    ("cus_acme_02", "ada", "admin", "active"),
    ("cus_acme_02", "kofi", "member", "active"),
    ("cus_acme_04", "ruth", "member", "active"),
    ("cus_acme_05", "kenji", "admin", "active"),
    ("cus_acme_05", "yui", "member", "active"),
    ("cus_acme_07", "ravi", "member", "active"),
    ("cus_acme_09", "ivan", "member", "active"),
    ("cus_acme_12", "susan", "member", "locked"),
    ("cus_acme_12", "helen", "admin", "active"),
    ("cus_acme_16", "leo", "admin", "active"),
    ("cus_acme_17", "lisa", "member", "active"),
    ("cus_acme_18", "sean", "member", "active"),
    ("cus_globex_01", "dora", "member", "active"),
    ("cus_globex_02", "imran", "admin", "active"),
    ("cus_globex_05", "aoife", "member", "active"),
    ("cus_globex_06", "jun", "admin", "active"),
    ("cus_globex_09", "claire", "admin", "active"),
    ("cus_globex_09", "hugo", "member", "locked"),
    ("cus_globex_13", "anna", "member", "active"),
    ("cus_globex_16", "tom", "member", "active"),
)
_LOCKED_OWNERS: Final = {"cus_acme_12", "cus_globex_11"}

# The columns: id, customer, e-mail, role, status, day.
_INVITATIONS: Final = (
    ("ivt_7001", "cus_acme_08", "rose@whitfield.example", "member", "pending", "2026-06-05"),
    ("ivt_7002", "cus_acme_17", "max@webersport.example", "member", "accepted", "2026-05-22"),
    (
        "ivt_7003",
        "cus_acme_05",
        "haruto@tanaka-robotics.example",
        "member",
        "expired",
        "2026-04-02",
    ),
    ("ivt_7501", "cus_globex_08", "petr@novakyoga.example", "member", "expired", "2026-06-03"),
    ("ivt_7502", "cus_globex_13", "felix@schneideroptik.example", "admin", "pending", "2026-06-10"),
)

# The columns: id, customer, source, status, rows done, rows in all, error, day.
_IMPORTS: Final = (
    (
        "imp_8001",
        "cus_acme_08",
        "csv",
        "failed",
        112,
        340,
        "row 113: the column 'due date' holds 31/06/2026, which is no date",
        "2026-06-06",
    ),
    ("imp_8002", "cus_acme_17", "trello", "running", 1800, 2400, None, "2026-06-15"),
    ("imp_8003", "cus_acme_01", "asana", "completed", 960, 960, None, "2024-03-14"),
    (
        "imp_8501",
        "cus_globex_13",
        "csv",
        "failed",
        0,
        5120,
        "the file is not UTF-8: save it as CSV UTF-8 and start again",
        "2026-06-11",
    ),
    ("imp_8502", "cus_globex_01", "excel", "completed", 410, 410, None, "2024-02-11"),
)

_SLOTS: Final = tuple(
    (tenant, number, starts_at, host)
    for tenant, host in (("acme", "Nora Blum"), ("globex", "Felipe Duarte"))
    for number, starts_at in enumerate(
        (
            "2026-06-17T09:00:00Z",
            "2026-06-17T14:00:00Z",
            "2026-06-18T10:00:00Z",
            "2026-06-18T15:30:00Z",
            "2026-06-19T09:00:00Z",
            "2026-06-22T11:00:00Z",
            "2026-06-23T14:00:00Z",
            "2026-06-24T16:00:00Z",
        ),
        start=1,
    )
)

_SESSIONS: Final = (
    ("ses_9001", "cus_acme_17", "slot_acme_03", "Bring our Trello boards over"),
    ("ses_9501", "cus_globex_16", "slot_globex_05", "Automations for teachers"),
)


def workspace_id(account: Account) -> str:
    """The id of a seeded customer's workspace, such as ws_acme_01."""
    return account.id.replace("cus_", "ws_")


def workspace_rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give (table name, row) for workspaces, members, invitations, imports, slots, sessions."""
    accounts = {account.id: account for account in ACCOUNTS}
    for account in ACCOUNTS:
        if account.id not in _NO_WORKSPACE:
            yield "workspaces", _workspace(account)
            status = "locked" if account.id in _LOCKED_OWNERS else "active"
            yield "members", _member(account, account.email, "owner", status)
    for customer, name, role, status in _COLLEAGUES:
        account = accounts[customer]
        domain = account.email.partition("@")[2]
        yield "members", _member(account, f"{name}@{domain}", role, status)
    for invitation, customer, email, role, status, day in _INVITATIONS:
        invited = {"email": email, "role": role, "status": status, "sent_on": day}
        yield "invitations", {"id": invitation, **_place(accounts[customer]), **invited}
    for each, customer, source, status, done, total, error, day in _IMPORTS:
        row: dict[str, Any] = {"source": source, "status": status, "error": error}
        row |= {"rows_done": done, "rows_total": total, "started_on": day}
        yield "imports", {"id": each, **_place(accounts[customer]), **row}
    for tenant, number, starts_at, host in _SLOTS:
        slot = {"id": f"slot_{tenant}_{number:02d}", "tenant": tenant, "starts_at": starts_at}
        yield "slots", {**slot, "minutes": 45, "host": host}
    for session, customer, taken, topic in _SESSIONS:
        owner = {"tenant": accounts[customer].tenant, "customer": customer}
        yield "sessions", {"id": session, **owner, "slot": taken, "topic": topic}


def _place(account: Account) -> dict[str, Any]:
    return {"workspace": workspace_id(account)}


def _member(account: Account, email: str, role: str, status: str) -> dict[str, Any]:
    return {**_place(account), "email": email, "role": role, "status": status}


def _workspace(account: Account) -> dict[str, Any]:
    return {
        "id": workspace_id(account),
        "tenant": account.tenant,
        "customer": account.id,
        "name": account.company,
        "region": "eu" if account.number % 2 else "us",
        "status": "active",
        "suspended_because": None,
        "storage_used_gb": 1,
        "failed_webhooks": 0,
        "api_access": "valid",
        "created_on": account.since,
        **_UNUSUAL.get(account.id, {}),
    }
