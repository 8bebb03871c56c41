"""Kills workers and servers while tasks are at work, and prints what that cost: `make chaos`.

Figures go to standard output, findings to standard error. The exit code is 1 where anything was
lost, done twice or not proved, and 2 where the whole run did not end in time.
"""

import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos.campaign import Plan, Report, run_campaign
from chaos.figures import figures, findings, kills
from chaos.ground import open_ground
from chaos.nursery import open_nursery

KILLS = int(os.environ.get("KILLS", "200"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "840"))
SEED = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 100_000)))
STACKS = tuple(os.environ.get("CHAOS_STACKS", "embedded,rabbitmq").split(","))
_OPENING_SECONDS = 60.0
"""What starting and stopping a stack takes at most, on a busy machine."""


def main() -> int:
    """Run every stack within the time, and say how it went."""
    print(f"chaos.seed: {SEED} number", flush=True)
    deadline = time.monotonic() + SECONDS
    watchdog = threading.Timer(SECONDS + _OPENING_SECONDS, give_up)
    watchdog.daemon = True
    watchdog.start()
    folder = Path(tempfile.mkdtemp(prefix="fleet-chaos-"))
    folder.chmod(0o711)
    reports: list[Report] = []
    for left, name in zip(range(len(STACKS), 0, -1), STACKS, strict=True):
        seconds = (deadline - time.monotonic()) / left - _OPENING_SECONDS
        plan = Plan(kills=KILLS // len(STACKS), seconds=seconds, seed=SEED)
        place = folder / name
        place.mkdir()
        with open_nursery(place) as nursery, open_ground(name, place) as ground:
            reports.append(run_campaign(plan, nursery, ground, place))
    for line in figures(reports):
        print(line)
    wrong = [finding for report in reports for finding in findings(report)]
    if kills(reports) < KILLS:
        wrong.append(f"Only {kills(reports)} of {KILLS} kills happened in the time.")
    for finding in wrong:
        print(finding, file=sys.stderr)
    if wrong:
        print(f"Logs and marks are kept in {folder}.", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


def give_up() -> None:
    """End a run that hangs. Everything it started ends with it."""
    print(f"The run did not end within {SECONDS:g} s.", file=sys.stderr, flush=True)
    os._exit(2)


if __name__ == "__main__":
    sys.exit(main())
