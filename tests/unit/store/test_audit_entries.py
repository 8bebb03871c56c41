"""What an entry of the audit trail may hold, and when it is written."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from fleet_contracts.errors import InvalidInput
from fleet_workers.store import audit, audit_chain
from fleet_workers.store.audit import AuditKind, Entry, digest
from fleet_workers.store.audit_chain import parse_head
from fleet_workers.store.audit_releases import note_releases
from fleet_workers.store.audit_tables import audit_inbox
from fleet_workers.store.audit_verify import verify
from support.databases import temporary_store


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_store(connections=2) as engine:
        yield engine


def seal(engine: Engine) -> None:
    with engine.begin() as connection:
        audit_chain.seal(connection, limit=1000)


def test_a_rolled_back_transaction_leaves_no_entry(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin() as transaction:
        audit.add(connection, Entry(kind=AuditKind.PAUSE, who="undone", what="paused"))
        transaction.rollback()
    with engine.connect() as connection:
        rows = connection.execute(select(audit_inbox).where(audit_inbox.c.who == "undone"))
        assert rows.all() == []


def test_a_release_is_noted_once(engine: Engine) -> None:
    def start(releases: list[str]) -> list[str]:
        with engine.begin() as connection:
            return note_releases(connection, releases, worker="w1")

    assert start(["a@v1-0", "b@v1-0"]) == ["a@v1-0", "b@v1-0"]
    assert start(["a@v1-0", "b@v2-1"]) == ["b@v2-1"]
    seal(engine)
    assert start(["a@v1-0", "b@v2-1"]) == []
    assert start([]) == []


def test_a_detail_without_a_canonical_text_is_refused(engine: Engine) -> None:
    entry = Entry(kind=AuditKind.POLICY, who="ann", what="limit", detail={"limits": [{"usd": 0.1}]})
    with engine.begin() as connection, pytest.raises(ValueError, match="as text"):
        audit.add(connection, entry)


@pytest.mark.parametrize("written", ["", "5", "x:" + "0" * 64, "5:" + "0" * 63, "5:" + "G" * 64])
def test_a_head_in_another_form_is_refused(written: str) -> None:
    with pytest.raises(InvalidInput, match="POSITION:HASH"):
        parse_head(written)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(words=st.text(), detail=st.dictionaries(st.text(), JSON, max_size=4))
def test_whatever_an_entry_says_it_is_sealed_and_checked(
    engine: Engine, words: str, detail: dict[str, object]
) -> None:
    with engine.begin() as connection:
        entry = Entry(kind=AuditKind.POLICY, who=words, what=words, why=words, detail=detail)
        audit.add(connection, entry)
    seal(engine)
    with engine.connect() as connection:
        assert verify(connection).is_whole


@given(st.dictionaries(st.text(), JSON | st.floats(allow_nan=False, allow_infinity=False)))
def test_a_digest_depends_on_the_value_alone(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert digest(value) == digest(turned)
    assert digest({"amount": 40}) == digest({"amount": 40.0}) != digest({"amount": 41})
