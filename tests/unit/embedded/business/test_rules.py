"""The sandbox business keeps its rules, and keeps customers and tenants apart."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.embedded.business.database import BusinessDatabase
from fleet_workers.embedded.business.seed import TENANTS, seed_rows
from support.business_server import client_of, running_business


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One business for all tests of this file: what is refused changes nothing."""
    with running_business(tmp_path_factory.mktemp("rules") / "business.sqlite") as address:
        yield address


@pytest.mark.parametrize(
    ("customer", "path", "body", "status", "words"),
    [
        ("02", "/payments/pay_3023/refunds", {"amount_usd": "1", "reason": "why"}, 409, "failed"),
        ("04", "/payments/pay_3042/refunds", {"amount_usd": "1", "reason": "why"}, 409, "0.00 USD"),
        ("09", "/payments/pay_3093/refunds", {"amount_usd": "30", "reason": "why"}, 409, "29.00"),
        (
            "01",
            "/payments/pay_3043/refunds",
            {"amount_usd": "1", "reason": "why"},
            404,
            "no payment",
        ),
        ("01", "/payments/pay_3013/refunds", {"amount_usd": "0", "reason": "why"}, 422, "amount"),
        ("01", "/payments/pay_3013/refunds", {"amount_usd": "-5", "reason": "why"}, 422, "amount"),
        ("01", "/payments/pay_3013/refunds", {"amount_usd": "NaN", "reason": "why"}, 422, "amount"),
        ("01", "/credits", {"amount_usd": "500.01", "reason": "why"}, 422, "at most"),
        ("10", "/credits", {"amount_usd": "5", "reason": "why"}, 409, "cancelled"),
        ("01", "/subscription/plan", {"plan_id": "platinum"}, 422, "starter"),
        ("01", "/subscription/plan", {"plan_id": "pro"}, 422, "no plan pro"),
        ("01", "/subscription/plan", {"plan_id": "team"}, 409, "already"),
        ("01", "/subscription/plan", {"plan_id": "free"}, 409, "people"),
        ("02", "/subscription/plan", {"plan_id": "team"}, 409, "unpaid"),
        ("13", "/subscription/plan", {"plan_id": "team"}, 404, "no subscription"),
        ("01", "/workspaces", {"name": "keller DESIGN"}, 409, "already"),
        (
            "01",
            "/workspaces/ws_acme_01/invitations",
            {"email": "Paul@kellerdesign.example"},
            409,
            "member",
        ),
        (
            "08",
            "/workspaces/ws_acme_08/invitations",
            {"email": "rose@whitfield.example"},
            409,
            "invited already",
        ),
        ("07", "/workspaces/ws_acme_07/invitations", {"email": "a@b.example"}, 409, "suspended"),
        ("01", "/workspaces/ws_acme_02/invitations", {"email": "a@b.example"}, 404, "no workspace"),
        ("17", "/workspaces/ws_acme_17/imports", {"source": "csv"}, 409, "imp_8002"),
        ("01", "/sessions", {"slot_id": "slot_acme_03", "topic": "set-up"}, 409, "taken"),
        ("01", "/sessions", {"slot_id": "slot_globex_01", "topic": "set-up"}, 404, "no slot"),
        ("01", "/credential-resets", {"email": "david@kimlegal.example"}, 404, "no member"),
        (
            "01",
            "/incidents",
            {"service": "moon", "title": "dark", "description": "dark"},
            422,
            "web app",
        ),
        ("99", "/workspaces", {"name": "Nowhere"}, 404, "no customer"),
    ],
)
def test_a_wish_against_the_rules_is_refused_with_a_reason(  # noqa: PLR0917  columns of the table
    url: str, customer: str, path: str, body: dict[str, str], status: int, words: str
) -> None:
    with client_of(url, customer=f"cus_acme_{customer}") as client:
        answer = client.post(path, json=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


OWN_PATHS = [
    "/customer",
    "/subscription",
    "/invoices",
    "/payments",
    "/credits",
    "/incidents",
    "/workspaces",
    "/onboarding",
]


@pytest.mark.parametrize("path", OWN_PATHS)
def test_another_tenants_customer_is_not_there(url: str, path: str) -> None:
    with client_of(url, tenant="globex", customer="cus_acme_01") as client:
        assert client.get(path).status_code == 404
    with client_of(url, tenant="acme", customer="cus_acme_01") as client:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/invoices/inv_2021", "/workspaces/ws_acme_02", "/workspaces/ws_acme_02/diagnosis"]
)
def test_another_customers_things_are_not_there(url: str, path: str) -> None:
    with client_of(url) as client:
        assert client.get(path).status_code == 404
    with client_of(url, customer="cus_acme_02") as client:
        assert client.get(path).status_code == 200


def test_a_customer_sees_own_incidents_and_those_of_everybody(url: str) -> None:
    with client_of(url, customer="cus_acme_12") as client:
        own = {each["incident_id"] for each in client.get("/incidents").json()["incidents"]}
    with client_of(url) as client:
        others = {each["incident_id"] for each in client.get("/incidents").json()["incidents"]}

    assert own - others == {"inc_6003"}


def test_requests_without_headers_are_told_what_is_missing(url: str) -> None:
    with client_of(url) as client:
        del client.headers["X-Customer"]
        answer = client.get("/invoices")

    assert answer.status_code == 422
    assert "x-customer" in answer.json()["detail"]


def test_the_seed_is_always_the_same_and_big_enough() -> None:
    rows = seed_rows()

    assert json.dumps(rows) == json.dumps(seed_rows())
    for tenant in TENANTS:
        assert sum(row["tenant"] == tenant for row in rows["customers"]) >= 15
    for name, key in (("invoices", "id"), ("payments", "id"), ("workspaces", "id")):
        ids = sorted(row[key] for row in rows[name])
        assert all(first != second for first, second in pairwise(ids))


def test_every_seeded_invoice_adds_up() -> None:
    rows = seed_rows()
    for invoice in rows["invoices"]:
        lines = [row for row in rows["invoice_lines"] if row["invoice"] == invoice["id"]]
        assert sum(row["amount_cents"] for row in lines) == invoice["total_cents"] > 0
        assert invoice["due_on"] > invoice["issued_on"]


def test_a_file_of_another_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "business.sqlite"
    database = BusinessDatabase(path)
    with database.writing() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 99")
    database.close()

    with pytest.raises(ConfigurationError, match="delete it"):
        BusinessDatabase(path)
