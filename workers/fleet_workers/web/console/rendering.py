"""Renders pages. Whatever stands on them is escaped: customers' words are hostile."""

import json
from datetime import UTC, datetime, timedelta
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
from fleet_workers.web.errors import SignInNeeded
from fleet_workers.web.problems import describe

_FOLDER = Path(__file__).parent
STATIC_FOLDER = _FOLDER / "static"
_log = structlog.get_logger(__name__)


def page(
    request: Request, template: str, *, status: HTTPStatus = HTTPStatus.OK, **values: Any
) -> Response:
    """Render a template. `holder` in the values shows the navigation of somebody signed in."""
    shown = (
        _environment()
        .get_template(template)
        .render(path=request.url.path, now=datetime.now(UTC), **values)
    )
    return HTMLResponse(shown.encode("utf-8", "replace"), status_code=status)


def answer_console_error(request: Request, error: Exception) -> Response:
    """Answer an error with a page: the sign-in where nobody is signed in."""
    if isinstance(error, SignInNeeded):
        wanted = request.url.path if request.method == "GET" else "/console"
        return RedirectResponse(
            f"/console/sign-in?next={quote(wanted)}", status_code=HTTPStatus.SEE_OTHER
        )
    if isinstance(error, FleetError):
        problem = describe(error)
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
    return page(request, "error.html", status=status, title=title, detail=detail)


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
        iso=iso_time, plain=plain_words, pretty=pretty_json, duration=duration_words
    )
    return environment


def iso_time(moment: datetime | None) -> str:
    """A time in UTC to the second (RFC 3339), or a dash."""
    if moment is None:
        return "\u2013"
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain_words(name: str) -> str:
    """A name in snake case as words."""
    return str(name).replace("_", " ")


def pretty_json(value: object) -> str:
    """JSON as a person reads it; a text stands as it is."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def duration_words(span: timedelta | None) -> str:
    """A time span in the unit that fits: 240 ms, 1.8 s, 3 min 5 s; a dash for none."""
    if span is None:
        return "\u2013"
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004 a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
