"""A tenant with one of everything that has an id, as a busy fleet would hold it."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from fleet_contracts.envelope import build_envelope
from fleet_contracts.outcome import ReviewKind
from fleet_workers.store import dead_letters, erasure_requests, pauses, replays, schedules, switches
from fleet_workers.store.accounts import keys
from fleet_workers.store.dead_letters import DeadLetterFilter
from fleet_workers.store.schedule_models import NewSchedule
from fleet_workers.web.people import Account, create_person
from support.desk import open_item
from support.ended_tasks import Ended, write_ended
from support.web_server import Site

KINDS = tuple(ReviewKind)


@dataclass(frozen=True, kw_only=True)
class Population:
    """Ids of a tenant, under the names that paths of the API give them."""

    task_id: tuple[UUID, ...]
    review_id: tuple[UUID, ...]
    letter_id: tuple[UUID, ...]
    job_id: tuple[UUID, ...]
    key_id: tuple[UUID, ...]
    person_id: tuple[UUID, ...]
    erasure_id: tuple[UUID, ...]
    schedule_id: tuple[UUID, ...]

    def of(self, name: str) -> tuple[UUID, ...]:
        found: tuple[UUID, ...] = getattr(self, name)
        return found


def populate(site: Site, tenant: str) -> Population:
    """Add one of everything, and reviews of every kind."""
    held = site.claimed(tenant=tenant)
    site.journal(held)
    ended = [Ended(tenant=tenant), Ended(tenant=tenant, state="rejected", kind="rejected")]
    write_ended(site.engine, ended)
    reviews = tuple(_reviews(site, tenant))
    site.key("viewer", tenant)
    with site.engine.begin() as connection:
        envelope = build_envelope(agent="billing", tenant=tenant, input="Where is it?")
        letter = dead_letters.add(
            connection,
            reason="attempts_used_up",
            error="The endpoint is away.",
            body=envelope.to_json(),
            tenant=tenant,
            agent="billing",
            attempts=[{"attempt": 1, "code": "unavailable"}],
        )
        job = replays.request(connection, DeadLetterFilter(tenant=tenant), per_second=1, by="p")
        account = Account(
            tenant=tenant, email=f"eve@{tenant}.test", name="Eve", role="reviewer", groups=["first"]
        )
        person = create_person(connection, account, by="tests")
        key = next(
            each
            for each in keys(connection, tenant=tenant, limit=200, revoked=False)
            if each.role == "viewer"
        )
        new = NewSchedule(tenant=tenant, name="figures", cron="0 8 * * *", task={"input": "x"})
        schedule = schedules.add(connection, new, by="tests")
        pauses.pause(connection, agent="onboarding", tenant=tenant, reason="r", paused_by="tests")
        erasure = erasure_requests.request(
            connection, tenant=tenant, customer="gone", cancel_open=False, by="tests"
        )
        switches.disable(
            connection,
            tool="refund_payment",
            tenant=tenant,
            agent="billing",
            reason="r",
            disabled_by="tests",
        )
    return Population(
        task_id=(held.task_id, site.accepted(tenant), *(each.id for each in ended)),
        review_id=reviews,
        letter_id=(letter.id,),
        job_id=(job.id,),
        key_id=(key.id,),
        person_id=(person.id,),
        erasure_id=(erasure.id,),
        schedule_id=(schedule.id,),
    )


def _reviews(site: Site, tenant: str) -> Iterator[UUID]:
    for kind in KINDS:
        answer = None if kind is ReviewKind.APPROVAL else "It was booked twice."
        yield open_item(site, kind, answer=answer, tenant=tenant).id
