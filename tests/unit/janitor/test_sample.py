"""What is drawn and counted of finished tasks: each once, whoever is at work."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, Row, event, func, insert, select, text, update

from fleet_contracts.errors import Unavailable
from fleet_workers.agents import load_catalogue
from fleet_workers.desk_file import SamplingSection
from fleet_workers.janitor.sample import QualityClerk
from fleet_workers.review.quality import read_quality
from fleet_workers.review.sampling import is_chosen
from fleet_workers.store.desk_tables import chore_marks, quality_days, samples
from fleet_workers.store.outbox import Letter
from fleet_workers.store.tables import reviews, tasks
from support.ended_tasks import Ended, write_ended

CATALOGUE = load_catalogue()
ALL = SamplingSection(share=1)
TODAY = datetime.now(UTC).date()


class Sent(list[Letter]):
    def __call__(self, letters: Sequence[Letter]) -> None:
        self.extend(letters)


def clerk(engine: Engine, section: SamplingSection = ALL, **options: Any) -> QualityClerk:
    return QualityClerk(
        engine,
        catalogue=CATALOGUE,
        section=section,
        send=options.pop("send", Sent()),
        settling=options.pop("settling", timedelta(minutes=1)),
    )


def begun(engine: Engine, ago: timedelta = timedelta(days=3)) -> None:
    """The clerk began so long ago."""
    clerk(engine).work()
    with engine.begin() as connection:
        connection.execute(update(chore_marks).values(at=func.now() - ago, id=UUID(int=0)))


def drawn(engine: Engine) -> list[Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(select(samples)).all())


def days(engine: Engine, tenant: str = "acme") -> dict[tuple[str, bool], Row[Any]]:
    query = select(quality_days).where(quality_days.c.tenant == tenant)
    with engine.connect() as connection:
        return {(row.agent, row.offline): row for row in connection.execute(query)}


def counted(engine: Engine, name: str, tenant: str = "acme") -> int:
    query = select(func.coalesce(func.sum(quality_days.c[name]), 0))
    with engine.connect() as connection:
        return int(connection.execute(query.where(quality_days.c.tenant == tenant)).scalar_one())


def work_through(*clerks: QualityClerk) -> None:
    while sum(each.work() for each in clerks):
        pass


def test_a_finished_task_is_put_before_a_person_with_its_answer(engine: Engine) -> None:
    begun(engine)
    task = Ended(confidence=0.97, words="Where is invoice 7?")
    write_ended(engine, [task])
    sent = Sent()
    clerk(engine, send=sent).work()
    (sample,) = drawn(engine)
    assert (sample.task_id, sample.weight, sample.confidence) == (task.id, 1.0, 0.97)
    assert sample.stratum == "high/familiar"
    with engine.connect() as connection:
        item = connection.execute(select(reviews)).one()
    assert (item.id, item.task_id, item.kind) == (sample.review_id, task.id, "sampled")
    assert item.packet["request"] == "Where is invoice 7?"
    assert item.packet["proposal"] == {"answer": "It is on its way."}
    assert item.packet["confidence"] == 0.97
    assert [letter.message.routing_key for letter in sent] == ["human.review"]
    # And the task is as it was
    with engine.connect() as connection:
        assert connection.execute(select(tasks.c.state)).scalar_one() == "succeeded"


def test_tasks_with_stored_plans_are_drawn_more_often_and_judged_apart(engine: Engine) -> None:
    begun(engine)
    ended = [
        Ended(source=source)
        for source in ("model", "exact_cache", "semantic_cache", "in_flight")
        for _ in range(50)
    ]
    write_ended(engine, ended)
    work_through(clerk(engine, SamplingSection(share=0.1, cached_times=10)))
    kinds = Counter(row.stratum for row in drawn(engine))
    assert kinds["high/familiar/cached"] == 100
    assert kinds["high/familiar"] < 50
    assert {row.weight for row in drawn(engine) if row.stratum.endswith("cached")} == {1.0}


@pytest.mark.parametrize(
    "task",
    [
        Ended(reviewed=True),
        Ended(state="rejected", kind="rejected"),
        Ended(state="dead", kind="dead"),
        Ended(state="cancelled"),
        Ended(state="expired", kind="review"),
        Ended(ago=timedelta(seconds=20)),
        Ended(ago=timedelta(days=4)),
    ],
    ids=["reviewed", "rejected", "dead", "cancelled", "expired", "too young", "before the start"],
)
def test_what_no_agent_ended_by_itself_is_not_drawn(engine: Engine, task: Ended) -> None:
    begun(engine)
    write_ended(engine, [task])
    clerk(engine).work()
    assert drawn(engine) == []


def test_a_clerk_that_begins_leaves_history_alone(engine: Engine) -> None:
    write_ended(engine, [Ended(ago=timedelta(hours=each)) for each in range(1, 50)])
    work_through(clerk(engine))
    assert drawn(engine) == []
    assert counted(engine, "finished") == 0


def test_the_young_are_taken_when_they_have_settled(engine: Engine) -> None:
    begun(engine)
    write_ended(engine, [Ended(ago=timedelta(seconds=20))])
    worker = clerk(engine)
    worker.work()
    assert counted(engine, "finished") == 0
    worker._settling = timedelta(seconds=10)
    worker.work()
    worker.work()
    assert counted(engine, "finished") == len(drawn(engine)) == 1


def test_tasks_of_the_same_moment_are_all_passed(engine: Engine) -> None:
    # Given more tasks that ended in one transaction than a batch holds
    begun(engine)
    write_ended(engine, [Ended() for _ in range(750)])
    work_through(clerk(engine))
    assert counted(engine, "finished") == len(drawn(engine)) == 750


def test_two_at_work_draw_and_count_each_task_once(engine: Engine) -> None:
    begun(engine)
    ended = [
        Ended(ago=timedelta(minutes=2 + number % 50), tenant=("acme", "globex")[number % 2])
        for number in range(800)
    ]
    write_ended(engine, ended)
    section = SamplingSection(share=0.1)
    sent = Sent()
    failures: list[BaseException] = []

    def work() -> None:
        own = clerk(engine, section, send=sent)
        try:
            for _ in range(12):
                own.work()
        except BaseException as error:  # noqa: BLE001 shown by the test
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    work_through(clerk(engine, section, send=sent))  # what they left while others were at it
    assert counted(engine, "finished", "acme") == counted(engine, "finished", "globex") == 400
    assert counted(engine, "alone", "*") == 800
    expected = {each.id for each in ended if is_chosen(each.id, 0.1)}
    assert {row.task_id for row in drawn(engine)} == expected
    assert len(sent) == len(expected) > 40
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(reviews)).scalar_one() == len(
            expected
        )


@contextmanager
def struck(engine: Engine, word: str) -> Iterator[None]:
    """The connection breaks at the first statement that holds a word."""

    def strike(_c: object, _k: object, statement: str, *_: object) -> None:
        if word in statement:
            raise Unavailable("struck")

    event.listen(engine, "before_cursor_execute", strike)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", strike)


@pytest.mark.parametrize(
    "word", ["INSERT INTO samples", "INSERT INTO quality_days", "UPDATE chore_marks", "outbox"]
)
def test_a_clerk_killed_halfway_has_done_nothing_and_the_next_does_it(
    engine: Engine, word: str
) -> None:
    begun(engine)
    write_ended(engine, [Ended() for _ in range(10)])
    worker, sent = clerk(engine), Sent()
    with struck(engine, word), pytest.raises(Unavailable):
        worker.work()
    assert (drawn(engine), sent, counted(engine, "finished")) == ([], [], 0)
    for each in (worker, clerk(engine)):
        work_through(each)
    assert counted(engine, "finished") == len(drawn(engine)) == 10


def test_a_task_that_cannot_be_read_is_counted_and_left_out(engine: Engine) -> None:
    begun(engine)
    broken, gap, odd, fine = (Ended(ago=timedelta(minutes=5 + each)) for each in range(4))
    write_ended(engine, [broken, gap, odd, fine])
    with engine.begin() as connection:
        change = update(tasks).where(tasks.c.id == broken.id)
        connection.execute(change.values(envelope={"input": "x"}))
        change = update(tasks).where(tasks.c.id == odd.id)
        connection.execute(
            change.values(outcome={"kind": "answered", "answer": ["?"], "confidence": "NaN"})
        )
        connection.execute(text("UPDATE steps SET seq = 5 WHERE task_id = :id"), {"id": gap.id})
    work_through(clerk(engine))
    assert {row.task_id for row in drawn(engine)} == {odd.id, fine.id}
    assert counted(engine, "alone") == 4


def test_a_revived_task_is_drawn_once(engine: Engine) -> None:
    begun(engine)
    task = Ended()
    write_ended(engine, [task])
    work_through(clerk(engine))
    with engine.begin() as connection:
        moved = {"finished_at": func.now() - timedelta(minutes=2)}
        connection.execute(update(tasks).values(**moved))
    work_through(clerk(engine))
    assert len(drawn(engine)) == 1


def test_weights_are_those_of_the_strata(engine: Engine) -> None:
    begun(engine)
    section = SamplingSection(share=0.2, unsure_times=2, novel_times=2)
    familiar = [Ended(ago=timedelta(minutes=9), confidence=0.98) for _ in range(400)]
    doubtful = [Ended(ago=timedelta(minutes=8), confidence=0.72) for _ in range(200)]
    odd = [
        Ended(ago=timedelta(minutes=7), words=f"Sing {'abcdefghij'[n % 10] * 5} quietly parrots")
        for n in range(2)
    ]
    write_ended(engine, [*familiar, *doubtful, *odd])
    work_through(clerk(engine, section))
    found = Counter((row.stratum, row.weight) for row in drawn(engine))
    assert set(found) <= {("high/familiar", 5), ("low/familiar", 2.5), ("high/novel", 2.5)}
    assert 50 < found["high/familiar", 5.0] < 110
    assert 50 < found["low/familiar", 2.5] < 110
    assert days(engine)["billing", False].strata == {
        "high/familiar": 400,
        "low/familiar": 200,
        "high/novel": 2,
    }


def test_a_clerk_knows_at_once_what_others_have_passed(engine: Engine) -> None:
    # Given one clerk that passed 300 requests, and another that begins
    begun(engine)
    section = SamplingSection(share=0)
    first = clerk(engine, section)
    write_ended(engine, [Ended(ago=timedelta(minutes=20)) for _ in range(300)])
    work_through(first)
    write_ended(engine, [Ended(ago=timedelta(minutes=15), words="Feed parrots!")])
    clerk(engine, section).work()
    assert days(engine)["billing", False].strata == {"high/familiar": 300, "high/novel": 1}
    # And the first one hears of what the second has passed
    parrots = [Ended(ago=timedelta(minutes=10), words="Feed parrots!") for _ in range(3)]
    write_ended(engine, parrots)
    first.work()
    strata = days(engine)["billing", False].strata
    assert strata["high/novel"] + strata["high/familiar"] == 304
    assert strata["high/novel"] == 3  # from the fourth on they are familiar


def test_figures_by_day_tenant_agent_and_model(engine: Engine) -> None:
    begun(engine, timedelta(days=30))
    write_ended(
        engine,
        [
            Ended(took=timedelta(seconds=2)),
            Ended(took=timedelta(seconds=8), cost_usd=Decimal("0.5")),
            Ended(reviewed=True),
            Ended(state="dead", kind="dead"),
            Ended(agent="onboarding", kind="asked", confidence=None),
            Ended(model="offline-small"),
            Ended(tenant="globex"),
        ],
    )
    work_through(clerk(engine, SamplingSection(share=0)))
    acme = days(engine)
    billing = acme["billing", False]
    assert (billing.finished, billing.alone, billing.escalated) == (4, 2, 1)
    assert billing.cost_usd == Decimal("0.506")
    assert acme["onboarding", False].strata == {"none/familiar": 1}
    assert acme["billing", True].finished == 1
    assert days(engine, "*")["billing", False].finished == 5
    with engine.connect() as connection:
        figures = read_quality(
            connection, tenant="acme", agent="billing", days=7, now=datetime.now(UTC)
        )
    assert figures.whole.escalation == pytest.approx(1 / 3)
    assert figures.whole.p50 is not None
    assert figures.whole.p50.total_seconds() == pytest.approx(2, rel=0.03)
    assert figures.agents == ("billing", "onboarding")
    assert len(figures.days) == 7


def test_a_task_counts_as_escalated_once_and_reviews_afterwards_do_not(engine: Engine) -> None:
    begun(engine)
    task = Ended(reviewed=True)
    write_ended(engine, [task])
    with engine.begin() as connection:
        first = connection.execute(select(reviews)).mappings().one()
        second = {**first, "id": UUID(int=first["id"].int + 1)}
        connection.execute(insert(reviews).values(second))
    write_ended(engine, [Ended()])
    work_through(clerk(engine))
    assert len(drawn(engine)) == 1
    worker = clerk(engine, settling=timedelta(0))
    work_through(worker)
    worker.work()
    assert counted(engine, "escalated") == 1
