"""The fleet's side: durable tasks of one step, whose model answers at once in the worker."""

from bench.drain import Drain, measure_drain
from bench.fleet_run import bench_fleet, fill_queue
from bench.processor import ProcessorClock
from support.stacks import open_stack


def drain_fleet(*, tasks: int, workers: int, slots: int) -> Drain:
    """Fill the queue, then start the workers."""
    with open_stack("rabbitmq") as stack:
        fill_queue(stack, tasks)
        with bench_fleet(stack, workers=workers, slots=slots) as running:
            clock = ProcessorClock(running.pids, stack.engine)
            return measure_drain(running.succeeded, total=tasks, clock=clock)
