"""Processor time that programs use, by asking the kernel: it hardly depends on who else is busy."""

from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from sqlalchemy import Engine, text


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorTime:
    """User and system time in seconds. None: runs elsewhere, or not used."""

    workers: float
    store: float | None
    broker: float | None


class ProcessorClock:
    """Adds up what some worker processes, one database's connections and the broker have used.

    The broker's time is that of all its users; the store's is that of the sessions of `engine`'s
    database that are open when the clock is read, not of checkpoints and the log's writer.
    """

    def __init__(self, workers: Sequence[int], engine: Engine | None) -> None:
        self._workers = [psutil.Process(each) for each in workers]
        self._engine = engine

    def read(self) -> ProcessorTime:
        """What they have used since they started."""
        return ProcessorTime(
            workers=sum(_seconds(each) for each in self._workers),
            store=_of_all(self._sessions()),
            broker=_of_all([each for each in psutil.process_iter() if each.name() == "beam.smp"]),
        )

    def _sessions(self) -> list[psutil.Process]:
        if self._engine is None:
            return []
        query = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        with self._engine.begin() as connection:
            found = connection.execute(query).scalars().all()
        return [
            psutil.Process(each)
            for each in found
            if psutil.pid_exists(each) and psutil.Process(each).name() == "postgres"
        ]


def _of_all(processes: list[psutil.Process]) -> float | None:
    return sum(sum(each.cpu_times()[:2]) for each in processes) if processes else None


def _seconds(process: psutil.Process) -> float:
    everyone = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in everyone)
