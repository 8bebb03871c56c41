"""Reads posted forms: from our own pages only, with the token of the session that they belong to.

A form carries a token that is derived from the session's cookie. A foreign page can make a browser
send the cookie, yet can read neither it nor the token.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, Request

from fleet_contracts.errors import InvalidInput
from fleet_workers.web.bodies import read_body
from fleet_workers.web.console.sessions import COOKIE
from fleet_workers.web.errors import Forbidden, SignInNeeded

CSRF_FIELD = "csrf"
_MAX_FORM_BYTES = 64 * 1024
_MAX_FIELDS = 1000  # two hundred rows of a list to choose from, each with a few fields
_MEDIA_TYPE = "application/x-www-form-urlencoded"
_RELOAD = "This form is not of your session, or is out of date: reload the page and send it again."


@dataclass(frozen=True, slots=True)
class Fields:
    """What a form says. No value holds a NUL character."""

    values: Mapping[str, tuple[str, ...]]

    def get(self, name: str) -> str:
        """The first value of a field without white space around it; empty where there is none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """All values of a field, each without white space around it."""
        return [value.strip() for value in self.values.get(name, ())]


def csrf_token(request: Request) -> str:
    """What the forms of this browser's session must carry; empty where there is no session."""
    session = request.cookies.get(COOKIE, "")
    if not session:
        return ""
    key = session.encode("utf-8", "surrogateescape")
    return hmac.digest(key, b"fleet console form", "sha256").hex()


def from_own_page(request: Request) -> None:
    """Let in what a browser sends from our own pages only, and what is no browser.

    Browsers state where a request comes from in `Sec-Fetch-Site`, old ones in `Origin`; a foreign
    page cannot change either. The session's cookie is SameSite besides.

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


async def open_form(request: Request) -> Fields:
    """A form that needs no session, such as the one for signing in.

    Raises:
        Forbidden: It comes from a page of another site.
        InvalidInput: It is no form, is over 64 KiB, or holds what no text can.
    """
    from_own_page(request)
    if (
        request.headers.get("content-type", _MEDIA_TYPE).split(";")[0].strip().lower()
        != _MEDIA_TYPE
    ):
        raise InvalidInput(f"Send the form as {_MEDIA_TYPE}.")
    return parse_form(await read_body(request, limit_bytes=_MAX_FORM_BYTES))


async def session_form(request: Request) -> Fields:
    """A form of somebody who is signed in. Who that is, and may do what, says `visitor_who`.

    Raises:
        SignInNeeded: There is no session.
        Forbidden: It comes from another site, or carries another token than the session's.
        InvalidInput: As `open_form`.
    """
    fields = await open_form(request)
    expected = csrf_token(request)
    if not expected:
        raise SignInNeeded("Sign in to send this form.")
    if not hmac.compare_digest(fields.get(CSRF_FIELD).encode(), expected.encode()):
        raise Forbidden(_RELOAD)
    return fields


def parse_form(body: bytes) -> Fields:
    """Read an urlencoded form.

    Raises:
        InvalidInput: It has too many fields, is not UTF-8, or holds a NUL character.
    """
    try:
        values = parse_qs(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except UnicodeDecodeError as error:
        raise InvalidInput("The form is not UTF-8: type the text again.") from error
    except ValueError as error:
        raise InvalidInput(f"The form has over {_MAX_FIELDS:,} fields: choose fewer.") from error
    if any("\0" in text for name, texts in values.items() for text in (name, *texts)):
        raise InvalidInput("The form holds a NUL character: take it out.")
    return Fields({name: tuple(texts) for name, texts in values.items()})


OpenForm = Annotated[Fields, Depends(open_form)]
SessionForm = Annotated[Fields, Depends(session_form)]
