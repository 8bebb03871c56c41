"""Kills workers and servers while tasks are at work, and prints what that cost: `make chaos`."""

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos.campaign import Campaign, Plan, Report
from chaos.ground import open_ground

KILLS = int(os.environ.get("KILLS", "200"))
SECONDS = float(os.environ.get("LIMIT_SECONDS", "840"))
SEED = int(os.environ.get("SEED", str(int(time.time()))))
STACKS = tuple(os.environ.get("STACKS", "embedded,rabbitmq").split(","))


def main() -> None:
    print(f"chaos.seed: {SEED} number", flush=True)
    reports = []
    folder = Path(tempfile.mkdtemp(prefix="fleet-chaos-"))
    for name in STACKS:
        place = folder / name
        place.mkdir()
        with open_ground(name, place) as ground:
            plan = Plan(kills=KILLS // len(STACKS), seconds=SECONDS / len(STACKS), seed=SEED)
            reports.append(Campaign(plan, ground, place).run())
            tell(reports[-1])
    print(folder)


def tell(report: Report) -> None:
    print(report.stack, report.kills_by_point, f"{report.seconds:.0f} s")
    print("tasks", report.tasks, "copies", report.copies, "kills", report.kills)
    print("repeated", report.repeated)
    takes = report.takeover_seconds
    print(
        "takeover",
        len(takes),
        [round(x, 1) for x in takes[:: max(1, len(takes) // 10)]],
        takes[-3:],
    )
    for kind in ("lost", "duplicates", "missing"):
        print(kind, len(getattr(report.verdict, kind)), *getattr(report.verdict, kind), sep="\n   ")
    print("in doubt", report.verdict.in_doubt, "failures", report.failures, flush=True)


if __name__ == "__main__":
    main()
