"""For machines that watch the process: `/healthz`, `/readyz`, `/metrics`. They need no key."""

from http import HTTPStatus

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, ConfigDict

from fleet_contracts.errors import ConfigurationError, FleetError
from fleet_workers.store.version import check_version
from fleet_workers.telemetry import meters
from fleet_workers.web.resources import Resources

router = APIRouter(tags=["operations"])
_log = structlog.get_logger(__name__)


class Health(BaseModel):
    """The process answers."""

    model_config = ConfigDict(frozen=True)

    status: str = "up"


class Readiness(BaseModel):
    """Whether the process can take tasks. `parts` names each part it needs: `ok`, or what fails."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    parts: dict[str, str]


@router.get("/healthz")
def read_health() -> Health:
    """Tell that the process is up; it looks at nothing else."""
    return Health()


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={HTTPStatus.SERVICE_UNAVAILABLE: {"model": Readiness, "description": "Not ready"}},
)
def read_readiness(resources: Resources) -> JSONResponse:
    """Tell whether the store can be reached and has the tables that this code needs."""
    parts = {"store": "ok", "migrations": "ok"}
    try:
        with resources.transaction() as connection:
            check_version(connection)
    except ConfigurationError as error:
        parts["migrations"] = str(error)
    except FleetError as error:
        _log.warning("web.not_ready", error=str(error))
        parts = {"store": "cannot be reached", "migrations": "not known"}
    ready = set(parts.values()) == {"ok"}
    return JSONResponse(
        Readiness(ready=ready, parts=parts).model_dump(),
        status_code=HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE,
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def read_metrics(request: Request) -> Response:
    """Figures of the fleet, and of this process, in the text form of Prometheus."""
    registry: CollectorRegistry = request.app.state.metrics
    text = generate_latest(registry) + generate_latest(meters.REGISTRY)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})
