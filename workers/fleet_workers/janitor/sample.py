"""Goes through what has ended: draws tasks to be judged, and counts for the figures of quality."""

from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from fleet_contracts.errors import InvalidEnvelope
from fleet_contracts.outcome import OutcomeKind, ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.agents import AgentCatalogue
from fleet_workers.desk_file import SamplingSection
from fleet_workers.review.afterwards import open_afterwards, packet_afterwards
from fleet_workers.review.novelty import Familiarity
from fleet_workers.review.percentiles import bucket_of
from fleet_workers.review.sampling import Stratum, is_chosen, rate_of, stratum_of
from fleet_workers.store import chore_marks, finished, quality, samples
from fleet_workers.store.engine import store_errors
from fleet_workers.store.finished import EndedTask, Mark
from fleet_workers.store.journal import CorruptJournal
from fleet_workers.store.outbox import Letter
from fleet_workers.store.quality import Counts, DayKey

log = structlog.get_logger()

_BATCH = 100  # 0.1 s on a busy machine: the janitor's other chores get their turn
_LOOK_BACK = 10_000  # requests read at the start to know what is familiar, of all agents together
_SETTLING: Final = timedelta(minutes=1)
"""How long a row must be there: no transaction of the fleet takes longer, so none is passed over.

A statement ends after 15 s, and clocks of machines that make ids may differ by seconds.
"""

_TASKS, _REVIEWS = "quality.tasks", "quality.reviews"
_OTHER_THRESHOLD = 0.7  # the default of `review_below`, for agents that are not installed any more


class QualityClerk:
    """Draws and counts; used by one thread. Any number may be at work: one at a time has a turn.

    Every task that ended, and every review, is passed once: the place up to which a clerk has come
    is written in the transaction that holds what it did. A clerk that begins starts now.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        catalogue: AgentCatalogue,
        section: SamplingSection,
        send: Callable[[Sequence[Letter]], None],
        settling: timedelta = _SETTLING,
    ) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._section = section
        self._send = send
        self._settling = settling
        self._familiar = Familiarity()
        self._familiar_up_to: Mark | None = None

    def work(self) -> int:
        """Pass one batch of tasks and one of reviews.

        Gives their number, or 0 where fewer than a batch waited.

        Raises:
            Unavailable: The store is away; nothing is passed.
        """
        with store_errors(), self._engine.begin() as connection:
            tasks, letters = self._pass_tasks(connection)
        self._send(letters)
        with store_errors(), self._engine.begin() as connection:
            reviews = self._pass_reviews(connection)
        return tasks + reviews if max(tasks, reviews) == _BATCH else 0

    def _pass_tasks(self, connection: Connection) -> tuple[int, list[Letter]]:
        mark = chore_marks.take_mark(connection, _TASKS)
        if mark is None:
            return 0, []
        found = finished.ended_after(connection, mark, older_than=self._settling, limit=_BATCH)
        if not found:
            return 0, []
        self._catch_up(connection, mark)
        counted: dict[DayKey, Counts] = {}
        letters: list[Letter] = []
        # What is learnt is not taken back with the transaction: then it is read anew.
        self._familiar_up_to = None
        for task in found:
            counts = counted.setdefault(_key(task), Counts())
            counts.finished += 1
            counts.cost_usd += task.cost_usd
            novelty = self._familiar.novelty(task.agent, task.words)
            self._familiar.learn(task.agent, task.words)
            if _ended_alone(task):
                stratum = self._stratum(task, novelty)
                counts.alone += 1
                counts.latency[bucket_of(task.took)] += 1
                counts.strata[str(stratum)] += 1
                letters += self._draw(connection, task, stratum, novelty)
        quality.add_counts(connection, counted)
        chore_marks.move_mark(connection, _TASKS, found[-1].mark)
        self._familiar_up_to = found[-1].mark
        if letters:
            log.info("janitor.sampled", tasks=len(found), drawn=len(letters))
        return len(found), letters

    def _pass_reviews(self, connection: Connection) -> int:
        mark = chore_marks.take_mark(connection, _REVIEWS)
        if mark is None:
            return 0
        found = quality.opened_after(connection, mark, older_than=self._settling, limit=_BATCH)
        if not found:
            return 0
        counted: dict[DayKey, Counts] = {}
        for each in found:
            if each.is_first:
                key = DayKey(
                    tenant=each.tenant,
                    day=each.created_at.astimezone(UTC).date(),
                    agent=each.agent,
                    offline=each.offline,
                )
                counted.setdefault(key, Counts()).escalated += 1
        quality.add_counts(connection, counted)
        chore_marks.move_mark(connection, _REVIEWS, found[-1].mark)
        return len(found)

    def _catch_up(self, connection: Connection, mark: Mark) -> None:
        """Learn what others passed meanwhile; at the start, the latest requests of all."""
        if self._familiar_up_to == mark:
            return
        if self._familiar_up_to is None:
            self._familiar.forget()
        for agent, words in finished.requests_between(
            connection, self._familiar_up_to, mark, limit=_LOOK_BACK
        ):
            self._familiar.learn(agent, words)

    def _stratum(self, task: EndedTask, novelty: float | None) -> Stratum:
        threshold = _OTHER_THRESHOLD
        if task.agent in self._catalogue:
            threshold = self._catalogue.get(task.agent).manifest.review_below
        return stratum_of(
            confidence=task.confidence,
            review_below=threshold,
            novelty=novelty,
            cached=task.cached,
        )

    def _draw(
        self, connection: Connection, task: EndedTask, stratum: Stratum, novelty: float | None
    ) -> list[Letter]:
        """Put a task before a person where chance wants it."""
        rate = rate_of(self._section, task.agent, stratum)
        if not is_chosen(task.id, rate) or samples.is_drawn(connection, task.id):
            return []
        try:
            with connection.begin_nested():
                return [self._open(connection, task, stratum, rate, novelty)]
        except (InvalidEnvelope, CorruptJournal) as error:
            log.warning("janitor.sample_unusable", task=str(task.id), error=str(error))
            return []

    def _open(
        self,
        connection: Connection,
        task: EndedTask,
        stratum: Stratum,
        rate: float,
        novelty: float | None,
    ) -> Letter:
        whole = finished.find_finished(connection, task.id, tenant=None)
        if whole is None:
            raise InvalidEnvelope(f"Task {task.id} is gone.")
        reason = "Drawn by chance to see how often the agents are right: was this answer right?"
        packet = packet_afterwards(connection, whole, reason)
        item, letter = open_afterwards(connection, whole, ReviewKind.SAMPLED, reason, packet)
        samples.add(
            connection,
            task,
            review_id=item.id,
            stratum=str(stratum),
            weight=1 / rate,
            novelty=novelty,
        )
        return letter


def _ended_alone(task: EndedTask) -> bool:
    said_something = task.kind in {OutcomeKind.ANSWERED, OutcomeKind.ASKED}
    return task.state == TaskState.SUCCEEDED and said_something and not task.was_reviewed


def _key(task: EndedTask) -> DayKey:
    return DayKey(
        tenant=task.tenant,
        day=task.finished_at.astimezone(UTC).date(),
        agent=task.agent,
        offline=task.offline,
    )
