"""The way in: how far a customer has come, free slots with a specialist, and booked sessions."""

from typing import Annotated, Any, Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, RowMapping, insert, select

from fleet_workers.embedded.business.billing_records import own
from fleet_workers.embedded.business.database import next_id
from fleet_workers.embedded.business.desk import AtDesk, AtPublicDesk
from fleet_workers.embedded.business.effects import Caller
from fleet_workers.embedded.business.problems import Refused, not_found
from fleet_workers.embedded.business.tables import sessions, slots, subscriptions, workspaces
from fleet_workers.embedded.business.workspace_records import show_workspace

router: Final = APIRouter(tags=["onboarding"])


class Booking(BaseModel):
    """A session to book."""

    model_config = ConfigDict(extra="forbid")

    slot_id: Annotated[str, Field(min_length=1, max_length=50)]
    topic: Annotated[str, Field(min_length=3, max_length=300)]


@router.get("/onboarding")
def get_onboarding_progress(desk: AtDesk) -> dict[str, Any]:
    """The five steps of the way in, which are done, and the next."""
    with desk.reading() as connection:
        steps = _steps(connection, desk.caller)
        booked = connection.execute(_sessions(desk.caller)).mappings().all()
        left = [step for step in steps if not step["done"]]
        return {
            "done": len(steps) - len(left),
            "of": len(steps),
            "steps": steps,
            "next_step": left[0]["step"] if left else None,
            "sessions": [_session(row) for row in booked],
        }


@router.get("/slots")
def list_free_slots(desk: AtPublicDesk) -> dict[str, Any]:
    """The slots that nobody has booked, soonest first."""
    free = (
        select(slots)
        .where(slots.c.tenant == desk.tenant, slots.c.id.not_in(select(sessions.c.slot)))
        .order_by(slots.c.starts_at)
    )
    with desk.reading() as connection:
        return {"slots": [_slot(row) for row in connection.execute(free).mappings()]}


@router.post("/sessions", status_code=201)
def book_session(desk: AtDesk, body: Booking) -> JSONResponse:
    """Book a free slot for the customer."""

    def work(connection: Connection) -> dict[str, Any]:
        known = select(slots).where(
            slots.c.tenant == desk.caller.tenant, slots.c.id == body.slot_id
        )
        slot = connection.execute(known).mappings().first()
        if slot is None:
            raise not_found("slot", body.slot_id)
        taken = select(sessions.c.id).where(sessions.c.slot == body.slot_id)
        if connection.execute(taken).first():
            raise Refused(409, f"{body.slot_id} is taken: choose a free slot.")
        made = next_id(connection, sessions, "ses")
        connection.execute(
            insert(sessions).values(
                id=made,
                tenant=desk.caller.tenant,
                customer=desk.caller.customer,
                slot=body.slot_id,
                topic=body.topic,
            )
        )
        return {"session_id": made, "topic": body.topic, **_slot(slot)}

    return desk.perform("book_session", body.model_dump(), work)


def _steps(connection: Connection, caller: Caller) -> list[dict[str, Any]]:
    rows = connection.execute(own(workspaces, caller)).mappings().all()
    shown = [show_workspace(connection, row) for row in rows]
    imported = [each["status"] for workspace in shown for each in workspace["imports"]]
    trouble = "" if "completed" in imported or not imported else f"the last one: {imported[-1]}"
    return [
        _step("choose a plan", bool(connection.execute(own(subscriptions, caller)).first())),
        _step("create a workspace", bool(shown)),
        _step(
            "invite colleagues",
            any(len(each["members"]) > 1 or each["invitations"] for each in shown),
        ),
        _step("import data", "completed" in imported, trouble),
        _step("book a session", bool(connection.execute(own(sessions, caller)).first())),
    ]


def _step(name: str, done: bool, note: str = "") -> dict[str, Any]:
    return {"step": name, "done": done, "note": note}


def _sessions(caller: Caller) -> Any:
    return (
        select(sessions, slots.c.starts_at, slots.c.minutes, slots.c.host)
        .join(slots, slots.c.id == sessions.c.slot)
        .where(sessions.c.tenant == caller.tenant, sessions.c.customer == caller.customer)
        .order_by(slots.c.starts_at)
    )


def _session(row: RowMapping) -> dict[str, Any]:
    shown = {name: row[name] for name in ("topic", "starts_at", "minutes", "host")}
    return {"session_id": row["id"], **shown}


def _slot(row: RowMapping) -> dict[str, Any]:
    shown = {name: row[name] for name in ("starts_at", "minutes", "host")}
    return {"slot_id": row["id"], **shown}
