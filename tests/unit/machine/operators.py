"""What janitors, operators and people do, one rule each."""

from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from sqlalchemy import Connection, Engine, text

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import (
    AlreadyDecided,
    InvalidInput,
    UnknownReview,
)
from fleet_contracts.outcome import ReviewKind
from fleet_workers.deadletters.errors import AlreadySettled
from fleet_workers.review.decisions import Ruling, decide
from fleet_workers.store import pauses, recovery, reviews, tasks
from fleet_workers.store.outbox import Letter
from fleet_workers.store.reviews import ReviewItem
from unit.machine.choices import PLACES, SENDING
from unit.machine.ground import World
from unit.machine.strikes import CUT_IS_FELT_AFTER, Strike
from unit.machine.verdict import People

_PROPOSED = {ReviewKind.APPROVAL, ReviewKind.IN_DOUBT, ReviewKind.LOW_CONFIDENCE}


class OperatorRules(RuleBasedStateMachine):
    """A world, and what is done to it by those who look after it."""

    engine: ClassVar[Engine]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.engine)
        with self.engine.begin() as connection:
            connection.execute(text("DELETE FROM seen"))
        self.people = People()
        self.submitted: list[TaskEnvelope] = []
        self._seen = 0

    @rule(strikes=SENDING, later=st.booleans())
    def sweep(self, strikes: list[Strike], later: bool) -> None:
        if later:
            self.world.pass_time()
        self.world.sweep(strikes)

    @precondition(lambda self: self.submitted)
    @rule(
        place=PLACES,
        what=st.sampled_from(("pause", "resume") * 4 + ("cancel", "expire")),
        agent=st.sampled_from(("*", "clerk", "auto")),
        tenant=st.sampled_from(("*", "acme")),
    )
    def operate(self, place: int, what: str, agent: str, tenant: str) -> None:
        match what:
            case "pause":
                with self.engine.begin() as connection:
                    pauses.pause(
                        connection, agent=agent, tenant=tenant, reason="test", paused_by="test"
                    )
            case "resume":
                self._resume_all()
            case _:
                envelope = self.submitted[place % len(self.submitted)]
                self._end(envelope.id, expires=what == "expire")

    def _end(self, task_id: UUID, *, expires: bool) -> None:
        def work(connection: Connection) -> None:
            if expires:
                query = text("UPDATE tasks SET deadline = now() - interval '1 s' WHERE id = :id")
                connection.execute(query, {"id": task_id})
                recovery.expire_overdue(connection, limit=10)
            elif tasks.cancel(connection, task_id, tenant="acme"):
                reviews.close(connection, [task_id], why="cancelled")

        self.world.change(work)
        for run, process in self.world.stalled:
            if task_id in process.guardian.held and run.stalled_at in CUT_IS_FELT_AFTER:
                process.guardian.is_over = True  # its next renewal tells it

    def _resume_all(self) -> None:
        with self.engine.begin() as connection:
            for each in pauses.all_pauses(connection):
                assert pauses.resume(
                    connection, agent=each.agent, tenant=each.tenant, resumed_by="p"
                )

    @rule(place=PLACES)
    def replay(self, place: int) -> None:
        letters = self.world.rows("dead_letters")
        if letters:
            self._replay(letters[place % len(letters)].id)

    def _replay(self, letter_id: UUID) -> None:
        try:
            self.world.replay(letter_id)
        except InvalidInput:
            return
        with pytest.raises(AlreadySettled):
            self.world.replay(letter_id)

    @rule(
        place=PLACES,
        ruling=st.sampled_from(Ruling),
        said=st.sampled_from(("so", "so", "")),
        outside=st.sampled_from((False, False, False, True)),
    )
    def decide_a_review(self, place: int, ruling: Ruling, said: str, outside: bool) -> None:
        found = self.world.rows("reviews")
        if not found:
            with pytest.raises(UnknownReview):
                self._say(uuid4(), ruling, said)
            return
        review = found[place % len(found)]
        with pytest.raises(UnknownReview):
            self._say(review.id, ruling, said, tenant="globex")
        if not outside:
            self._decide(review, ruling, said)
        elif (
            review.state == "waiting"
            and review.kind in _PROPOSED
            and ruling in {Ruling.APPROVE, Ruling.REJECT}
        ):
            self.world.decide_outside(review.id, {"ruling": str(ruling), "text": "so"})
            self.people.note(review, ruling)

    def _decide(self, review: Any, ruling: Ruling, said: str) -> None:
        try:
            self._say(review.id, ruling, said)
        except AlreadyDecided:
            assert review.state != "waiting"
        except InvalidInput:
            assert review.state == "waiting"
        else:
            assert review.state == "waiting"
            self.people.note(review, ruling)

    def _say(self, review_id: UUID, ruling: Ruling, said: str, tenant: str | None = None) -> None:
        def work(connection: Connection) -> list[Letter]:
            item = reviews.get(connection, review_id, tenant=tenant)
            return decide(
                connection,
                review_id,
                tenant=tenant,
                ruling=ruling,
                decided_by="p",
                text=said,
                arguments=_edited(item) if ruling is Ruling.EDIT else None,
                agent="clerk" if ruling is Ruling.REASSIGN else None,
            )

        self.world.change(work)


def _edited(item: ReviewItem | None) -> dict[str, Any] | None:
    """The proposed call for another sum; None where no call is proposed."""
    proposal = item.packet["proposal"] if item is not None else {}
    return {**proposal["arguments"], "amount": "400"} if "tool" in proposal else None
