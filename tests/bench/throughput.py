"""Tasks a second on this machine: the fleet, bare Celery and DBOS, on the same servers."""

from collections.abc import Callable, Iterator

from bench.drain import Drain
from bench.drain_celery import drain_celery
from bench.drain_dbos import drain_dbos
from bench.drain_fleet import drain_fleet
from bench.figures import Figure, Remark, Said
from bench.package_environment import NotInstalled

_SLOTS = 100  # a process, on all sides
_TASKS = {"fleet": 2500, "bare_celery": 6000, "dbos": 2000}  # some seconds of work for each
_PROCESSES = (1, 2)
_SIDES: dict[str, Callable[..., Drain]] = {
    "fleet": drain_fleet,
    "bare_celery": drain_celery,
    "dbos": drain_dbos,
}


def measure() -> Iterator[Said]:
    """Empty a filled queue with each of them, with one process and with two."""
    for processes in _PROCESSES:
        drains: dict[str, Drain] = {}
        for side, drain in _SIDES.items():
            try:
                done = drain(tasks=_TASKS[side], workers=processes, slots=_SLOTS)
            except NotInstalled as error:
                yield Remark(text=str(error))
                continue
            drains[side] = done
            yield from done.figures(f"throughput.{_plural(processes)}.{side}")
        fleet = drains.pop("fleet")
        for side, other in drains.items():
            yield from _ratios(f"throughput.{_plural(processes)}", side, fleet, other)


def _ratios(name: str, side: str, fleet: Drain, other: Drain) -> Iterator[Figure]:
    unit = f"fleet/{side}"
    rates = fleet.tasks_per_second / other.tasks_per_second
    yield Figure(name=f"{name}.ratio_to_{side}.tasks_per_second", value=rates, unit=unit)
    yield Figure(
        name=f"{name}.ratio_to_{side}.worker_processor",
        value=fleet.worker_ms / other.worker_ms,
        unit=unit,
    )


def _plural(processes: int) -> str:
    return "1_process" if processes == 1 else f"{processes}_processes"
