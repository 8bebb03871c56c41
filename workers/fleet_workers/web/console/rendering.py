"""Renders pages. Whatever stands on them is escaped: customers' words are hostile."""

from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from fleet_contracts.errors import FleetError
from fleet_workers.web.access import rights_of
from fleet_workers.web.console.flashes import forget_flash, read_flash
from fleet_workers.web.console.forms import csrf_token
from fleet_workers.web.console.paths import HOME, SIGN_IN, own_path
from fleet_workers.web.console.wording import (
    due_words,
    duration_words,
    excerpt,
    iso_time,
    money_words,
    plain_words,
    pretty_json,
    time_words,
)
from fleet_workers.web.errors import SignInNeeded
from fleet_workers.web.problems import describe, retry_headers

_FOLDER = Path(__file__).parent
STATIC_FOLDER = _FOLDER / "static"
_log = structlog.get_logger(__name__)


def page(
    request: Request, template: str, *, status: HTTPStatus = HTTPStatus.OK, **values: Any
) -> Response:
    """Render a template. `holder` in the values shows the navigation of somebody signed in.

    Every template has `path`, `now`, `csrf` for its forms (`parts.csrf(csrf)`), `may` (the short
    names of what the holder may do), and the `flash` of the form before, which is shown once.
    """
    holder, flash = values.get("holder"), read_flash(request)
    always = {
        "path": request.url.path,
        "now": datetime.now(UTC),
        "csrf": csrf_token(request),
        "may": {each.name.lower() for each in rights_of(holder)} if holder else frozenset(),
        "flash": flash,
    }
    shown = _environment().get_template(template).render(always, **values)
    response = HTMLResponse(shown.encode("utf-8", "replace"), status_code=status)
    if flash is not None:
        forget_flash(response)
    return response


def answer_console_error(request: Request, error: Exception) -> Response:
    """Answer an error with a page: the sign-in where nobody is signed in."""
    headers: dict[str, str] = {}
    if isinstance(error, SignInNeeded):
        return _lead_to_sign_in(request)
    if isinstance(error, FleetError):
        problem, headers = describe(error), retry_headers(error)
        status, title, detail = HTTPStatus(problem.status), problem.title, problem.detail
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("web.page_failed", code=error.code, error=str(error))
    elif isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        title, detail = status.phrase, "There is no such page here."
    elif isinstance(error, RequestValidationError):
        status, title = HTTPStatus.NOT_FOUND, "Not found"
        detail = "The address is not complete, or names nothing that exists."
    else:
        raise error
    response = page(request, "error.html", status=status, title=title, detail=detail)
    response.headers.update(headers)
    return response


def bounce(request: Request, target: str) -> Response:
    """Lead to a page of the console by a page of ours, so that the session's cookie comes along.

    It is SameSite=Strict: a browser that comes from another site, such as a mail or a provider of
    sign-ins, leaves it out. The step from our own page has it. Pages that are read this way change
    nothing, so another site gains nothing by leading people here.
    """
    return page(request, "bounce.html", target=own_path(target))


def _lead_to_sign_in(request: Request) -> Response:
    if request.method != "GET":
        wanted = HOME
    else:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if request.headers.get("sec-fetch-site") == "cross-site" and not csrf_token(request):
            return bounce(request, wanted)
    return RedirectResponse(f"{SIGN_IN}?next={quote(wanted)}", status_code=HTTPStatus.SEE_OTHER)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        iso=iso_time,
        plain=plain_words,
        pretty=pretty_json,
        duration=duration_words,
        money=money_words,
        due=due_words,
        when=time_words,
        excerpt=excerpt,
    )
    return environment
