"""What retention may delete: one rule a table, in the order in which they are applied.

Nothing that is open goes, nor what an open thing still needs: tasks that wait for a person,
journals of letters that may be replayed, money that is reserved.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import TextClause, text

from fleet_workers.retention_policy import Kind, Scope

_IS_OVER: Final = """
({task}.state IN ('succeeded', 'rejected', 'cancelled', 'expired')
    OR ({task}.state = 'dead' AND NOT EXISTS (
        SELECT FROM dead_letters AS d WHERE d.task_id = {task}.id AND d.settled_at IS NULL)))
"""
"""Condition on a row of `tasks`: nothing can come of it any more. A dead one may be replayed."""
_TASK_IS_OVER: Final = f"""
NOT EXISTS (SELECT FROM tasks AS t WHERE t.id = r.task_id AND NOT {_IS_OVER.format(task="t")})
"""
_NO_REVIEW_WAITS: Final = """
NOT EXISTS (SELECT FROM reviews AS w
            WHERE w.{column} = r.{value} AND w.state NOT IN ('resumed', 'closed'))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Rows of one table that go once `at` is older than the days of `kind`.

    `key` names the columns that tell rows apart, `free` what else must hold of a row `r`, `also`
    further deletions, as CTEs that read `doomed`. A table without tenants has
    `for_all`: it keeps what the longest policy keeps. With `by_month` rows go with their month.
    """

    table: str
    kind: Kind
    key: tuple[str, ...]
    at: str
    free: str = "true"
    also: str = ""
    for_all: bool = False
    by_month: bool = False

    def count(self, scope: Scope) -> tuple[TextClause, dict[str, Any]]:
        """A statement that gives the number of rows that would go, and the oldest one's time."""
        return self._statement(
            """
            SELECT count(*) AS rows, min(CAST({at} AS timestamptz)) AS at
            FROM {table} AS r WHERE {where}
            """,
            scope,
        )

    def delete(self, scope: Scope, *, limit: int) -> tuple[TextClause, dict[str, Any]]:
        """A statement that deletes the oldest rows; gives their number and the newest one's time.

        It takes the parameter `since`: nothing older than that is looked for again. Rows that
        somebody else holds are passed over.
        """
        columns = ", ".join(f"r.{each}" for each in self.key)
        same = " AND ".join(f"r.{each} = doomed.{each}" for each in self.key)
        statement, parameters = self._statement(
            f"""
            WITH doomed AS MATERIALIZED (
                SELECT {columns}, {{at}} AS at FROM {{table}} AS r
                WHERE {{where}} AND {{at}} >= :since
                ORDER BY {{at}} LIMIT :limit FOR UPDATE OF r SKIP LOCKED
            ){self.also}, gone AS (
                DELETE FROM {{table}} AS r USING doomed WHERE {same} RETURNING doomed.at
            )
            SELECT count(*) AS rows, max(at) AS at FROM gone
            """,  # noqa: S608 names come from the rules
            scope,
        )
        return statement, {**parameters, "limit": limit}

    def _statement(self, sql: str, scope: Scope) -> tuple[TextClause, dict[str, Any]]:
        whose, parameters = "true", dict[str, Any](days=scope.days)
        if not self.for_all and scope.tenant is not None:
            whose, parameters = "r.tenant = :tenant", {**parameters, "tenant": scope.tenant}
        elif not self.for_all and scope.others:
            whose = "(r.tenant IS NULL OR r.tenant <> ALL(CAST(:others AS text[])))"
            parameters = {**parameters, "others": list(scope.others)}
        before = "now() - make_interval(days => :days)"
        if self.by_month:
            before = f"date_trunc('month', {before}, 'UTC')"
        where = f"{self.at} < {before} AND {whose} AND {self.free}"
        return text(sql.format(table=self.table, at=self.at, where=where)), parameters


