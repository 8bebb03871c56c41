"""Processor time that programs use, by asking the kernel: it hardly depends on who else is busy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psutil
from sqlalchemy import Engine, text


class Disturbed(Exception):
    """Something outside made a measurement worthless; the same again may succeed."""


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
        self._brokers: set[int] | None = None

    def read(self) -> ProcessorTime:
        """What they have used since they started.

        Raises:
            Disturbed: A broker was started or stopped since the first reading.
        """
        programs = [each for each in psutil.process_iter(["name"]) if each.info["name"]]
        sessions = self._session_ids()
        brokers = {each.pid for each in programs if each.info["name"] == "beam.smp"}
        if self._brokers is not None and brokers != self._brokers:
            raise Disturbed("A RabbitMQ was started or stopped on this machine meanwhile.")
        self._brokers = brokers
        return ProcessorTime(
            workers=sum(_with_children(each) for each in self._workers),
            store=_of_all(
                each
                for each in programs
                if each.pid in sessions and each.info["name"] == "postgres"
            ),
            broker=_of_all(each for each in programs if each.pid in brokers),
        )

    def _session_ids(self) -> set[int]:
        if self._engine is None:
            return set()
        query = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        with self._engine.begin() as connection:
            return set(connection.execute(query).scalars())


def _of_all(processes: Iterable[psutil.Process]) -> float | None:
    seconds = [_seconds(each) for each in processes]
    return sum(seconds) if seconds else None


def _with_children(process: psutil.Process) -> float:
    return sum(_seconds(each) for each in [process, *process.children(recursive=True)])


def _seconds(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:2])
    except psutil.NoSuchProcess:
        return 0.0  # it ended while the others were asked
