"""One stack from its start to the verdict: tasks in, workers killed, everything settled or not."""

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
from sqlalchemy import func, select

from chaos.ground import Ground
from chaos.judge import Verdict, applied_effects, endings, judge, unsettled
from chaos.model import RepeatedCalls, RewordingModel
from chaos.points import POINTS, Marks
from chaos.pool import WorkerPool, worker_pool
from chaos.producer import Producer
from chaos.scenarios import TENANT, SCRIPTS, task_stream
from chaos.takeover import TakeoverWatch
from fleet_workers.store.journal import StepKind, StepState
from fleet_workers.store.tables import steps
from fleet_workers.store.tables import tasks as tasks_table
from fleet_workers.testing.model_server import serve_script
from support.fleet_processes import Fleet, running_fleet

_AGENTS = Path(__file__).parent / "agents"
_MODEL_SECONDS = 0.05
_POLL_SECONDS = 0.2
_OPEN_TASKS = 24  # as many as three workers of eight slots hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a campaign does. `seconds` bounds it, from the first task to the last ending."""

    kills: int
    seconds: float
    seed: int
    workers: int = 3
    slots: int = 8
    janitors: int = 2
    pause_seconds: float = 0.3
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a campaign on one stack."""

    stack: str
    kills_by_point: dict[str, int]
    tasks: int
    copies: int
    verdict: Verdict
    repeated: RepeatedCalls
    takeover_seconds: Sequence[float]
    failures: Sequence[str]
    seconds: float

    @property
    def kills(self) -> int:
        return sum(self.kills_by_point.values())


class Campaign:
    """The parts of a run on one stack, opened in order."""

    def __init__(self, plan: Plan, ground: Ground, folder: Path) -> None:
        self._plan = plan
        self._ground = ground
        self._folder = folder
        self._marks = Marks(folder / "marks")
        self._watch = TakeoverWatch(ground.stack.engine)
        self._model = RewordingModel(self._plans_recorded)
        self._refs: dict[str, object] = {}

    def run(self) -> Report:
        """Run to the end of the plan, or to its time limit."""
        with ExitStack() as opened:
            server = opened.enter_context(
                serve_script(self._model, delay_seconds=_MODEL_SECONDS, port=0)
            )
            environment = {
                "OPENAI_BASE_URL": server.url,
                "OPENAI_API_KEY": "any",
                "FLEET_MODEL_SMALL": "scripted",
                "FLEET_AGENTS_PATH": str(_AGENTS),
                # The shipped values: what is measured here is what an operator gets.
                "FLEET_LEASE": "15",
                "FLEET_LEASE_RENEWAL": "4",
                "FLEET_JANITOR_INTERVAL": "0.5",
                **dict(self._plan.settings),
            }
            fleet = opened.enter_context(
                running_fleet(self._ground.stack, self._folder, environment)
            )
            business = fleet.start_service(
                "fleet_workers.embedded.business", "--database", str(self._folder / "business.db")
            )
            fleet.start_web()
            for _ in range(self._plan.janitors):
                fleet.start_janitor()
            pool = opened.enter_context(
                worker_pool(
                    folder=self._folder,
                    environment={**fleet._environment, "FLEET_BUSINESS_URL": business},
                    agents=tuple(sorted({each.agent for each in SCRIPTS.values()})),
                    slots=self._plan.slots,
                    on_death=self._watch.note_death,
                )
            )
            fleet.wait_ready()
            pool.start(self._plan.workers)
            self._watch.start()
            opened.callback(self._watch.stop)
            return self._attack(fleet, pool, business)

    def _attack(self, fleet: Fleet, pool: WorkerPool, business: str) -> Report:
        begun = time.monotonic()
        until = begun + self._plan.seconds
        producer = Producer(
            stack=self._ground.stack, api_url=fleet.api_url, order=random.Random(self._plan.seed)
        )
        producer.open()
        try:
            self._submit(producer, business, until)
            producer.send_copies(keep=0)
            engine = self._ground.stack.engine
            while time.monotonic() < until and unsettled(engine, producer.promised):
                time.sleep(_POLL_SECONDS)
        finally:
            producer.close()
        self._watch.stop()
        kills = self._marks.all("kill")
        return Report(
            stack=self._ground.stack.name,
            kills_by_point={point: sum(named == point for _, named in kills) for point in POINTS},
            tasks=len(producer.promised),
            copies=producer.copies,
            verdict=judge(
                producer.promised, endings(engine, producer.promised), applied_effects(business)
            ),
            repeated=self._model.repeated(self._marks.reads()),
            takeover_seconds=self._watch.seconds(),
            failures=pool.failures(),
            seconds=time.monotonic() - begun,
        )

    def _submit(self, producer: Producer, business: str, until: float) -> None:
        stream = task_stream(
            prefix=self._ground.stack.name[0],
            points=tuple(POINTS),
            customers=refundable_payments(business),
            seed=self._plan.seed,
        )
        for task in stream:
            if len(self._marks.all("kill")) >= self._plan.kills:
                return
            self._refs[task.ref] = task.id
            if not producer.submit(task, until=until):
                return
            time.sleep(self._plan.pause_seconds)
            engine = self._ground.stack.engine
            while len(unsettled(engine, producer.promised)) >= _OPEN_TASKS:
                if time.monotonic() > until:
                    return
                time.sleep(_POLL_SECONDS)

    def _plans_recorded(self, ref: str) -> int:
        """How many of a task's plans stand in the store as done."""
        query = select(func.count()).where(
            steps.c.task_id == self._refs.get(ref),
            steps.c.kind == StepKind.PLAN,
            steps.c.state == StepState.DONE,
        )
        with self._ground.stack.engine.begin() as connection:
            return connection.execute(query).scalar_one()


def refundable_payments(business: str) -> list[tuple[str, str]]:
    """Customers of the tenant with an active subscription, each with a payment of theirs."""
    found = []
    for number in range(1, 20):
        customer = f"cus_{TENANT}_{number:02d}"
        with httpx2.Client(
            base_url=business, headers={"X-Tenant": TENANT, "X-Customer": customer}, timeout=20
        ) as desk:
            subscription = desk.get("/subscription")
            paid = desk.get("/payments")
        if subscription.status_code >= 400 or subscription.json()["status"] != "active":
            continue
        payments = [each for each in paid.json()["payments"] if each["status"] == "succeeded"]
        if payments:
            found.append((customer, payments[0]["payment_id"]))
    return found
