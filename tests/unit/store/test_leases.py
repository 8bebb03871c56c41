"""The keeper of leases: present while its process lives, and never sure for longer than that."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from threading import Thread
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.errors import LeaseLost
from fleet_workers.store import claims, pauses, recovery, tasks
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.engine import open_engine
from fleet_workers.store.leases import PRESENCE_LOCKS, LeaseKeeper

_presences = count(1000)
_OFTEN = timedelta(seconds=0.05)


def holder(*, lease: float = 10.0, silence: float = 0.2) -> Holder:
    return Holder(
        worker="w1",
        presence=next(_presences),
        lease=timedelta(seconds=lease),
        silence=timedelta(seconds=silence),
    )


@contextmanager
def keeping(engine: Engine, held_by: Holder) -> Iterator[LeaseKeeper]:
    """A keeper with a connection of its own, as a worker process has one."""
    own = open_engine(
        engine.url.render_as_string(hide_password=False),
        connections=1,
        application=f"leases of {held_by.presence}",
        ping=False,
    )
    keeper = LeaseKeeper(own, held_by, every=_OFTEN)
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()
        own.dispose()


def claimed(engine: Engine, by: Holder, envelope: TaskEnvelope | None = None) -> Claim:
    new = envelope or build_envelope(tenant="acme", agent="billing", input="hello")
    with engine.begin() as connection:
        tasks.accept(connection, new, traceparent=None)
        claim = claims.claim(connection, new.id, by)
    assert claim is not None
    return claim


def cut(engine: Engine, held_by: Holder) -> None:
    """End the keeper's connection on the server's side."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :a"
            ),
            {"a": f"leases of {held_by.presence}"},
        )


def is_present(engine: Engine, held_by: Holder) -> bool:
    with engine.begin() as connection:
        query = text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND classid = :locks AND objid = :presence"
        )
        found = connection.execute(query, {"locks": PRESENCE_LOCKS, "presence": held_by.presence})
        return bool(found.scalar_one())


def lease_seconds(engine: Engine, claim: Claim) -> float:
    """What is left of a lease by the store's clock."""
    with engine.begin() as connection:
        query = text("SELECT extract(epoch FROM lease_until - now()) FROM tasks WHERE id = :id")
        return float(connection.execute(query, {"id": claim.task_id}).scalar_one())


def wait_for(look: Callable[[], bool], *, seconds: float = 20.0) -> None:
    ends_at = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < ends_at, "it has not come in time"
        time.sleep(0.02)


def abandoned(engine: Engine) -> list[UUID]:
    with engine.begin() as connection:
        return recovery.requeue_abandoned(connection, limit=100)


@pytest.fixture(autouse=True)
def _settled_server(engine: Engine) -> None:
    """In its first five seconds a server is given time for workers to be present again."""
    with engine.begin() as connection:
        age = text("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")
        wait_seconds = 5.1 - float(connection.execute(age).scalar_one())
    time.sleep(max(0.0, wait_seconds))


def test_a_keeper_that_was_cut_off_is_present_again_and_keeps_its_leases(engine: Engine) -> None:
    by = holder()
    with keeping(engine, by) as keeper:
        since = time.monotonic()
        claim = claimed(engine, by)
        keeper.hold(claim, since=since)
        assert is_present(engine, by)
        # When the server ends its connection
        cut(engine, by)
        wait_for(lambda: not is_present(engine, by) or lease_seconds(engine, claim) > 9.9)
        # I expect it to be back, the lease renewed since, and the task still its own
        wait_for(lambda: is_present(engine, by))
        before = lease_seconds(engine, claim)
        wait_for(lambda: lease_seconds(engine, claim) > before)
        keeper.check(claim)
        time.sleep(0.3)  # longer than its silence would have to last
        assert claim.task_id not in abandoned(engine)


def test_who_is_gone_and_silent_loses_its_task_long_before_the_lease_ends(engine: Engine) -> None:
    by = holder(lease=60)
    with keeping(engine, by) as keeper:
        claim = claimed(engine, by)
        keeper.hold(claim, since=time.monotonic())
    # Just gone, it may come back: not before it has been silent for a while
    wait_for(lambda: not is_present(engine, by))
    wait_for(lambda: claim.task_id in abandoned(engine), seconds=5)


def test_who_is_present_keeps_its_task_in_silence_until_the_lease_ends(engine: Engine) -> None:
    # Given a worker that is there, and renews nothing: it hangs
    by = holder(lease=1.5, silence=0.1)
    with keeping(engine, by):
        claim = claimed(engine, by)
        time.sleep(0.3)
        assert claim.task_id not in abandoned(engine)
        wait_for(lambda: claim.task_id in abandoned(engine), seconds=10)


