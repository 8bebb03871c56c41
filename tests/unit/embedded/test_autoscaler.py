"""What the autoscaler does with what it sees: which processes it adds and ends, and when not."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleet_contracts.errors import Unavailable
from fleet_workers.embedded.autoscaler import Autoscaler
from fleet_workers.embedded.child import Standing
from fleet_workers.embedded.pool_view import Seen
from fleet_workers.embedded.processes import ProcessSpec, Stage
from fleet_workers.embedded.scaling import Bounds, Rules
from fleet_workers.store.pools import AgentLoad, Worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AT_ONCE = Rules(grow_after_seconds=0, settle_seconds=0, shrink_after_seconds=0, regret_seconds=0)


@dataclass
class Machine:
    """Processes that become ready at once, and the store's picture of them."""

    running: dict[str, Standing] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    queued: dict[str, int] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)
    specs: list[ProcessSpec] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    pids: int = 100
    is_away: bool = False

    def add(self, spec: ProcessSpec) -> None:
        self.specs.append(spec)
        self.pids += 1
        self.running[spec.name] = Standing(pid=self.pids, is_ready=True, is_leaving=False)

    def retire(self, name: str) -> None:
        self.retired.append(name)
        del self.running[name]

    def standing(self) -> dict[str, Standing]:
        return dict(self.running)

    def pool_spec(self, agent: str, number: int, *, is_spare: bool) -> ProcessSpec:
        return ProcessSpec(
            name=f"pool_{agent}" if number == 1 else f"pool_{agent}.{number}",
            argv=("true",),
            env=os.environ,
            probe=Path("/").exists,
            stage=Stage.WORKERS,
            is_spare=is_spare,
        )

    def queues(self, agent: str) -> tuple[str, ...]:
        return (agent, "auto")

    def look(self) -> Seen:
        if self.is_away:
            raise Unavailable("The store is away.")
        loads = {
            name: AgentLoad(
                agent=name,
                queued=count,
                put_off=0,
                running=0,
                retrying=0,
                in_review=0,
                oldest_at=NOW - timedelta(seconds=1),
                next_retry_at=None,
            )
            for name, count in self.queued.items()
        }
        workers = [
            Worker(
                presence=standing.pid or 0,
                name=f"{socket.gethostname()}:{standing.pid}",
                slots=100,
                agents=(name.removeprefix("pool_").partition(".")[0], "auto"),
                is_whole=True,
                running=self.busy.get(name, 0),
                since=NOW,
            )
            for name, standing in self.running.items()
        ]
        return Seen(now=NOW, loads=loads, workers=workers, messages=self.messages)


def scaler(machine: Machine, report: Callable[[str], None] = print, **bounds: Bounds) -> Autoscaler:
    for agent in bounds:
        machine.add(machine.pool_spec(agent, 1, is_spare=False))
    machine.specs.clear()
    return Autoscaler(
        bounds, processes=machine, specs=machine, look=machine.look, report=report, rules=AT_ONCE
    )


def test_a_pool_grows_by_spare_processes_with_one_line_each() -> None:
    machine, lines = Machine(), list[str]()
    scaling = scaler(machine, lines.append, billing=Bounds(most=3))
    machine.busy["pool_billing"], machine.queued["billing"] = 100, 400
    scaling.step()
    assert [(each.name, each.is_spare) for each in machine.specs] == [("pool_billing.2", True)]
    assert lines == ["pool billing: 1 to 2 processes (400 wait for 100 slots, the first for 1 s)"]
    machine.busy["pool_billing.2"] = 100
    for _ in range(3):
        scaling.step()
    assert sorted(machine.running) == ["pool_billing", "pool_billing.2", "pool_billing.3"]


def test_the_least_busy_process_ends_and_its_number_is_used_again() -> None:
    machine = Machine()
    scaling = scaler(machine, billing=Bounds(least=2, most=3))
    scaling.step()
    assert [(each.name, each.is_spare) for each in machine.specs] == [("pool_billing.2", False)]
    machine.add(machine.pool_spec("billing", 3, is_spare=True))
    machine.busy = {"pool_billing": 30, "pool_billing.2": 4, "pool_billing.3": 9}
    scaling.step()
    assert machine.retired == ["pool_billing.2"]
    machine.busy, machine.queued = dict.fromkeys(machine.busy, 100), {"billing": 900}
    scaling.step()
    assert machine.specs[-1].name == "pool_billing.2"


def test_messages_that_no_worker_took_in_count_and_tasks_with_one_count_once() -> None:
    machine = Machine()
    scaling = scaler(machine, billing=Bounds(most=4))
    machine.busy["pool_billing"] = 100
    machine.queued, machine.messages = {"billing": 60}, {"billing": 60}
    scaling.step()
    assert machine.specs == []
    machine.messages = {"billing": 100}
    scaling.step()
    assert len(machine.specs) == 1


def test_requests_for_any_agent_are_shared_among_the_pools_that_take_them() -> None:
    machine = Machine()
    scaling = scaler(machine, billing=Bounds(most=4), onboarding=Bounds(most=4))
    machine.busy = {"pool_billing": 100, "pool_onboarding": 100}
    machine.queued = {"auto": 198, "billing": 1}
    scaling.step()
    assert [each.name for each in machine.specs] == ["pool_billing.2"]


@pytest.mark.parametrize(
    ("host", "ends"),
    [
        ("elsewhere", "pool_billing.2"),
        (socket.gethostname()[1:], "pool_billing.2"),
        # The name of this very host, as it is cut where there is no room
        (f"~{socket.gethostname()[1:]}", "pool_billing"),
    ],
)
def test_another_hosts_process_of_the_same_number_is_another(host: str, ends: str) -> None:
    machine = Machine()
    scaling = scaler(machine, billing=Bounds(most=2))
    machine.add(machine.pool_spec("billing", 2, is_spare=True))
    machine.busy["pool_billing"] = 9
    seen = machine.look
    first, second = seen().workers

    def with_a_stranger() -> Seen:
        stranger = Worker(
            presence=9,
            name=f"{host}:{machine.running['pool_billing.2'].pid}",
            slots=100,
            agents=("billing",),
            is_whole=True,
            running=40,
            since=NOW,
        )
        return Seen(now=NOW, loads={}, workers=[first, second, stranger], messages={})

    scaling._look = with_a_stranger
    scaling.step()
    assert machine.retired == [ends]


def test_while_the_store_is_away_everything_stays() -> None:
    machine = Machine()
    scaling = scaler(machine, billing=Bounds(most=4))
    machine.add(machine.pool_spec("billing", 2, is_spare=True))
    before, machine.is_away = dict(machine.running), True
    for _ in range(5):
        scaling.step()
    assert machine.running == before


def test_after_a_process_was_given_up_the_pool_is_left_as_it_is_for_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("fleet_workers.embedded.autoscaler.time.monotonic", lambda: now)
    machine = Machine()
    scaling = scaler(machine, billing=Bounds(most=4))
    machine.busy["pool_billing"], machine.queued["billing"] = 100, 400
    scaling.step()
    del machine.running["pool_billing.2"]  # the supervisor gave it up
    for _ in range(3):
        now += 1
        scaling.step()
    assert len(machine.specs) == 1
    # The last process of the pool is not spared that way
    del machine.running["pool_billing"]
    scaling.step()
    assert machine.specs[-1].name == "pool_billing"
    now += 61
    machine.busy["pool_billing"] = 100
    scaling.step()
    assert len(machine.specs) == 3