RULES: Final = (
    Rule(
        table="dead_letters",
        kind="dead_letters",
        key=("id",),
        at="COALESCE(r.settled_at, r.created_at)",
    ),
    Rule(
        table="replays", kind="dead_letters", key=("id",), at="r.finished_at"
    ),
    Rule(
        table="bulk_requests",
        kind="journal",
        key=("key",),
        at="COALESCE(r.answered_at, r.created_at)",
        free=_TASK_IS_OVER,
    ),
    # Row by row only for tenants with days of their own: else a month goes as a whole.
    Rule(
        table="finished_steps",
        kind="journal",
        key=("task_id", "seq", "ended_at"),
        at="r.ended_at",
    ),
    Rule(
        table="reviews",
        kind="reviews",
        key=("id",),
        at="r.decided_at",
        free=f"r.state IN ('resumed', 'closed') AND {_TASK_IS_OVER}",
    ),
    Rule(table="labels", kind="reviews", key=("review_id",), at="r.decided_at"),
    Rule(
        table="feedback",
        kind="feedback",
        key=("id",),
        at="r.created_at",
        free=_NO_REVIEW_WAITS.format(column="id", value="review_id"),
    ),
    Rule(
        table="tasks",
        kind="results",
        key=("id",),
        at="r.finished_at",
        free=f"""
            {_IS_OVER.format(task="r")}
            AND {_NO_REVIEW_WAITS.format(column="task_id", value="id")}
            AND NOT EXISTS (SELECT FROM spend_entries AS e
                            WHERE e.task_id = r.id AND e.state = 'reserved')
        """,
        also="""
            , own_steps AS (DELETE FROM steps AS s USING doomed WHERE s.task_id = doomed.id)
            , own_samples AS (DELETE FROM samples AS s USING doomed WHERE s.task_id = doomed.id)
            , own_totals AS (
                DELETE FROM spend_totals AS s USING doomed
                WHERE s.kind IN ('moved', 'cost') AND s.subject = 'task ' || doomed.id
                    AND s.day = '1970-01-01')
        """,
    ),
    Rule(
        table="samples",
        kind="results",
        key=("task_id",),
        at="r.created_at",
        free="NOT EXISTS (SELECT FROM tasks AS t WHERE t.id = r.task_id)",
    ),
    Rule(
        table="task_events",
        kind="events",
        key=("task_id", "id"),
        at="r.at",
        # Nobody is told of what is a day old, by a delivery that may take another; a mark may be
        # that of a webhook which is gone.
        free="r.at < now() - INTERVAL '3 days'",
    ),
    Rule(
        table="deliveries",
        kind="events",
        key=("id",),
        at="COALESCE(r.delivered_at, r.gave_up_at)",
        free="NOT EXISTS (SELECT FROM chore_marks AS m WHERE m.id = r.id)",
    ),
    Rule(
        table="spend_entries",
        kind="spend",
        key=("key", "kind"),
        at="r.day",
        free=f"r.state <> 'reserved' AND {_TASK_IS_OVER}",
    ),
    Rule(
        table="spend_totals",
        kind="figures",
        key=("kind", "subject", "day"),
        at="r.day",
        free="r.day > '1970-01-01'",
        for_all=True,
    ),
    Rule(
        table="quality_days",
        kind="figures",
        key=("tenant", "day", "agent", "offline"),
        at="r.day",
    ),
    Rule(
        table="model_days",
        kind="figures",
        key=("day", "tenant", "agent", "model", "tier", "source", "shard"),
        at="r.day",
    ),
    Rule(
        table="erasures",
        kind="audit",
        key=("id",),
        at="r.finished_at",
    ),
)  # fmt: skip


STRAGGLERS: Final = text(f"""
WITH RECURSIVE ids AS (
    (SELECT task_id FROM steps WHERE task_id > :after ORDER BY task_id LIMIT 1)
    UNION ALL
    SELECT (SELECT s.task_id FROM steps AS s WHERE s.task_id > ids.task_id
            ORDER BY s.task_id LIMIT 1)
    FROM ids WHERE ids.task_id IS NOT NULL
), looked_at AS MATERIALIZED (
    SELECT task_id FROM ids WHERE task_id IS NOT NULL LIMIT :limit
), gone AS (
    DELETE FROM steps AS s USING looked_at AS l, tasks AS t
    WHERE s.task_id = l.task_id AND t.id = l.task_id
        AND t.finished_at < now() - make_interval(days => :days) AND {_IS_OVER.format(task="t")}
        AND (CAST(:tenant AS text) IS NULL OR t.tenant = :tenant)
        AND t.tenant <> ALL(CAST(:others AS text[]))
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS rows, (array_agg(task_id ORDER BY task_id DESC))[1] AS last
FROM looked_at
""")  # noqa: S608 constants
"""Deletes journals that were never moved: of tasks that were dead, or had money reserved.

It looks at `limit` tasks behind `after`; gives the last of them, None where there are no more.
"""
