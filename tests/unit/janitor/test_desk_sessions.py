"""The janitor deletes sessions that have ended, and leaves the others."""

from datetime import timedelta

from sqlalchemy import Engine, select

from fleet_workers.janitor.desk_sessions import delete_ended_sessions
from fleet_workers.store import desk_sessions, people
from fleet_workers.store.desk_tables import desk_sessions as table
from fleet_workers.store.people import NewPerson


def test_ended_sessions_go_and_others_stay(engine: Engine) -> None:
    new = NewPerson(tenant="acme", email="ann@example.com", name="Ann", role="viewer")
    with engine.begin() as connection:
        holder = people.add(connection, new).holder
        for minutes in (-1, 60):
            desk_sessions.start(connection, holder, lifetime=timedelta(minutes=minutes))
    assert delete_ended_sessions(engine, idle=timedelta(hours=1)) == 0
    with engine.begin() as connection:
        left = connection.execute(select(table.c.expires_at - table.c.created_at)).scalars().all()
    assert left == [timedelta(minutes=60)]
