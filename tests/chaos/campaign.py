"""One stack from its start to the verdict: tasks in, workers killed, everything settled or not."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from chaos.attendants import Attendance, Reviewer, Revival, Reviver, late_turns, late_writes
from chaos.company import Company, open_company, shipped_seconds
from chaos.ground import Ground
from chaos.judge import Verdict, applied_effects, endings, judge, unsettled
from chaos.marks import Marks
from chaos.model import RepeatedCalls, RewordingModel
from chaos.points import POINTS, RESUMED_POINTS, STALL_POINTS
from chaos.producer import Producer
from chaos.scenarios import Harm, task_stream
from chaos.storm import Storm
from chaos.takeover import TakeoverWatch
from fleet_workers.store.journal import StepKind, StepState
from fleet_workers.store.tables import steps
from fleet_workers.testing.model_server import serve_script
from support.nursery import Nursery

_MODEL_SECONDS = 0.05
_POLL_SECONDS = 0.2
_PAST_LEASE_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a campaign does. `seconds` bounds it, from the first task to the last ending.

    In a `storm` the servers are disturbed too; without it only workers die.
    """

    kills: int
    seconds: float
    seed: int
    storm: bool = True
    stall: Sequence[str] = STALL_POINTS
    poison: Sequence[str] = ("after_model_call", "before_effect")
    workers: int = 5
    slots: int = 6
    janitors: int = 2
    pause_seconds: float = 0.5
    open_tasks: int = 8
    """Tasks not settled at a time: a slow machine is so given fewer to work on, and fewer die."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a campaign on one stack.

    `late_writes` are writes that a revived worker asked for in the name of tasks it had lost.
    `self_ended` are workers that ended by themselves, as they may in a storm: one that starts
    while the store is away says so and ends. `trouble` is what else went wrong.
    """

    stack: str
    kills: dict[str, int]
    poison_deaths: int
    stalls: int
    disturbances: dict[str, int]
    tasks: int
    copies: int
    decisions: int
    in_doubt: int
    verdict: Verdict
    repeated: RepeatedCalls
    late_writes: Sequence[str]
    takeover_seconds: Sequence[float]
    self_ended: int
    trouble: Sequence[str]
    seconds: float


class Campaign:
    """Attacks one fleet. Made for one run."""

    def __init__(self, plan: Plan, ground: Ground, company: Company, folder: Path) -> None:
        self._plan = plan
        self._engine = ground.stack.engine
        self._company = company
        self._marks = Marks(folder / "marks")
        self._prefix = ground.stack.name[0]
        self._producer = Producer(ground.stack, api_url=company.api_url, seed=plan.seed)
        promised = self._producer.promised
        self._reviewer = Reviewer(self._engine, self._marks, company.business_url, promised)
        self._reviver = Reviver(
            engine=self._engine,
            pool=company.pool,
            promised=promised,
            stalled_seconds=shipped_seconds("lease") + _PAST_LEASE_SECONDS,
        )

    def attack(self, storm: Storm | None) -> None:
        """Submit until workers enough have died and the storm is over, and wait for the endings."""
        until = time.monotonic() + self._plan.seconds
        with (
            contextlib.closing(self._producer),
            Attendance(self._reviewer.look, self._reviver.look),
        ):
            if storm is None:
                self._submit(until, lambda: True)
            else:
                with storm:
                    self._submit(until, lambda: storm.is_over)
            self._producer.send_copies(keep=0)
            self._wait_for_room(until, room_for=0)

    @property
    def producer(self) -> Producer:
        """Who hands the tasks in, and knows them."""
        return self._producer

    @property
    def revivals(self) -> Sequence[Revival]:
        """The stalled workers that went on."""
        return self._reviver.revivals

    def report(self, storm: Storm | None, **measured: object) -> Report:
        """Judge what stands in the store and in the business's record now."""
        promised = self._producer.promised
        kills = self._marks.all("kill")
        return Report(
            kills={
                point: sum(named == point for _, named in kills)
                for point in (*POINTS, *RESUMED_POINTS)
            },
            poison_deaths=len(self._marks.all("poison")),
            stalls=len(self._reviver.revivals),
            disturbances=dict(storm.done) if storm else {},
            tasks=len(promised),
            copies=self._producer.copies,
            decisions=self._reviewer.decisions,
            in_doubt=self._reviewer.doubted,
            verdict=judge(
                promised,
                endings(self._engine, promised),
                applied_effects(self._company.business_url),
            ),
            late_writes=late_writes(self._marks.asks(), self._reviver.revivals),
            self_ended=len(self._company.pool.self_ended()),
            trouble=storm.trouble if storm else self._company.pool.self_ended(),
            **measured,  # type: ignore[arg-type]
        )

    def _submit(self, until: float, may_end: Callable[[], bool]) -> None:
        harm = Harm(
            kill=tuple(POINTS),
            resumed=RESUMED_POINTS,
            stall=self._plan.stall,
            poison=self._plan.poison,
        )
        stream = task_stream(
            harm, prefix=self._prefix, customers=self._company.customers, seed=self._plan.seed
        )
        for task in stream:
            if len(self._marks.all("kill")) >= self._plan.kills and may_end():
                return
            if not self._producer.submit(task, until=until):
                return
            time.sleep(self._plan.pause_seconds)
            self._wait_for_room(until, room_for=self._plan.open_tasks)

    def _wait_for_room(self, until: float, *, room_for: int) -> None:
        while time.monotonic() < until:
            with contextlib.suppress(SQLAlchemyError):  # the store is restarted on purpose
                if len(unsettled(self._engine, self._producer.promised)) <= room_for:
                    return
            time.sleep(_POLL_SECONDS)


def run_campaign(plan: Plan, nursery: Nursery, ground: Ground, folder: Path) -> Report:
    """Open a fleet on the ground, attack it, and judge."""
    begun = time.monotonic()
    engine = ground.stack.engine
    watch = TakeoverWatch(engine)
    model = RewordingModel(lambda task_id: plans_recorded(engine, task_id))
    marks = Marks(folder / "marks")
    with (
        serve_script(model, delay_seconds=_MODEL_SECONDS, port=0) as server,
        open_company(
            nursery,
            ground,
            folder,
            model_url=server.url,
            workers=plan.workers,
            slots=plan.slots,
            janitors=plan.janitors,
            on_death=watch.note_death,
        ) as company,
        watch,
    ):
        campaign = Campaign(plan, ground, company, folder)
        storm = Storm(ground, campaign.producer, watch) if plan.storm else None
        campaign.attack(storm)
        deaths = marks.all("kill") + marks.all("poison")
        cut = Counter(ref for ref, point in deaths if point.startswith("after_model_call"))
        return campaign.report(
            storm,
            stack=ground.stack.name,
            repeated=model.repeated(
                marks.reads(),
                cut_on_purpose=cut,
                late=late_turns(marks.reads(), campaign.revivals),
            ),
            takeover_seconds=watch.seconds(),
            seconds=time.monotonic() - begun,
        )


def plans_recorded(engine: Engine, task_id: object) -> int:
    """How many of a task's plans stand in the store as done."""
    query = select(func.count()).where(
        steps.c.task_id == task_id,
        steps.c.kind == StepKind.PLAN,
        steps.c.state == StepState.DONE,
    )
    with engine.begin() as connection:
        return connection.execute(query).scalar_one()
