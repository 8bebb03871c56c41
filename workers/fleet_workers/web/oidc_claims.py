"""Reads who somebody is, and with which role and tenant, from the claims of a provider."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet_workers.desk_file import OidcSection
from fleet_workers.web.errors import SignInRefused

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LONGEST_EMAIL = 254
_LONGEST_SUBJECT = 255
_LONGEST_NAME = 200
_BY_MIGHT = ("admin", "operator", "reviewer", "viewer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """For whom a provider vouches. `is_tenant_fixed` where the desk's file names the tenant."""

    issuer: str
    subject: str
    email: str
    name: str
    role: str
    tenant: str
    is_tenant_fixed: bool


def identity_of(claims: Mapping[str, Any], section: OidcSection) -> Identity:
    """Read verified claims. Of several roles the mightiest counts.

    Raises:
        SignInRefused: Something is missing, or no role is meant for this person; the text says
            what an admin must change.
    """
    email = _email(claims)
    return Identity(
        issuer=section.issuer,
        subject=_text(claims, "sub", _LONGEST_SUBJECT),
        email=email,
        name=_name(claims) or email,
        role=_role(claims, section),
        tenant=section.tenant or _text(claims, section.tenant_claim or "", _LONGEST_NAME),
        is_tenant_fixed=section.tenant is not None,
    )


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by the path of a nested one, such as `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _email(claims: Mapping[str, Any]) -> str:
    email = _text(claims, "email", _LONGEST_EMAIL).strip().lower()
    if not _EMAIL.fullmatch(email):
        raise SignInRefused("The provider tells no e-mail address: ask an admin to turn that on.")
    if claims.get("email_verified") in (False, "false"):
        raise SignInRefused("The provider has not verified your e-mail address: verify it there.")
    return email


def _role(claims: Mapping[str, Any], section: OidcSection) -> str:
    said = claim(claims, section.role_claim)
    values = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    granted = {section.roles.get(value) for value in values if isinstance(value, str)}
    for role in _BY_MIGHT:
        if role in granted:
            return role
    raise SignInRefused(
        f"No role is meant for you here: the claim {section.role_claim} has none of the values "
        "that the desk's file lists. Ask an admin."
    )


def _name(claims: Mapping[str, Any]) -> str:
    said = claims.get("name")
    return said.replace("\0", "").strip()[:_LONGEST_NAME] if isinstance(said, str) else ""


def _text(claims: Mapping[str, Any], name: str, longest: int) -> str:
    said = claim(claims, name)
    if not isinstance(said, str) or not said.strip() or len(said) > longest or "\0" in said:
        raise SignInRefused(f"The provider tells no usable {name}: ask an admin.")
    return said
