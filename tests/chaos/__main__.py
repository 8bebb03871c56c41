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
from chaos.rabbitmq_node import rabbitmq_program
from support.nursery import open_nursery

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
    stacks = available_stacks()
    for left, name in zip(range(len(stacks), 0, -1), stacks, strict=True):
        seconds = (deadline - time.monotonic()) / left - _OPENING_SECONDS
        plan = Plan(kills=-(-(KILLS - kills(reports)) // left), seconds=seconds, seed=SEED)
        reports.append(attack(name, plan, folder / name))
    for line in figures(reports):
        print(line)
    wrong = [finding for report in reports for finding in findings(report)]
    if kills(reports) < KILLS:
        wrong.append(f"{kills(reports)} kills happened in the time, {KILLS} were asked for.")
    for finding in wrong:
        print(finding, file=sys.stderr)
    if wrong:
        print(f"Logs and marks are kept in {folder}.", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


def available_stacks() -> list[str]:
    """The stacks asked for, without RabbitMQ's where that is not installed; on CI all of them."""
    if rabbitmq_program() is not None or os.environ.get("CI"):
        return list(STACKS)
    print("rabbitmq-server is not installed: its stack is left out.", file=sys.stderr)
    return [name for name in STACKS if name != "rabbitmq"]


def attack(name: str, plan: Plan, folder: Path) -> Report:
    """Run one stack in a folder of its own."""
    folder.mkdir()
    with (
        open_nursery(folder, prepared_by="chaos.points") as nursery,
        open_ground(name, folder) as ground,
    ):
        return run_campaign(plan, nursery, ground, folder)


def give_up() -> None:
    """End a run that hangs. Everything it started ends with it."""
    print(f"The run did not end within {SECONDS:g} s.", file=sys.stderr, flush=True)
    os._exit(2)


if __name__ == "__main__":
    sys.exit(main())
