"""Measures the fleet and prints `name: value unit`, one figure a line.

Without arguments all benchmarks run, one after another; arguments name those that shall.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest

from bench import (
    audit_cost,
    batching,
    cached_plans,
    claim_cost,
    debounce,
    due_retries,
    fairness,
    first_step,
    gateway_cost,
    history,
    journal_cost,
    journal_size,
    metrics_cost,
    model_call,
    model_costs,
    model_use_cost,
    other_services,
    parked,
    routing,
    scaling,
    throughput,
    tiers,
    trace_backend,
    traces_cost,
)
from bench.figures import Said
from bench.processor import Disturbed
from bench.servers import describe_servers

BENCHMARKS: dict[str, Callable[[], Iterator[Said]]] = {
    "first_step": first_step.measure,
    "journal": journal_cost.measure,
    "throughput": throughput.measure,
    "model_call": model_call.measure,
    "gateway": gateway_cost.measure,
    "routing": routing.measure,
    "tiers": tiers.measure,
    "costs": model_costs.measure,
    "batching": batching.measure,
    "cache": cached_plans.measure,
    "use": model_use_cost.measure,
    "size": journal_size.measure,
    "claim": claim_cost.measure,
    "history": history.measure,
    "audit": audit_cost.measure,
    "due": due_retries.measure,
    "debounce": debounce.measure,
    "parked": parked.measure,
    "metrics": metrics_cost.measure,
    "services": other_services.measure,
    "fairness": fairness.measure,
    "priorities": fairness.measure_priorities,
    "scaling": scaling.measure,
    "traces": traces_cost.measure,
    "trace_backend": trace_backend.measure,
}


def main(names: list[str]) -> int:
    """Run the benchmarks of these names; 0 where all could be measured, 1 where not."""
    unknown = [each for each in names if each not in BENCHMARKS]
    if unknown:
        known = ", ".join(BENCHMARKS)
        print(f"No benchmark is called {', '.join(unknown)}: there are {known}.", file=sys.stderr)
        return 2
    begun, disturbed = time.monotonic(), False
    try:
        _print(describe_servers())
        for each in names or BENCHMARKS:
            print(f"# {each}; load: {os.getloadavg()[0]:.1f}", flush=True)
            try:
                _print(BENCHMARKS[each]())
            except Disturbed as error:
                print(f"# {each}: {error} Run it again: ONLY={each} make bench", flush=True)
                disturbed = True
    except pytest.skip.Exception as missing:
        print(f"Nothing can be measured here: {missing}", file=sys.stderr)
        return 1
    print(f"bench.duration: {time.monotonic() - begun:.0f} s")
    return int(disturbed)


def _print(said: Iterator[Said]) -> None:
    for each in said:
        print(each.line(), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
