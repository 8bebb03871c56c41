"""Does what is asked for once per idempotency key, and records every time it was asked."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Row, insert, select

from fleet_workers.embedded.business.database import BusinessDatabase
from fleet_workers.embedded.business.problems import Refused, problem
from fleet_workers.embedded.business.tables import customers, effects

Work = Callable[[Connection], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: a tenant, and the customer that everything is limited to."""

    tenant: str
    customer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What came of one ask.

    `outcome` is applied (done now), refused (a rule said no), replayed (the first answer under
    this key, given again) or conflict (the key stands for something else).
    """

    outcome: str
    status: int
    answer: dict[str, Any]


def perform(
    database: BusinessDatabase,
    caller: Caller,
    action: str,
    arguments: dict[str, Any],
    work: Work,
    *,
    key: str | None,
) -> Effect:
    """Do `work` and record it, both in one transaction, or neither.

    The first ask under a key decides: the same ask again gets the same answer (a refusal too) and
    changes nothing; another ask under the key is a conflict. Without a key every ask counts.
    """
    asked = json.dumps(arguments, sort_keys=True)
    with database.writing() as connection:
        decided = _decided(connection, caller, key)
        if decided is None:
            effect = _do(connection, caller, work)
        elif (decided.customer, decided.action, decided.arguments) == (
            caller.customer,
            action,
            asked,
        ):
            effect = Effect(
                outcome="replayed", status=decided.status, answer=json.loads(decided.answer)
            )
        else:
            detail = f"The idempotency key {key!r} was used for another request: send a new key."
            effect = Effect(outcome="conflict", status=409, answer=problem(409, detail))
        connection.execute(
            insert(effects).values(
                tenant=caller.tenant,
                customer=caller.customer,
                action=action,
                arguments=asked,
                idempotency_key=key,
                outcome=effect.outcome,
                status=effect.status,
                answer=json.dumps(effect.answer),
                at=datetime.now(UTC).isoformat(),
            )
        )
    return effect


def require_customer(connection: Connection, caller: Caller) -> None:
    """Check that the caller exists.

    Raises:
        Refused: 404, where there is no such customer of this tenant.
    """
    known = select(customers.c.id).where(
        customers.c.id == caller.customer, customers.c.tenant == caller.tenant
    )
    if connection.execute(known).first() is None:
        raise Refused(404, f"There is no customer {caller.customer} of {caller.tenant}.")


class EffectFilter(BaseModel):
    """Which asks to list: those equal in every field that is given, with an id above `after`."""

    model_config = ConfigDict(extra="forbid")

    tenant: str | None = None
    customer: str | None = None
    action: str | None = None
    idempotency_key: str | None = None
    outcome: str | None = None
    after: int = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


def list_effects(connection: Connection, wanted: EffectFilter) -> list[dict[str, Any]]:
    """Give the recorded asks that were wanted, oldest first."""
    query = select(effects).where(effects.c.id > wanted.after)
    query = query.order_by(effects.c.id).limit(wanted.limit)
    for column, value in wanted.model_dump(exclude={"after", "limit"}).items():
        if value is not None:
            query = query.where(effects.c[column] == value)
    return [
        {**row, "arguments": json.loads(row["arguments"]), "answer": json.loads(row["answer"])}
        for row in connection.execute(query).mappings()
    ]


def _decided(connection: Connection, caller: Caller, key: str | None) -> Row[Any] | None:
    if key is None:
        return None
    return connection.execute(
        select(effects).where(
            effects.c.tenant == caller.tenant,
            effects.c.idempotency_key == key,
            effects.c.outcome.in_(("applied", "refused")),
        )
    ).first()


def _do(connection: Connection, caller: Caller, work: Work) -> Effect:
    try:
        with connection.begin_nested():
            require_customer(connection, caller)
            return Effect(outcome="applied", status=201, answer=work(connection))
    except Refused as refused:
        answer = problem(refused.status, refused.detail)
        return Effect(outcome="refused", status=refused.status, answer=answer)
