"""Withheld rights: whose calls they cover, how soon workers know, and what is kept of a change."""

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from fleet_workers.store import rights
from fleet_workers.store.audit_tables import audit_inbox
from fleet_workers.store.money_tables import withheld_rights
from fleet_workers.store.row_security import for_tenant
from fleet_workers.store.switchboard import Switchboard


@pytest.fixture(autouse=True)
def _nothing_withheld(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(withheld_rights.delete())


@pytest.fixture
def board(engine: Engine) -> Iterator[Switchboard]:
    board = Switchboard(engine)
    board.start()
    yield board
    board.stop()


def withhold(engine: Engine, name: str, *, customer: str = "*", reason: str = "no") -> str:
    with engine.begin() as connection:
        return rights.withhold(
            connection,
            tenant="acme",
            customer=customer,
            name=name,
            reason=reason,
            withheld_by="ann",
        ).reason


def restore(engine: Engine, name: str, *, customer: str = "*") -> bool:
    with engine.begin() as connection:
        return rights.restore(
            connection, tenant="acme", customer=customer, name=name, restored_by="bob"
        )


def is_withheld(
    board: Switchboard, *names: str, tenant: str = "acme", customer: str | None = "c1"
) -> bool:
    return board.withheld(frozenset(names), tenant=tenant, customer=customer) is not None


def soon(board: Switchboard, *names: str, expected: bool = True) -> None:
    end = time.monotonic() + 1
    while is_withheld(board, *names) is not expected:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_right_is_withheld_for_a_tenant_or_a_customer_and_known_at_once(
    engine: Engine, board: Switchboard
) -> None:
    withhold(engine, "refund")
    withhold(engine, "payments:write", customer="c1")
    soon(board, "payments:write")
    assert is_withheld(board, "refund", "other", customer=None)
    assert not is_withheld(board, "refund", tenant="globex")
    assert not is_withheld(board, "payments:write", customer="c2")
    assert not is_withheld(board, "payments:write", customer=None)
    assert not is_withheld(board, "payments")
    assert restore(engine, "payments:write", customer="c1")
    soon(board, "payments:write", expected=False)
    assert not restore(engine, "refund", customer="c1")
    assert is_withheld(board, "refund")


def test_each_change_is_an_entry_that_names_no_customer(engine: Engine) -> None:
    assert withhold(engine, "refund", customer="ann@example.com", reason="asked by them") == (
        "asked by them"
    )
    assert withhold(engine, "refund", customer="ann@example.com", reason="other") == (
        "asked by them"
    )
    restore(engine, "refund", customer="ann@example.com")
    restore(engine, "refund", customer="ann@example.com")
    with engine.connect() as connection:
        query = select(audit_inbox).where(audit_inbox.c.kind == "right").order_by(audit_inbox.c.id)
        found = connection.execute(query).all()[-2:]
    assert [(each.who, each.what, each.why, each.tenant) for each in found] == [
        ("ann", "refund withheld", "asked by them", "acme"),
        ("bob", "refund restored", "", "acme"),
    ]
    assert "ann@" not in str([each.detail for each in found])
    assert len(found[0].detail["customer_sha256"]) == 64


def test_a_tenants_key_sees_and_changes_its_own_rights_only(engine: Engine) -> None:
    withhold(engine, "refund")
    other = for_tenant(engine, "globex")
    with other.begin() as connection:
        assert rights.all_withheld(connection) == []
    assert not restore(other, "refund")
    with pytest.raises(Exception, match="row-level security"):
        withhold(other, "courier")
    own = for_tenant(engine, "acme")
    withhold(own, "courier")
    assert restore(own, "refund")
    with engine.connect() as connection:
        assert [each.name for each in rights.all_withheld(connection)] == ["courier"]
