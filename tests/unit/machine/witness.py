"""Triggers that write down every change of a task and of its steps, and what they then tell."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from fleet_contracts.states import TRANSITIONS, TaskState

INSTALL = """
CREATE TABLE seen (
    id bigserial PRIMARY KEY, task_id uuid, what text, old_state text, new_state text,
    old_epoch integer, new_epoch integer, beside integer, before integer
);

CREATE FUNCTION see_task() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE beside integer; before integer;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state = NEW.state AND OLD.epoch = NEW.epoch THEN
        RETURN NULL;
    END IF;
    SELECT count(*) FILTER (WHERE state = 'running'),
        count(*) FILTER (WHERE (submitted_at, id) < (NEW.submitted_at, NEW.id)
            AND (state <> 'in_review' OR outcome ->> 'review_kind'
                IN ('approval', 'in_doubt', 'over_budget', 'tool_away')))
    INTO beside, before FROM tasks
    WHERE tenant = NEW.tenant AND session_id = NEW.session_id AND id <> NEW.id
        AND state IN ('queued', 'running', 'retrying', 'in_review');
    INSERT INTO seen (task_id, what, old_state, new_state, old_epoch, new_epoch,
        beside, before)
    VALUES (NEW.id, 'task', CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END, NEW.state,
        CASE WHEN TG_OP = 'UPDATE' THEN OLD.epoch END, NEW.epoch, beside, before);
    RETURN NULL;
END $$;
CREATE TRIGGER see_task AFTER INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION see_task();

CREATE FUNCTION see_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE held integer; state text; fault text;
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.state, OLD.epoch, OLD.request, OLD.result)
        IS NOT DISTINCT FROM (NEW.state, NEW.epoch, NEW.request, NEW.result) THEN
        RETURN NULL;
    END IF;
    SELECT tasks.epoch, tasks.state INTO held, state FROM tasks WHERE id = NEW.task_id;
    fault := CASE
        WHEN NEW.epoch <> held AND state NOT IN ('cancelled', 'expired') THEN 'stale write'
        WHEN TG_OP = 'INSERT' THEN NULL
        WHEN OLD.state = 'done' AND NEW.state <> 'done' THEN 'undone'
        WHEN OLD.state = 'done' AND NOT OLD.result ? 'in_doubt' AND OLD.result <> NEW.result
            THEN 'rewritten'
        WHEN OLD.kind <> NEW.kind OR OLD.request <> NEW.request THEN 'changed'
    END;
    IF fault IS NOT NULL THEN
        INSERT INTO seen (task_id, what, new_epoch) VALUES (NEW.task_id, fault, NEW.epoch);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER see_step AFTER INSERT OR UPDATE ON steps FOR EACH ROW EXECUTE FUNCTION see_step();
"""

_GAPS = text("""
SELECT task_id FROM steps GROUP BY task_id HAVING min(seq) <> 0 OR max(seq) <> count(*) - 1
""")


def faults_since(connection: Connection, after: int) -> tuple[int, list[str]]:
    """What was done that must not be, since the row `after`; gives the last row's number, too."""
    rows = connection.execute(
        text("SELECT * FROM seen WHERE id > :after ORDER BY id"), {"after": after}
    ).all()
    faults = [fault for row in rows for fault in _faults(row)]
    faults += [f"steps of {task_id} have gaps" for task_id in connection.execute(_GAPS).scalars()]
    return (rows[-1].id if rows else after), faults


def history(connection: Connection, task_id: object) -> Sequence[Row[Any]]:
    """All that was seen of one task."""
    query = text("SELECT * FROM seen WHERE task_id = :id ORDER BY id")
    return connection.execute(query, {"id": task_id}).all()


def _faults(row: Row[Any]) -> list[str]:
    if row.what != "task":
        return [f"{row.what}: {row}"]
    found = []
    new = TaskState(row.new_state)
    if row.old_state is None:
        if new not in {TaskState.QUEUED, TaskState.RUNNING}:
            found.append(f"begins as {new}: {row}")
    elif row.old_state != new and new not in TRANSITIONS[TaskState(row.old_state)]:
        found.append(f"no such transition: {row}")
    if row.old_epoch is not None and row.new_epoch < row.old_epoch:
        found.append(f"the epoch fell: {row}")
    if new is TaskState.RUNNING and row.old_epoch != row.new_epoch and row.beside:
        found.append(f"two of a session run: {row}")
    if new is TaskState.RUNNING and row.old_epoch != row.new_epoch and row.before:
        found.append(f"out of turn: {row}")
    return found
