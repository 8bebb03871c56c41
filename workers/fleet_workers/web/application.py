"""Assembles the web process."""

from collections.abc import Callable

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from fleet_contracts.errors import FleetError
from fleet_workers.telemetry.metrics import StoreCollector
from fleet_workers.web import feedback_page, problems
from fleet_workers.web.addresses import refuse_nul
from fleet_workers.web.api import ROUTERS
from fleet_workers.web.console import STATIC_FOLDER, answer_console_error, console_router
from fleet_workers.web.errors import SignInNeeded
from fleet_workers.web.headers import SecurityHeaders
from fleet_workers.web.openapi import describe_api
from fleet_workers.web.request_meters import RequestMeters
from fleet_workers.web.request_traces import TELEMETRY
from fleet_workers.web.resources import WebResources
from fleet_workers.web.scrapes import Scrapes
from fleet_workers.web.streams import StreamRoom
from fleet_workers.web.waiting import WaitingRoom

_DESCRIPTION = "Hand tasks to the fleet, follow them, and see what waits for people."


def create_app(resources: WebResources) -> FastAPI:
    """Make the ASGI application. It opens nothing and reads no environment by itself."""
    app = FastAPI(
        title="Agent Fleet",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,  # both pages load their code from a foreign host
        redoc_url=None,
        telemetry=TELEMETRY,
    )
    app.state.resources = resources
    app.state.waiting_room = WaitingRoom()
    app.state.stream_room = StreamRoom()
    app.state.metrics = CollectorRegistry()
    app.state.metrics.register(StoreCollector(Scrapes(resources).read))
    for router in ROUTERS:
        app.include_router(router, dependencies=[Depends(refuse_nul)])
    app.mount("/console/static", StaticFiles(directory=STATIC_FOLDER), name="static")
    app.include_router(console_router)
    app.include_router(feedback_page.router)
    app.add_route("/", lambda _: RedirectResponse("/console"))
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMeters)
    app.add_exception_handler(SignInNeeded, answer_console_error)
    app.add_exception_handler(FleetError, _or_page(problems.answer_fleet_error))
    app.add_exception_handler(HTTPException, _or_page(problems.answer_http_error))
    app.add_exception_handler(RequestValidationError, _or_page(problems.answer_invalid_request))
    app.add_exception_handler(Exception, problems.answer_unknown_error)
    # FastAPI's documented way to complete its document.
    app.openapi = lambda: describe_api(app)  # type: ignore[method-assign]
    return app


def _or_page(
    answer: Callable[[Request, Exception], Response],
) -> Callable[[Request, Exception], Response]:
    """Answer with a page where a person asked, else with a problem."""

    def choose(request: Request, error: Exception) -> Response:
        if request.url.path.startswith("/console"):
            return answer_console_error(request, error)
        return answer(request, error)

    return choose
