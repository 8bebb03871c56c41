"""Bare Celery's side of the comparison: a task that does nothing, taken as the fleet's are."""

from bench.bare_celery import NOTHING
from bench.bare_run import bare_queue, bare_workers, waiting
from bench.drain import Drain, measure_drain
from bench.fleet_run import TEXT
from bench.processor import ProcessorClock
from support.stacks import open_stack


def drain_celery(*, tasks: int, workers: int, slots: int) -> Drain:
    """Fill the queue, then start the workers.

    A message counts as done when a worker takes it: all slots are full at both ends of the window,
    so as many end in between as are taken.
    """
    every = [(f"{TEXT} {each}",) for each in range(tasks)]
    with (
        open_stack("rabbitmq") as stack,
        bare_queue(stack, NOTHING, every),
        bare_workers(stack, workers=workers, slots=slots) as pids,
    ):
        clock = ProcessorClock(pids, None)
        return measure_drain(lambda: tasks - waiting(), total=tasks, clock=clock)
