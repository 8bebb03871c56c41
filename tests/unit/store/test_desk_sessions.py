"""Sessions of people: what ends them, and that nobody waits for the note that they were seen."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.exc import DBAPIError

from fleet_workers.store import accounts, desk_sessions, people
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.desk_tables import desk_sessions as table
from fleet_workers.store.people import AddressTaken, Change, NewPerson, Person, UnknownPerson
from fleet_workers.store.row_security import for_tenant
from fleet_workers.store.tables import api_keys

IDLE = timedelta(hours=1)
LIFETIME = timedelta(hours=8)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection
        connection.rollback()


def somebody(connection: Connection, **fields: object) -> Person:
    given = {
        "tenant": "acme",
        "email": f"{uuid4().hex}@example.com",
        "name": "Ann",
        "role": "reviewer",
        **fields,
    }
    return people.add(connection, NewPerson(**given))  # type: ignore[arg-type]


def signed_in(connection: Connection, token: str) -> KeyHolder | None:
    found = desk_sessions.find(connection, token, idle=IDLE)
    return found and found.holder


def pass_time(connection: Connection, span: timedelta) -> None:
    connection.execute(
        update(table).values(
            created_at=table.c.created_at - span,
            seen_at=table.c.seen_at - span,
            expires_at=table.c.expires_at - span,
        )
    )


def rows(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_the_store_keeps_no_token(connection: Connection) -> None:
    token = desk_sessions.start(connection, somebody(connection).holder, lifetime=LIFETIME)
    kept = connection.execute(select(table)).one()
    assert len(token) >= 43
    assert token.encode() not in kept.token_hash
    assert token not in str(kept)


def test_a_persons_role_tenant_and_groups_are_read_anew(connection: Connection) -> None:
    person = somebody(connection, groups=("eu",), skills=("refunds",))
    token = desk_sessions.start(connection, person.holder, lifetime=LIFETIME)
    before = signed_in(connection, token)
    assert before is not None
    assert (before.groups, before.skills, before.person) == (("eu",), ("refunds",), person.id)
    people.change(connection, person, Change(role="operator", tenant="globex"))
    after = signed_in(connection, token)
    assert after is not None
    assert (after.role, after.tenant, after.groups) == ("operator", "globex", None)


def test_a_session_ends_by_time_by_idleness_and_at_sign_out(connection: Connection) -> None:
    holder = somebody(connection).holder
    token, other = (desk_sessions.start(connection, holder, lifetime=LIFETIME) for _ in range(2))
    pass_time(connection, IDLE - timedelta(seconds=5))
    desk_sessions.note_seen(connection, token)
    pass_time(connection, timedelta(minutes=1))
    assert signed_in(connection, token) is not None
    assert signed_in(connection, other) is None
    for _ in range(7):
        pass_time(connection, IDLE - timedelta(seconds=5))
        desk_sessions.note_seen(connection, token)
    assert signed_in(connection, token) is None
    fresh = desk_sessions.start(connection, holder, lifetime=LIFETIME)
    desk_sessions.end(connection, fresh)
    assert signed_in(connection, fresh) is None


def test_a_disabled_person_is_out_and_stays_out_when_enabled_again(connection: Connection) -> None:
    person = somebody(connection)
    token = desk_sessions.start(connection, person.holder, lifetime=LIFETIME)
    disabled = people.change(connection, person, Change(disabled=True))
    assert signed_in(connection, token) is None
    people.change(connection, disabled, Change(disabled=False))
    assert signed_in(connection, token) is None


def test_a_new_password_ends_all_sessions_of_that_person_only(connection: Connection) -> None:
    person, other = somebody(connection), somebody(connection)
    tokens = [desk_sessions.start(connection, person.holder, lifetime=LIFETIME) for _ in range(2)]
    kept = desk_sessions.start(connection, other.holder, lifetime=LIFETIME)
    people.change(connection, person, Change(password_hash="h"))
    assert [signed_in(connection, token) for token in tokens] == [None, None]
    assert signed_in(connection, kept) is not None


def test_an_admin_bound_to_a_tenant_ends_sessions_of_that_tenant_only(engine: Engine) -> None:
    with engine.begin() as connection:
        ann, bob = somebody(connection), somebody(connection, tenant="globex")
        tokens = [
            desk_sessions.start(connection, each.holder, lifetime=LIFETIME) for each in (ann, bob)
        ]
    with for_tenant(engine, "acme").begin() as bound:
        people.change(bound, people.find(bound, ann.id, tenant="acme"), Change(password_hash="h"))
        with pytest.raises(UnknownPerson):
            people.change(bound, bob, Change(password_hash="h"))
    with for_tenant(engine, "acme").begin() as bound, pytest.raises(DBAPIError):
        bound.execute(select(table.c.token_hash))
    with engine.begin() as connection:
        assert [signed_in(connection, token) is None for token in tokens] == [True, False]


def test_a_session_ends_with_its_key(connection: Connection) -> None:
    for ending in ({"revoked_at": func.now()}, {"expires_at": func.now()}):
        key = accounts.issue_key(
            connection, tenant="*", role="operator", label="x", rights=["submit"]
        )
        holder = accounts.holder_of(connection, key.text)
        assert holder is not None
        token = desk_sessions.start(connection, holder, lifetime=LIFETIME)
        assert signed_in(connection, token) == holder
        connection.execute(update(api_keys).where(api_keys.c.id == holder.id).values(**ending))
        assert signed_in(connection, token) is None


def test_being_seen_is_noted_once_a_minute(connection: Connection) -> None:
    token = desk_sessions.start(connection, somebody(connection).holder, lifetime=LIFETIME)

    def due(idle: timedelta) -> bool:
        found = desk_sessions.find(connection, token, idle=idle)
        assert found is not None
        return found.note_due

    assert not due(IDLE)
    pass_time(connection, timedelta(seconds=31))
    assert not due(IDLE)
    assert due(timedelta(minutes=1)), "a session that ends after a minute must be noted before"
    pass_time(connection, timedelta(seconds=30))
    assert due(IDLE)
    desk_sessions.note_seen(connection, token)
    assert not due(IDLE)


def test_nobody_waits_for_a_note_that_another_writes(engine: Engine) -> None:
    with engine.begin() as connection:
        person = somebody(connection)
        token = desk_sessions.start(connection, person.holder, lifetime=LIFETIME)
        key = accounts.add_key(connection, tenant="acme", role="viewer", label="x")
        holder = accounts.holder_of(connection, key)
        assert holder is not None
    with engine.begin() as first, engine.begin() as second:
        second.exec_driver_sql("SET LOCAL lock_timeout = 1")
        for each in (first, second):
            desk_sessions.note_seen(each, token)
            people.note_seen(each, person.id)
            accounts.note_use(each, holder.id)
    with engine.begin() as connection:
        used = accounts.find_key(connection, holder.id, tenant="acme").used_at
        assert used is not None
        assert people.find(connection, person.id, tenant="acme").seen_at is not None
        accounts.note_use(connection, holder.id)
        assert accounts.find_key(connection, holder.id, tenant=None).used_at == used


def test_rows_of_ended_sessions_are_deleted_and_no_others(connection: Connection) -> None:
    holder = somebody(connection).holder
    connection.execute(table.delete())
    desk_sessions.start(connection, holder, lifetime=timedelta(minutes=10))
    idle = desk_sessions.start(connection, holder, lifetime=LIFETIME)
    pass_time(connection, timedelta(minutes=11))
    assert desk_sessions.delete_expired(connection, idle=IDLE) == 1
    assert signed_in(connection, idle) is not None
    assert desk_sessions.delete_expired(connection, idle=timedelta(minutes=5)) == 1
    assert rows(connection) == 0


def test_an_address_belongs_to_one_person_of_all_tenants(connection: Connection) -> None:
    ann, bob = somebody(connection), somebody(connection, tenant="globex")
    for attempt in (
        lambda: somebody(connection, email=ann.email, tenant="globex"),
        lambda: people.change(connection, bob, Change(email=ann.email)),
    ):
        with pytest.raises(AddressTaken, match="choose another"):
            attempt()
    assert people.find(connection, bob.id, tenant="globex") == bob


def test_another_tenants_person_is_unknown(connection: Connection) -> None:
    person = somebody(connection)
    for wrong in (uuid4(), person.id):
        with pytest.raises(UnknownPerson):
            people.find(connection, wrong, tenant="globex")
    assert people.find(connection, person.id, tenant=None) == person


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(token=st.text(max_size=60))
def test_no_other_text_is_a_token(connection: Connection, token: str) -> None:
    desk_sessions.start(connection, somebody(connection).holder, lifetime=LIFETIME)
    assert desk_sessions.find(connection, token, idle=IDLE) is None
    assert accounts.holder_of(connection, token) is None


@pytest.mark.parametrize(
    ("role", "groups", "seen"),
    [
        ("reviewer", ("eu", "vip"), ("eu", "vip")),
        ("reviewer", (), None),
        ("operator", ("eu",), None),
        ("admin", ("eu",), None),
        ("viewer", ("eu",), None),
    ],
)
def test_groups_narrow_reviewers_only(
    connection: Connection, role: str, groups: tuple[str, ...], seen: tuple[str, ...] | None
) -> None:
    assert somebody(connection, role=role, groups=groups).holder.groups == seen
