"""Signing in through an OpenID Connect provider: there, and back.

The cookie between the two is SameSite=Lax, for the way back begins on the provider's site. It says
nothing and opens nothing; the session's own cookie stays SameSite=Strict.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from fleet_contracts.errors import FleetError, TransientError
from fleet_workers.web import admission
from fleet_workers.web.console.paths import HOME, SIGN_IN, own_path
from fleet_workers.web.console.rendering import bounce
from fleet_workers.web.console.sessions import is_https, start_session
from fleet_workers.web.console.sign_in import ask
from fleet_workers.web.errors import SignInRefused
from fleet_workers.web.oidc import Answer, new_flow
from fleet_workers.web.resources import Resources, WebResources

_COOKIE = "fleet_oidc"
_PATH = "/console/oidc"
_LIFETIME_SECONDS = 600  # somebody looks for a phone with a second factor

router = APIRouter(prefix=_PATH)


@router.get("/start")
def start(request: Request, resources: Resources) -> Response:
    """Send the browser to the provider."""
    target = own_path(request.query_params.get("next", HOME))
    sign_on = resources.console.single_sign_on
    if sign_on is None:
        return RedirectResponse(SIGN_IN, status_code=HTTPStatus.SEE_OTHER)
    flow = new_flow()
    try:
        there = sign_on.begin(flow, redirect_uri=_redirect_uri(request, resources))
    except (SignInRefused, TransientError) as error:
        return ask(request, resources, target=target, error=error)
    response = RedirectResponse(there, status_code=HTTPStatus.SEE_OTHER)
    response.set_cookie(
        _COOKIE,
        f"{flow}.{urlsafe_b64encode(target.encode()).decode()}",
        max_age=_LIFETIME_SECONDS,
        path=_PATH,
        secure=is_https(request, resources),
        httponly=True,
        samesite="lax",
    )
    return response


@router.get("/callback")
def come_back(request: Request, resources: Resources) -> Response:
    """Sign in whom the provider vouches for."""
    flow, target = _begun(request)
    response: Response
    try:
        holder = admission.admit_identity(
            resources,
            flow,
            _answer(request),
            redirect_uri=_redirect_uri(request, resources),
            address=request.client.host if request.client else None,
        )
    except FleetError as error:
        if not isinstance(error, SignInRefused | TransientError):
            raise
        response = ask(request, resources, target=target, error=error)
    else:
        response = bounce(request, target)
        start_session(request, response, resources, holder, how="single sign-on")
    response.delete_cookie(_COOKIE, path=_PATH, httponly=True, samesite="lax")
    return response


def _begun(request: Request) -> tuple[str, str]:
    """The flow and target of the sign-in that this browser began; no flow for none."""
    flow, _, packed = request.cookies.get(_COOKIE, "").partition(".")
    try:
        return flow, own_path(urlsafe_b64decode(packed.encode()).decode())
    except ValueError:
        return "", HOME


def _answer(request: Request) -> Answer:
    said = request.query_params
    return Answer(
        state=said.get("state", ""), code=said.get("code", ""), error=said.get("error", "")
    )


def _redirect_uri(request: Request, resources: WebResources) -> str:
    base = resources.console.public_url or str(request.base_url)
    return f"{base.rstrip('/')}{_PATH}/callback"
