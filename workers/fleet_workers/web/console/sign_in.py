"""Signing in and out: with e-mail and password, with a key, or with a one-time link."""

from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from fleet_contracts.errors import FleetError, Unauthorized
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.web import admission
from fleet_workers.web.console.forms import Fields, OpenForm, SessionForm
from fleet_workers.web.console.paths import HOME, SIGN_IN, own_path
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import end_session, session_holder, start_session
from fleet_workers.web.errors import SignInRefused, TooManyTries
from fleet_workers.web.keys import redeem_entry
from fleet_workers.web.problems import describe, retry_headers
from fleet_workers.web.resources import Resources, WebResources

router = APIRouter(prefix="/console")


@router.get("/sign-in")
def show_sign_in(request: Request, resources: Resources) -> Response:
    """The forms that ask for a password or a key."""
    return ask(request, resources, target=request.query_params.get("next", HOME))


@router.post("/sign-in")
def sign_in(request: Request, resources: Resources, form: OpenForm) -> Response:
    """Start a session for a person, or for the holder of a key."""
    target = form.get("next")
    try:
        holder, how = _admitted(request, resources, form)
    except (SignInRefused, TooManyTries) as error:
        return ask(request, resources, target=target, error=error, email=form.get("email"))
    response = RedirectResponse(own_path(target), status_code=HTTPStatus.SEE_OTHER)
    start_session(request, response, resources, holder, how=how)
    return response


@router.get("/enter")
def enter(request: Request, resources: Resources, token: str = "") -> Response:
    """Sign in by a one-time link. A link used before does no harm to a session that exists."""
    with resources.transaction() as connection:
        holder = redeem_entry(connection, token)
    response = RedirectResponse(HOME, status_code=HTTPStatus.SEE_OTHER)
    if holder is not None and admission.fault_of(holder) is None:
        start_session(request, response, resources, holder, how="link")
        return response
    try:
        session_holder(request, resources)
    except Unauthorized:
        error = SignInRefused("This link was used before, or is too old.")
        return ask(request, resources, target=HOME, error=error)
    return response


@router.post("/sign-out")
def sign_out(request: Request, resources: Resources, _: SessionForm) -> Response:
    """End the session in this browser."""
    response = RedirectResponse(SIGN_IN, status_code=HTTPStatus.SEE_OTHER)
    end_session(request, response, resources)
    return response


def ask(
    request: Request,
    resources: WebResources,
    *,
    target: str,
    error: FleetError | None = None,
    email: str = "",
) -> Response:
    """The page for signing in; with an error, why that failed before."""
    sign_on = resources.console.single_sign_on
    response = page(
        request,
        "sign_in.html",
        status=HTTPStatus(describe(error).status) if error else HTTPStatus.OK,
        target=own_path(target),
        fault=str(error) if error else None,
        email=email,
        single_sign_on=sign_on.title if sign_on else None,
    )
    response.headers.update(retry_headers(error) if error else {})
    return response


def _admitted(request: Request, resources: WebResources, form: Fields) -> tuple[KeyHolder, str]:
    address = request.client.host if request.client else None
    if form.get("email"):
        person = admission.admit_password(
            resources, form.get("email"), form.get("password"), address=address
        )
        return person, "password"
    return admission.admit_key(resources, form.get("key"), address=address), "key"
