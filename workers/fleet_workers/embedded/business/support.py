"""Support in the sandbox: help articles, service status, incidents, credential resets."""

import re
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, RowMapping, insert, or_, select, update

from fleet_workers.embedded.business.database import next_id
from fleet_workers.embedded.business.desk import AtDesk, AtPublicDesk
from fleet_workers.embedded.business.effects import Caller
from fleet_workers.embedded.business.problems import Refused, not_found
from fleet_workers.embedded.business.seed import TODAY
from fleet_workers.embedded.business.tables import (
    credential_resets,
    help_articles,
    incidents,
    members,
    services,
    workspaces,
)

router: Final = APIRouter(tags=["support"])

_TAG_WEIGHT: Final = 3
_TITLE_WEIGHT: Final = 2
_SHORTEST_STEM: Final = 4
"""Words count as the same when they begin with the same letters: upload, uploads, uploading."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class IncidentReport(_Body):
    """Something that does not work for this customer."""

    service: Annotated[str, Field(min_length=1, max_length=50)]
    title: Annotated[str, Field(min_length=3, max_length=200)]
    description: Annotated[str, Field(min_length=3, max_length=5000)]
    severity: Literal["minor", "major", "critical"] = "minor"


class ResetRequest(_Body):
    """New credentials for one person of the customer's."""

    email: Annotated[str, Field(min_length=3, max_length=200)]
    kind: Literal["password", "two_factor", "api_token"] = "password"


@router.get("/help-articles")
def search_help_articles(
    desk: AtPublicDesk,
    query: Annotated[str, Query(min_length=1, max_length=2000)],
    limit: Annotated[int, Query(ge=1, le=12)] = 3,
) -> dict[str, Any]:
    """The articles that share most words with the query, best first; none where none does."""
    wanted = _stems(query)
    with desk.reading() as connection:
        own = select(help_articles).where(help_articles.c.tenant == desk.tenant)
        rows = connection.execute(own.order_by(help_articles.c.id)).mappings().all()
    ranked = sorted(rows, key=lambda row: -_score(row, wanted))
    return {"articles": [_article(row) for row in ranked[:limit] if _score(row, wanted)]}


@router.get("/services")
def get_service_status(desk: AtPublicDesk) -> dict[str, Any]:
    """Every service of the tenant, and the incidents that are open for everybody."""
    with desk.reading() as connection:
        own = select(services).where(services.c.tenant == desk.tenant).order_by(services.c.name)
        public = (
            select(incidents)
            .where(
                incidents.c.tenant == desk.tenant,
                incidents.c.customer.is_(None),
                incidents.c.status == "open",
            )
            .order_by(incidents.c.id)
        )
        states = [
            {"service": row["name"], "status": row["status"], "note": row["note"]}
            for row in connection.execute(own).mappings()
        ]
        return {
            "all_operational": all(state["status"] == "operational" for state in states),
            "services": states,
            "open_incidents": [_incident(row) for row in connection.execute(public).mappings()],
        }


@router.get("/incidents")
def list_incidents(
    desk: AtDesk, status: Literal["open", "resolved"] | None = None
) -> dict[str, Any]:
    """The customer's own incidents and those of everybody, newest first."""
    query = (
        select(incidents)
        .where(
            incidents.c.tenant == desk.caller.tenant,
            or_(incidents.c.customer.is_(None), incidents.c.customer == desk.caller.customer),
        )
        .order_by(incidents.c.opened_on.desc(), incidents.c.id.desc())
    )
    if status:
        query = query.where(incidents.c.status == status)
    with desk.reading() as connection:
        return {"incidents": [_incident(row) for row in connection.execute(query).mappings()]}


@router.post("/incidents", status_code=201)
def open_incident(desk: AtDesk, body: IncidentReport) -> JSONResponse:
    """Open an incident for this customer."""

    def work(connection: Connection) -> dict[str, Any]:
        own = select(services.c.name).where(services.c.tenant == desk.caller.tenant)
        known = connection.execute(own.order_by(services.c.name)).scalars().all()
        if body.service not in known:
            raise Refused(422, f"There is no service {body.service}. Services: {', '.join(known)}.")
        row = {
            "id": next_id(connection, incidents, "inc"),
            "tenant": desk.caller.tenant,
            "customer": desk.caller.customer,
            **body.model_dump(),
            "status": "open",
            "opened_on": TODAY,
        }
        connection.execute(insert(incidents).values(row))
        return _incident(row)

    return desk.perform("open_incident", body.model_dump(), work)


@router.post("/credential-resets", status_code=201)
def reset_credentials(desk: AtDesk, body: ResetRequest) -> JSONResponse:
    """Send a reset link to the person's own address; a locked account is unlocked."""

    def work(connection: Connection) -> dict[str, Any]:
        email = body.email.strip().lower()
        places = _workspaces_of(connection, desk.caller, email)
        if not places:
            raise not_found("member with the e-mail address", body.email)
        row = {
            "id": next_id(connection, credential_resets, "rst"),
            "tenant": desk.caller.tenant,
            "customer": desk.caller.customer,
            "email": email,
            "kind": body.kind,
            "requested_on": TODAY,
        }
        connection.execute(insert(credential_resets).values(row))
        _renew(connection, places, email, body.kind)
        return {"reset_id": row["id"], "kind": body.kind, "sent_to": email, "valid_minutes": 30}

    return desk.perform("reset_credentials", body.model_dump(), work)


def _workspaces_of(connection: Connection, caller: Caller, email: str) -> list[str]:
    found = (
        select(workspaces.c.id)
        .join(members, members.c.workspace == workspaces.c.id)
        .where(
            workspaces.c.tenant == caller.tenant,
            workspaces.c.customer == caller.customer,
            members.c.email == email,
        )
    )
    return list(connection.execute(found).scalars())


def _renew(connection: Connection, places: list[str], email: str, kind: str) -> None:
    if kind == "api_token":
        connection.execute(
            update(workspaces).where(workspaces.c.id.in_(places)).values(api_access="valid")
        )
        return
    connection.execute(
        update(members)
        .where(members.c.workspace.in_(places), members.c.email == email)
        .values(status="active")
    )


def _stems(text: str) -> set[str]:
    words = re.findall(r"[^\W_]+", text.casefold())
    return {word for word in words if len(word) >= _SHORTEST_STEM or word.isdecimal()} | {
        word for word in words if word in {"2fa", "mfa", "sso", "api", "csv", "app", "ios"}
    }


def _score(row: RowMapping, wanted: set[str]) -> int:
    return (
        _TAG_WEIGHT * _matches(row["tags"], wanted)
        + _TITLE_WEIGHT * _matches(row["title"], wanted)
        + _matches(row["body"], wanted)
    )


def _matches(text: str, wanted: set[str]) -> int:
    present = _stems(text)
    return sum(
        any(word == other or _same_stem(word, other) for other in present) for word in wanted
    )


def _same_stem(first: str, second: str) -> bool:
    shorter, longer = sorted((first, second), key=len)
    return len(shorter) >= _SHORTEST_STEM and longer.startswith(shorter)


def _article(row: RowMapping) -> dict[str, Any]:
    return {"article_id": row["id"], "title": row["title"], "text": row["body"]}


def _incident(row: Any) -> dict[str, Any]:
    return {
        "incident_id": row["id"],
        "for_everybody": row["customer"] is None,
        "service": row["service"],
        "title": row["title"],
        "description": row["description"],
        "severity": row["severity"],
        "status": row["status"],
        "opened_on": row["opened_on"],
    }
