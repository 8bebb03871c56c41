"""The record of effects is right: once per key, whatever happens at the same time."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.business_server import client_of, running_business

REFUND = {"amount_usd": "49.00", "reason": "charged twice"}


def effects(url: str, **wanted: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx2.get(f"{url}/effects", params=wanted).json()["effects"]
    return found


def refund(
    client: httpx2.Client, key: str | None, body: dict[str, str] = REFUND, payment: str = "pay_3019"
) -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(f"/payments/{payment}/refunds", json=body, headers=headers)


def test_twenty_refunds_at_once_under_one_key_pay_once_and_answer_alike(url: str) -> None:
    with client_of(url) as client, ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: refund(client, "one-key"), range(20)))
        payments = client.get("/payments").json()["payments"]

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert [each["refunded_usd"] for each in payments if each["payment_id"] == "pay_3019"] == [
        "49.00"
    ]
    outcomes = [each["outcome"] for each in effects(url, idempotency_key="one-key")]
    assert outcomes == ["applied", *["replayed"] * 19]


def test_refunds_at_once_under_different_keys_never_exceed_what_was_paid(url: str) -> None:
    body = {"amount_usd": "10.00", "reason": "charged twice"}
    with client_of(url) as client, ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: refund(client, f"key-{number}", body), range(20)))

    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [409] * 16
    outcomes = [each["outcome"] for each in effects(url, action="refund_payment")]
    assert sorted(outcomes) == ["applied"] * 4 + ["refused"] * 16


def test_a_key_used_for_something_else_is_a_conflict_and_changes_nothing(url: str) -> None:
    with client_of(url) as client:
        refund(client, "key")
        other_body = refund(client, "key", {**REFUND, "amount_usd": "1.00"})
        other_action = client.post("/credits", json=REFUND, headers={"Idempotency-Key": "key"})
    with client_of(url, customer="cus_acme_04") as stranger:
        other_customer = refund(stranger, "key")

    assert {other_body.status_code, other_action.status_code, other_customer.status_code} == {409}
    assert "send a new key" in other_body.json()["detail"]
    assert [each["outcome"] for each in effects(url)] == ["applied"] + ["conflict"] * 3


def test_the_same_key_of_two_tenants_stands_for_two_things(url: str) -> None:
    with client_of(url) as acme, client_of(url, "globex", "cus_globex_01") as globex:
        first = refund(acme, "key")
        second = refund(globex, "key", {**REFUND, "amount_usd": "39.00"}, "pay_3519")

    assert (first.status_code, second.status_code) == (201, 201)


def test_a_refusal_is_an_answer_too_and_stays_the_same_under_its_key(url: str) -> None:
    with client_of(url, customer="cus_acme_02") as client:
        first = refund(client, "key", payment="pay_3023")
        second = refund(client, "key", payment="pay_3023")

    assert first.status_code == second.status_code == 409
    assert first.text == second.text
    assert [each["outcome"] for each in effects(url)] == ["refused", "replayed"]


def test_without_a_key_every_ask_counts(url: str) -> None:
    with client_of(url) as client:
        for _ in range(2):
            client.post("/credits", json={"amount_usd": "5.00", "reason": "outage"})
        balance = client.get("/credits").json()["balance_usd"]

    assert balance == "10.00"
    assert [each["idempotency_key"] for each in effects(url, action="apply_credit")] == [None, None]


def test_what_was_done_is_still_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "business.sqlite"
    with running_business(path) as url, client_of(url) as client:
        first = refund(client, "key")
    with running_business(path) as url, client_of(url) as client:
        second = refund(client, "key")
        outcomes = [each["outcome"] for each in effects(url)]

    assert first.text == second.text
    assert outcomes == ["applied", "replayed"]


def test_nobody_can_rewrite_the_record(url: str, tmp_path: Path) -> None:
    with client_of(url) as client:
        refund(client, "key")
    connection = sqlite3.connect(tmp_path / "business.sqlite", isolation_level=None)
    try:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("DELETE FROM effects")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("UPDATE effects SET outcome = 'replayed'")
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            connection.execute(
                "INSERT INTO effects (tenant, customer, action, arguments, idempotency_key, "
                "outcome, status, answer, at) SELECT tenant, customer, action, arguments, "
                "idempotency_key, outcome, status, answer, at FROM effects"
            )
    finally:
        connection.close()


def test_effects_are_listed_in_order_and_page_by_page(url: str) -> None:
    with client_of(url) as client:
        for number in range(5):
            refund(client, f"key-{number}", {"amount_usd": "1.00", "reason": "test"})

    first = effects(url, limit="3")
    rest = effects(url, after=str(first[-1]["id"]))
    keys = [each["idempotency_key"] for each in first + rest]
    assert keys == [f"key-{number}" for number in range(5)]
    assert effects(url, tenant="globex") == []


def test_a_hundred_callers_read_and_write_at_once_without_an_error(url: str) -> None:
    def work(number: int) -> set[int]:
        customer = f"cus_acme_{number % 18 + 1:02d}"
        with client_of(url, customer=customer) as client:
            return {
                client.get("/payments").status_code,
                client.post(
                    "/workspaces",
                    json={"name": f"Room {number}"},
                    headers={"Idempotency-Key": f"room-{number}"},
                ).status_code,
                client.get("/workspaces").status_code,
            }

    with ThreadPoolExecutor(100) as pool:
        statuses = set().union(*pool.map(work, range(100)))

    assert statuses <= {200, 201, 409}
    assert len(effects(url, action="create_workspace")) == 100
