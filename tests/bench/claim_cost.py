"""Whether a task costs the same with ten thousand and with millions of finished tasks beside it."""

import os
import time
from collections.abc import Callable, Iterator

from pydantic import SecretStr
from sqlalchemy import text

from bench.figures import Figure, Said, spread
from bench.finished_tasks import add_finished_tasks
from bench.fleet_run import AGENT, AGENTS, TEXT, asked_at
from bench.instant_model import use_instant_model
from fleet_contracts.envelope import build_envelope
from fleet_contracts.topology import agent_address
from fleet_workers.janitor.sweep import Sweeper
from fleet_workers.settings import Settings
from fleet_workers.telemetry.logs import configure_logs
from fleet_workers.wiring import open_core, open_worker
from support.stacks import Stack, open_stack

_FEW = 10_000
_MANY = int(os.environ.get("ROWS", "2000000"))
_CYCLES = 250  # with a session, and as many without
_WARM_UP = 30
_SWEEPS = 20


def measure() -> Iterator[Said]:
    """Take tasks from message to end beside few finished tasks, then beside many."""
    use_instant_model()
    configure_logs("WARNING", "json")
    with open_stack("rabbitmq") as stack:
        first: dict[str, float] = {}
        for rows, added in ((_FEW, _FEW), (_MANY, _MANY - _FEW)):
            add_finished_tasks(stack.engine, added, after=rows - added)
            for figure in _beside(stack, f"claim.{rows}_rows"):
                yield figure
                what = figure.name.rpartition(".")[2]
                if what in first:
                    name, ratio = f"claim.ratio.{what}", figure.value / first[what]
                    yield Figure(name=name, value=ratio, unit=f"{_MANY}/{_FEW} rows")
                first.setdefault(what, figure.value)


def _beside(stack: Stack, name: str) -> Iterator[Figure]:
    settings = Settings(
        store_url=stack.store_url,
        broker_url=stack.broker_url,
        redis_url=stack.redis_url,
        agents_path=(AGENTS,),
        model_small="instant",
        openai_api_key=SecretStr("any"),
    )
    with open_core(settings, application="bench", ping=False) as core:
        with open_worker(core) as parts:
            for session, kind in ((False, "task"), (True, "session_task")):
                _cycle(stack, parts.executor.deliver, _WARM_UP, session=session)
                touched = _pages(stack)
                first, whole = _cycle(stack, parts.executor.deliver, _CYCLES, session=session)
                core.engine.dispose()  # sessions that end tell the server their counts
                time.sleep(1)
                pages = (_pages(stack) - touched) / _CYCLES
                yield from spread(f"{name}.{kind}_to_first_step", first, 0.5)
                yield from spread(f"{name}.{kind}", whole, 0.5, 0.99)
                yield Figure(name=f"{name}.{kind}_pages", value=pages, unit="pages/task")
        sweeper = Sweeper(core.engine, core.postman)
        yield from spread(f"{name}.sweep", _time(sweeper.sweep), 0.5)
        yield from spread(f"{name}.search_for_forgotten", _time(sweeper.wake_forgotten), 0.5)


def _cycle(
    stack: Stack, deliver: Callable[..., None], count: int, *, session: bool
) -> tuple[list[float], list[float]]:
    """Seconds from a message to its first step, and to the end of its task."""
    first, whole = [], []
    for number in range(count):
        envelope = build_envelope(
            tenant="acme",
            agent=AGENT,
            input=f"{TEXT} {number}",
            session_id=f"session {number % 10}" if session else None,
        )
        begun, clock = time.time(), time.perf_counter()
        deliver(envelope.to_dict(), queue=agent_address(AGENT), traceparent=None)
        whole.append(time.perf_counter() - clock)
        first.append(asked_at(stack, envelope.id) - begun)
    return first, whole


def _pages(stack: Stack) -> int:
    """Pages of the table and its indexes that were looked at so far."""
    query = text("""
        SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read
        FROM pg_statio_user_tables WHERE relname = 'tasks'
    """)
    with stack.engine.begin() as connection:
        return int(connection.execute(query).scalar_one())


def _time(work: Callable[[], int]) -> list[float]:
    seconds = []
    for _ in range(_SWEEPS):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return seconds