def test_who_comes_back_within_its_silence_loses_nothing(engine: Engine) -> None:
    by = holder(lease=60, silence=30)
    claim = claimed(engine, by)
    assert not is_present(engine, by)
    assert claim.task_id not in abandoned(engine)


def test_a_lease_that_has_ended_by_the_own_clock_is_lost_without_asking(engine: Engine) -> None:
    by = holder(lease=0.2)
    keeper = LeaseKeeper(engine, by, every=_OFTEN)  # never started: nothing is renewed
    claim = claimed(engine, by)
    keeper.hold(claim, since=time.monotonic())
    keeper.check(claim)
    time.sleep(0.25)
    with pytest.raises(LeaseLost):
        keeper.check(claim)


def test_a_lease_counts_from_when_it_was_asked_for(engine: Engine) -> None:
    by = holder(lease=5)
    keeper = LeaseKeeper(engine, by, every=_OFTEN)
    claim = claimed(engine, by)
    keeper.hold(claim, since=time.monotonic() - 6)  # the answer took six seconds
    with pytest.raises(LeaseLost):
        keeper.check(claim)


def test_a_task_that_is_cancelled_is_lost_with_the_next_renewal(engine: Engine) -> None:
    by = holder()
    with keeping(engine, by) as keeper:
        kept, lost = claimed(engine, by), claimed(engine, by)
        for claim in (kept, lost):
            keeper.hold(claim, since=time.monotonic())
        with engine.begin() as connection:
            tasks.cancel(connection, lost.task_id, tenant="acme")
        wait_for(lambda: lost.task_id not in keeper.held)
        with pytest.raises(LeaseLost):
            keeper.check(lost)
        keeper.check(kept)


def test_an_older_claim_of_a_task_does_not_end_the_newer_one(engine: Engine) -> None:
    by = holder(lease=10)
    keeper = LeaseKeeper(engine, by, every=_OFTEN)
    envelope = build_envelope(tenant="acme", agent="billing", input="hello")
    older = claimed(engine, by, envelope)
    with engine.begin() as connection:
        recovery.requeue_held(connection, {older.task_id: older.epoch})
    newer = claimed(engine, by, envelope)
    keeper.hold(newer, since=time.monotonic())
    # When a slot that hung since the older claim goes on
    keeper.hold(older, since=time.monotonic())
    with pytest.raises(LeaseLost):
        keeper.check(older)
    keeper.let_go(older)
    keeper.check(newer)


def test_a_presence_that_the_server_still_holds_for_a_dead_connection_is_waited_for(
    engine: Engine,
) -> None:
    by = holder()
    with engine.connect() as dead:
        dead.execute(
            text("SELECT pg_advisory_lock(:locks, :presence)"),
            {"locks": PRESENCE_LOCKS, "presence": by.presence},
        )
        claim = claimed(engine, by)
        keeper = LeaseKeeper(engine, by, every=_OFTEN)
        starting = Thread(target=keeper.start)
        starting.start()
        keeper.hold(claim, since=time.monotonic())
        time.sleep(0.2)
        assert starting.is_alive()  # it is not ready
        dead.invalidate()
    starting.join(timeout=10)
    assert not starting.is_alive()
    wait_for(lambda: is_present(engine, by))
    keeper.check(claim)
    keeper.stop()


def test_a_keeper_that_was_stopped_is_no_longer_present(engine: Engine) -> None:
    by = holder()
    keeper = LeaseKeeper(engine, by, every=_OFTEN)
    keeper.start()
    assert is_present(engine, by)
    keeper.stop()
    wait_for(lambda: not is_present(engine, by), seconds=5)


def test_a_pause_is_known_with_the_next_renewal_and_so_is_its_end(engine: Engine) -> None:
    with keeping(engine, holder()) as keeper:
        assert not keeper.is_paused(agent="billing", tenant="acme")
        with engine.begin() as connection:
            pauses.pause(connection, agent="billing", tenant="*", reason="r", paused_by="p")
        wait_for(lambda: keeper.is_paused(agent="billing", tenant="acme"))
        assert not keeper.is_paused(agent="onboarding", tenant="acme")
        with engine.begin() as connection:
            pauses.resume(connection, agent="billing", tenant="*", resumed_by="p")
        wait_for(lambda: not keeper.is_paused(agent="billing", tenant="acme"))
