"""The verdict on a run: what was promised, against the store and the business's own record."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import Engine, select

from chaos.scenarios import ChaosTask, intended_of
from fleet_contracts.states import OPEN_STATES, TaskState
from fleet_workers.store.tables import tasks

_PAGE = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Where a task stands in the end."""

    state: str
    review_kind: str | None = None
    code: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Findings in words, one for each thing that went wrong; all empty where nothing did.

    `lost`: promised, and not where it should be in the end. `duplicates`: an effect more often
    than intended. `missing`: succeeded without its effect. `disorders`: done before an earlier
    task of the same session.
    """

    lost: tuple[str, ...]
    duplicates: tuple[str, ...]
    missing: tuple[str, ...]
    disorders: tuple[str, ...]


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
            code=(row.last_error or {}).get("code", ""),
            error=(row.last_error or {}).get("message", ""),
        )
        for row in rows
    }


def unsettled(engine: Engine, promised: Mapping[str, ChaosTask]) -> list[str]:
    """References of the tasks that have not come to an end yet."""
    known = endings(engine, promised)
    return [ref for ref in promised if ref not in known or known[ref].state in OPEN_STATES]


def applied_effects(business_url: str, *, of: str | None = None) -> dict[str, Counter[str]]:
    """How often each action was applied, by the task's reference, as the business recorded it.

    In the order in which the tasks' first effects came about; `of` names a customer, or all.
    """
    found: dict[str, Counter[str]] = defaultdict(Counter)
    after = 0
    while page := _effects(business_url, of, after):
        for effect in page:
            if (ref := intended_of(effect)) is not None:
                found[ref][effect["action"]] += 1
        after = page[-1]["id"]
    return found


def _effects(business_url: str, customer: str | None, after: int) -> Sequence[Mapping[str, Any]]:
    wanted: dict[str, str | int] = {"outcome": "applied", "after": after, "limit": _PAGE}
    if customer is not None:
        wanted["customer"] = customer
    answer = httpx2.get(f"{business_url}/effects", params=wanted, timeout=30)
    answer.raise_for_status()
    rows: list[Mapping[str, Any]] = answer.json()["effects"]
    return rows


def judge(
    promised: Mapping[str, ChaosTask],
    ends: Mapping[str, Ending],
    effects: Mapping[str, Counter[str]],
) -> Verdict:
    """Compare what was intended with what came about. `promised` is in order of submission."""
    lost, duplicates, missing = [], [], []
    for ref, task in promised.items():
        end = ends.get(ref)
        if end is None or not _is_expected(task, end):
            lost.append(f"{task}: {end or 'unknown to the store'}")
        wanted = Counter() if task.poison else Counter(task.script.effects)
        done = effects.get(ref, Counter())
        for action in {*wanted, *done}:
            words = f"{task}: {action} {done[action]} of {wanted[action]}"
            if done[action] > wanted[action]:
                duplicates.append(words)
            elif done[action] < wanted[action] and end and end.state == TaskState.SUCCEEDED:
                missing.append(words)
    return Verdict(
        lost=tuple(lost),
        duplicates=tuple(duplicates),
        missing=tuple(missing),
        disorders=tuple(_disorders(promised, list(effects))),
    )


def _is_expected(task: ChaosTask, end: Ending) -> bool:
    if task.poison:
        return end.state == TaskState.DEAD and end.code == "max_deliveries"
    return end.state == TaskState.SUCCEEDED


def _disorders(promised: Mapping[str, ChaosTask], done: Sequence[str]) -> Iterator[str]:
    """Neighbours in a session whose effects came about the other way round."""
    places = {ref: place for place, ref in enumerate(done)}
    last: dict[str, str] = {}
    for ref, task in promised.items():
        if task.session_id is None or ref not in places:
            continue
        before = last.get(task.session_id)
        if before is not None and places[before] > places[ref]:
            yield f"{task} before {before}"
        last[task.session_id] = ref
