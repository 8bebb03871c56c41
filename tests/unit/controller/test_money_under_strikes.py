"""Whatever dies, stalls, or is taken over: what was paid is in the ledger, and under the limit."""

from contextlib import suppress
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from fleet_contracts.errors import Unavailable
from fleet_workers.review.decisions import Ruling, decide
from unit.controller.gated import GatedWorld, gated_world
from unit.machine.choices import STRUCK
from unit.machine.strikes import Strike

WISHES = st.lists(st.sampled_from(["refund", "large_refund", "note"]), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tasks=st.lists(WISHES, min_size=1, max_size=3),
    rounds=st.lists(st.one_of(st.just([]), STRUCK), min_size=1, max_size=5),
    limit=st.sampled_from([5, 10, 505, 1000]),
    repeat=st.sampled_from(["idempotent", "none"]),
    is_taken_over=st.booleans(),
)
def test_what_was_paid_is_counted_and_under_the_limit(
    engine: Engine,
    *,
    tasks: list[list[str]],
    rounds: list[list[Strike]],
    limit: int,
    repeat: str,
    is_taken_over: bool,
) -> None:
    with gated_world(engine) as world:
        world.agent_file(refund={"repeat": repeat}, spend={"moved_per_tenant_day": limit})
        for wishes in tasks:
            world.submit(wishes)
        for strikes in rounds:
            work(world, strikes)
            if world.stalled and is_taken_over:
                world.end_lease(0, cut=False)
                work(world, [])
            go_on(world)
            find_out(world)
        world.settle()
        kept = sum((amount for _, amount in world.entries()), Decimal(0))
        assert world.paid_out() <= world.total() == kept <= limit


def work(world: GatedWorld, strikes: list[Strike]) -> None:
    with suppress(Unavailable):
        world.work(*strikes)
    world.pass_time()
    with suppress(Unavailable):
        world.sweep()


def go_on(world: GatedWorld) -> None:
    """Whoever was stalled wakes up, and believes that the task is still its own."""
    while world.stalled:
        with suppress(Unavailable):
            world.wake(0, ())


def find_out(world: GatedWorld) -> None:
    """A person looks whether a call in doubt was done, and says so where it was not."""
    for item in world.rows("reviews"):
        if item.state != "waiting" or item.kind != "in_doubt":
            continue
        order = item.packet["proposal"]["arguments"]["order"]
        if any(each.order == order for each in world.business.effects):
            continue
        world.change(lambda connection, item=item: reject(connection, item))


def reject(connection: Any, item: Any) -> Any:
    return decide(
        connection,
        item.id,
        tenant=None,
        ruling=Ruling.REJECT,
        text="It was not done.",
        decided_by="ann",
    )
