"""Signing in and out: with a key, or with a one-time link."""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from fleet_contracts.errors import Unauthorized
from fleet_workers.store.accounts import KeyHolder, holder_of
from fleet_workers.web.access import Right, has_right
from fleet_workers.web.bodies import read_body
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import end_session, start_session, visitor
from fleet_workers.web.errors import Forbidden
from fleet_workers.web.keys import redeem_entry
from fleet_workers.web.resources import Resources, WebResources

HOME = "/console"
SIGN_IN = "/console/sign-in"
_MAX_FORM_BYTES = 4096

router = APIRouter(prefix="/console")


def from_own_page(request: Request) -> None:
    """Let in what a browser sends from our own pages only, and what is no browser.

    Browsers state where a request comes from in `Sec-Fetch-Site`, old ones in `Origin`; a foreign
    page cannot change either. The session's cookie is SameSite=Strict besides.

    Raises:
        Forbidden: The request comes from a page of another site.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    foreign = site not in {None, "same-origin", "none"}
    if site is None and origin is not None:
        foreign = urlsplit(origin).netloc != request.headers.get("host")
    if foreign:
        raise Forbidden("This form was sent from another site.")


async def _form(request: Request) -> dict[str, str]:
    body = await read_body(request, limit_bytes=_MAX_FORM_BYTES)
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


@router.get("/sign-in")
def show_sign_in(request: Request) -> Response:
    """The form that asks for a key."""
    return _ask(request, target=request.query_params.get("next", HOME))


@router.post("/sign-in", dependencies=[Depends(from_own_page)])
def sign_in(
    request: Request, resources: Resources, form: Annotated[dict[str, str], Depends(_form)]
) -> Response:
    """Start a session for the holder of a key."""
    target = form.get("next", HOME)
    with resources.transaction() as connection:
        holder = holder_of(connection, form.get("key", "").strip())
    if holder is None:
        return _ask(request, target=target, fault="This key is not known, or was revoked.")
    if not has_right(holder, Right.READ_DESK):
        fault = f"A key with the role {holder.role} has no access to the console."
        return _ask(request, target=target, fault=fault)
    return _enter(request, resources, holder, target)


@router.get("/enter")
def enter(request: Request, resources: Resources, token: str = "") -> Response:
    """Sign in by a one-time link. A link used before does no harm to a session that exists."""
    with resources.transaction() as connection:
        holder = redeem_entry(connection, token)
    if holder is not None and has_right(holder, Right.READ_DESK):
        return _enter(request, resources, holder, HOME)
    try:
        visitor(request, resources)
    except Unauthorized:
        return _ask(request, target=HOME, fault="This link was used before, or is too old.")
    return RedirectResponse(HOME, status_code=HTTPStatus.SEE_OTHER)


@router.post("/sign-out", dependencies=[Depends(from_own_page)])
def sign_out() -> Response:
    """End the session in this browser."""
    response = RedirectResponse(SIGN_IN, status_code=HTTPStatus.SEE_OTHER)
    end_session(response)
    return response


def own_path(target: str) -> str:
    """The target where it is a page of the console, else the first page: no way out of here."""
    inside = target == HOME or target.startswith((f"{HOME}/", f"{HOME}?"))
    clean = target.isprintable() and "\\" not in target and "//" not in target
    return target if inside and clean else HOME


def _enter(request: Request, resources: WebResources, holder: KeyHolder, target: str) -> Response:
    response = RedirectResponse(own_path(target), status_code=HTTPStatus.SEE_OTHER)
    start_session(request, response, holder, resources.console)
    return response


def _ask(request: Request, *, target: str, fault: str | None = None) -> Response:
    return page(
        request,
        "sign_in.html",
        status=HTTPStatus.UNAUTHORIZED if fault else HTTPStatus.OK,
        target=own_path(target),
        fault=fault,
    )
