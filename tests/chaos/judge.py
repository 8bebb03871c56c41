"""The verdict on a run: what was promised, against the store and the business's own record."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import Engine, select

from chaos.scenarios import ChaosTask, intended_of
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.store.tables import tasks

_PAGE = 5000
SETTLED = {
    TaskState.SUCCEEDED,
    TaskState.REJECTED,
    TaskState.DEAD,
    TaskState.CANCELLED,
    TaskState.EXPIRED,
    TaskState.IN_REVIEW,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Where a task stands in the end."""

    state: str
    review_kind: str | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Findings in words, one a task that went wrong: lost, or an effect too many or too few."""

    lost: tuple[str, ...]
    duplicates: tuple[str, ...]
    missing: tuple[str, ...]
    in_doubt: int


def endings(engine: Engine, promised: Mapping[str, ChaosTask]) -> dict[str, Ending]:
    """The ending of every promised task that the store knows, by reference."""
    by_id: dict[UUID, str] = {task.id: ref for ref, task in promised.items()}
    query = select(tasks.c.id, tasks.c.state, tasks.c.outcome, tasks.c.last_error)
    with engine.begin() as connection:
        rows = connection.execute(query.where(tasks.c.id.in_(list(by_id)))).all()
    return {
        by_id[row.id]: Ending(
            state=row.state,
            review_kind=(row.outcome or {}).get("review_kind"),
            error=str((row.last_error or row.outcome or {}).get("message", "")),
        )
        for row in rows
    }


def unsettled(engine: Engine, promised: Mapping[str, ChaosTask]) -> list[str]:
    """References of the tasks that have not come to an end yet."""
    known = endings(engine, promised)
    return [ref for ref in promised if ref not in known or known[ref].state not in SETTLED]


def applied_effects(business_url: str) -> dict[str, Counter[str]]:
    """How often each action was applied, by the task's reference, as the business recorded it."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    after = 0
    while page := _effects(business_url, after):
        for effect in page:
            if (ref := intended_of(effect)) is not None:
                found[ref][effect["action"]] += 1
        after = page[-1]["id"]
    return found


def _effects(business_url: str, after: int) -> Sequence[Mapping[str, Any]]:
    wanted: dict[str, str | int] = {"outcome": "applied", "after": after, "limit": _PAGE}
    answer = httpx2.get(f"{business_url}/effects", params=wanted, timeout=30)
    answer.raise_for_status()
    rows: list[Mapping[str, Any]] = answer.json()["effects"]
    return rows


def judge(
    promised: Mapping[str, ChaosTask],
    ends: Mapping[str, Ending],
    effects: Mapping[str, Counter[str]],
) -> Verdict:
    """Compare what was intended with what came about."""
    lost, duplicates, missing = [], [], []
    for ref, task in promised.items():
        end = ends.get(ref)
        if end is None or not _is_expected(task, end):
            lost.append(f"{ref} {task.script_name} {','.join(task.kill)}: {end}")
        for action in {*task.script.effects, *effects.get(ref, ())}:
            wanted = task.script.effects.get(action, 0)
            done = effects.get(ref, Counter())[action]
            words = f"{ref} {task.script_name} {','.join(task.kill)}: {action} {done} of {wanted}"
            if done > wanted:
                duplicates.append(words)
            elif done < wanted and end is not None and end.state == TaskState.SUCCEEDED:
                missing.append(words)
    return Verdict(
        lost=tuple(lost),
        duplicates=tuple(duplicates),
        missing=tuple(missing),
        in_doubt=sum(end.review_kind == ReviewKind.IN_DOUBT for end in ends.values()),
    )


def _is_expected(task: ChaosTask, end: Ending) -> bool:
    if end.state == TaskState.SUCCEEDED:
        return True
    doubted = end.state == TaskState.IN_REVIEW and end.review_kind == ReviewKind.IN_DOUBT
    return doubted and task.script.may_be_in_doubt
