"""What producers, the broker and workers do, one rule each, and what must then be true."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.errors import (
    Conflict,
    Unavailable,
)
from fleet_workers.store import outbox, recovery, tasks
from unit.machine import witness
from unit.machine.choices import PLACES, SCRIPT, STRUCK
from unit.machine.ground import Message, post
from unit.machine.operators import OperatorRules
from unit.machine.strikes import CUT_IS_FELT_AFTER, Strike
from unit.machine.verdict import check_effects, check_ends, truth_about
from unit.machine.writer import Script

_MOST_TASKS, _MOST_STALLED = 7, 3
_CALM_ROUNDS = 60


class FleetMachine(OperatorRules):
    """A whole fleet: operators and people, and with them producers and workers."""

    # -- producers ---------------------------------------------------------------------------

    def _envelope(self, wishes: list[str], together: int, end: str, **fields: Any) -> TaskEnvelope:
        number = len(self.world.writer.scripts)
        script = Script(number=number, wishes=tuple(wishes), together=together, end=end)
        self.world.writer.scripts[number] = script
        return build_envelope(tenant="acme", input=script.request, **fields)

    def _hand_in(self, envelope: TaskEnvelope, *, over_http: bool) -> bool:
        """Tells whether the task is new."""
        if not over_http:
            message = Message(
                payload=envelope.to_dict(), stored=False, submitted_at=datetime.now(UTC)
            )
            self.world.broker.messages.append(message)
            return True
        with self.engine.begin() as connection:
            is_new = tasks.accept(connection, envelope, traceparent=None)
            letters = post(connection, envelope) if is_new else []
        self.world.broker.send(letters)
        return is_new

    @initialize(scripts=st.lists(st.fixed_dictionaries(SCRIPT), min_size=1, max_size=3))
    def begin(self, scripts: list[dict[str, Any]]) -> None:
        for script in scripts:
            self.submit("s1", "clerk", over_http=True, is_late=False, replies=False, **script)

    @precondition(lambda self: len(self.submitted) < _MOST_TASKS)
    @rule(
        session=st.sampled_from((None, None, None, "s1", "s1", "s1", "s2")),
        agent=st.sampled_from(("clerk", "clerk", "clerk", "auto")),
        over_http=st.booleans(),
        is_late=st.sampled_from((False,) * 25 + (True,)),
        replies=st.booleans(),
        **SCRIPT,
    )
    def submit(
        self,
        session: str | None,
        agent: str,
        over_http: bool,
        is_late: bool,
        replies: bool,
        **script: Any,
    ) -> None:
        envelope = self._envelope(
            **script,
            agent=agent,
            session_id=session,
            idempotency_key=f"key-{uuid4()}",
            deadline=datetime.now(UTC) - timedelta(minutes=1) if is_late else None,
            reply_to="reply.here" if replies else None,
        )
        assert self._hand_in(envelope, over_http=over_http)
        self.submitted.append(envelope)

    @precondition(lambda self: self.submitted)
    @rule(
        place=PLACES,
        over_http=st.booleans(),
        what=st.sampled_from(("same", "same", "other content", "nonsense")),
        **SCRIPT,
    )
    def submit_again(self, place: int, over_http: bool, what: str, **script: Any) -> None:
        first = self.submitted[place % len(self.submitted)]
        is_known = self.world.task(first.id) is not None
        if what == "nonsense":
            self._send_nonsense()
        elif what == "same":
            is_new = self._hand_in(first, over_http=over_http)
            assert not (over_http and is_known and is_new)
        else:
            fields = first.model_dump(include={"agent", "session_id", "idempotency_key"})
            other = self._envelope(**script, **fields)
            assert other.id == first.id
            if not over_http:
                self._hand_in(other, over_http=False)
            elif is_known:
                with pytest.raises(Conflict):
                    self._hand_in(other, over_http=True)

    def _send_nonsense(self) -> None:
        before = len(self.world.rows("dead_letters"))
        self.world.deliver(Message(payload={"tenant": "acme"}, stored=False), ())
        assert len(self.world.rows("dead_letters")) == before + 1

    # -- broker and workers ------------------------------------------------------------------

    @precondition(
        lambda self: self.world.broker.messages and len(self.world.stalled) < _MOST_STALLED
    )
    @rule(
        place=PLACES, is_doubled=st.booleans(), strikes=STRUCK, later=st.lists(STRUCK, max_size=2)
    )
    def deliver_and_strike(
        self,
        place: int,
        is_doubled: bool,
        strikes: list[Strike],
        later: list[list[Strike]],
    ) -> None:
        """A message goes to a worker that is struck, then to the next ones, as it lies."""
        self._deliver(self._one_to_work_on(place), strikes, keep=is_doubled)
        for each in later:
            self.world.pass_time()
            self.world.sweep()
            if len(self.world.stalled) < _MOST_STALLED:
                self._deliver(self._one_to_work_on(0), each)

    def _one_to_work_on(self, place: int) -> Message | None:
        """The newest but `place` of the messages whose task waits for a worker, if there are."""
        known = {str(task.id): task.state for task in self.world.all_tasks()}
        messages = self.world.broker.messages
        useful = [each for each in messages if known.get(each.task_id, "queued") == "queued"]
        found = useful or messages
        return found[-1 - place % len(found)] if found else None

    @precondition(lambda self: self.world.broker.messages)
    @rule(place=PLACES, is_lost=st.sampled_from((False, False, True)))
    def deliver(self, place: int, is_lost: bool) -> None:
        messages = self.world.broker.messages
        message = messages[-1 - place % len(messages)]
        if not is_lost:
            self._deliver(message, [])
        elif self.world.task(UUID(message.task_id)) is not None:
            messages.remove(message)

    def _deliver(
        self, message: Message | None, strikes: list[Strike], *, keep: bool = False
    ) -> None:
        if message is None:
            return
        try:
            run = self.world.deliver(message, strikes)
        except Unavailable:
            return  # the broker keeps it
        if run.is_done and not run.is_killed and not keep:
            self.world.broker.messages.remove(message)

    @precondition(lambda self: self.world.stalled)
    @rule(place=PLACES, strikes=STRUCK)
    def wake_a_stalled_worker(self, place: int, strikes: list[Strike]) -> None:
        try:
            self.world.wake(place % len(self.world.stalled), strikes)
        except Unavailable:
            return

    @precondition(lambda self: self.world.stalled)
    @rule(place=PLACES, is_cut=st.booleans(), others_go_on=st.booleans())
    def end_a_lease(self, place: int, is_cut: bool, others_go_on: bool) -> None:
        place %= len(self.world.stalled)
        run, _ = self.world.stalled[place]
        self.world.end_lease(place, cut=is_cut and run.stalled_at not in CUT_IS_FELT_AFTER)
        if others_go_on:
            self.world.sweep()
            for message in list(self.world.broker.messages):
                self._deliver(message, [])

    @precondition(lambda self: self.world.stalled)
    @rule(place=PLACES, hands_back=st.booleans())
    def end_a_stalled_worker(self, place: int, hands_back: bool) -> None:
        place %= len(self.world.stalled)
        held = self.world.stalled[place][1].guardian.held
        if hands_back:  # its grace is over
            self.world.change(
                lambda connection: outbox.wake(connection, recovery.requeue_held(connection, held))
            )
        self.world.kill(place)

    # -- what must be true -------------------------------------------------------------------

    @invariant()
    def nothing_is_done_that_must_not_be(self) -> None:
        with self.engine.begin() as connection:
            self._seen, faults = witness.faults_since(connection, self._seen)
        assert not faults, faults
        check_effects(self.world, self.people)

    def teardown(self) -> None:
        """When all is calm at last, everything comes to an end."""
        try:
            self._become_calm()
            self.nothing_is_done_that_must_not_be()
            check_ends(self.world)
        finally:
            self.world.close()

    def _become_calm(self) -> None:
        while self.world.stalled:
            self.world.end_lease(0, cut=False)
            self.world.wake(0, ())
        self._resume_all()
        for _ in range(_CALM_ROUNDS):
            self.world.pass_time()
            self.world.sweep()
            messages = self.world.broker.messages
            while messages:
                run = self.world.deliver(messages.pop(0), ())
                assert run.is_done
                assert not run.is_killed
            waiting = [each for each in self.world.rows("reviews") if each.state == "waiting"]
            for review in waiting:
                self._decide(review, *truth_about(self.world, review))
            open_tasks = [each for each in self.world.all_tasks() if each.finished_at is None]
            if not (open_tasks or messages or self.world.rows("outbox")):
                return
        pytest.fail(f"No end after {_CALM_ROUNDS} rounds: {open_tasks}")
