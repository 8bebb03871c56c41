"""DBOS's side: as many workflows of one step, from its own queue, in the same PostgreSQL."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from bench.drain import Drain, measure_drain
from bench.package_environment import python_with
from bench.processor import ProcessorClock
from support.stacks import open_stack

VERSION = "3.4.0"
_APP = Path(__file__).parent / "dbos_app.py"
_DONE = text("SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'")


def drain_dbos(*, tasks: int, workers: int, slots: int) -> Drain:
    """Fill the queue, then start the workers.

    Raises:
        NotInstalled: DBOS is not here.
    """
    python = python_with("dbos", VERSION)
    with open_stack("rabbitmq") as stack:
        url = stack.store_url.replace("postgresql://", "postgresql+psycopg://")
        environment = {**os.environ, "BENCH_STORE_URL": url}
        environment.pop("PYTHONPATH", None)
        subprocess.run((python, _APP, "fill", str(tasks)), env=environment, check=True)
        with _workers(python, workers, slots, environment) as pids:
            clock = ProcessorClock(pids, stack.engine)
            return measure_drain(lambda: _count_done(stack.engine), total=tasks, clock=clock)


@contextmanager
def _workers(
    python: Path, workers: int, slots: int, environment: dict[str, str]
) -> Iterator[list[int]]:
    started = [
        subprocess.Popen((python, _APP, "work", f"worker_{number}", str(slots)), env=environment)
        for number in range(workers)
    ]
    try:
        yield [each.pid for each in started]
    finally:
        for each in started:
            each.kill()
        for each in started:
            each.wait()


def _count_done(engine: Engine) -> int:
    with engine.begin() as connection:
        return int(connection.execute(_DONE).scalar_one())
