"""Who may do what: bearer keys, roles and tenants."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from fleet_contracts.errors import InvalidInput, Unauthorized, Unavailable
from fleet_workers.store.accounts import USE_NOTED_EVERY, KeyHolder, holder_of, note_use
from fleet_workers.web.errors import Forbidden
from fleet_workers.web.resources import Resources, WebResources

_MAX_KEY_LENGTH = 200  # ours have 49 characters; nothing longer is worth a look-up
_bearer = HTTPBearer(
    auto_error=False, description="A key made with `fleetctl keys`: `fleet_…`.", scheme_name="key"
)


class Right(Enum):
    """What an endpoint needs."""

    SUBMIT = "submit and cancel tasks"
    READ_TASKS = "read tasks"
    READ_DESK = "read reviews, dead letters and the console"
    DECIDE = "decide reviews"
    OPERATE = "operate the fleet"
    ADMINISTER = "administer people and keys"

    @property
    def short_name(self) -> str:
        """How keys, commands and the API name it, such as `read_tasks`."""
        return self.name.lower()


_RIGHTS: dict[str, frozenset[Right]] = {
    "producer": frozenset({Right.SUBMIT, Right.READ_TASKS}),
    "viewer": frozenset({Right.READ_TASKS, Right.READ_DESK}),
    "reviewer": frozenset({Right.READ_TASKS, Right.READ_DESK, Right.DECIDE}),
    "operator": frozenset(Right) - {Right.ADMINISTER},
    "admin": frozenset(Right),
}


def rights_of_role(role: str) -> frozenset[Right]:
    """All that a role allows. A role that is not known allows nothing."""
    return _RIGHTS.get(role, frozenset())


def rights_of(holder: KeyHolder) -> frozenset[Right]:
    """What a holder may do: what the role allows, or the part of it that the key was made for."""
    allowed = rights_of_role(holder.role)
    if holder.rights is None:
        return allowed
    return frozenset(right for right in allowed if right.short_name in holder.rights)


def has_right(holder: KeyHolder, right: Right) -> bool:
    """Tell whether a holder may do something."""
    return right in rights_of(holder)


def needs(right: Right) -> Callable[..., KeyHolder]:
    """Make the dependency that lets holders of a right in.

    From then on the request sees the key's tenant only. The dependency raises `Unauthorized`
    without a valid key and `Forbidden` without the right.
    """

    def let_in(
        resources: Resources,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> KeyHolder:
        key = credentials.credentials if credentials else ""
        if not key or len(key) > _MAX_KEY_LENGTH:
            raise Unauthorized("Send a key of your tenant: `Authorization: Bearer fleet_…`.")
        with resources.transaction() as connection:
            holder = holder_of(connection, key)
        if holder is None:
            raise Unauthorized(
                "The key is not known, was revoked or has expired: ask an admin for a new one."
            )
        if not has_right(holder, right):
            narrowed = "" if holder.rights is None else ", made for less than the role allows,"
            raise Forbidden(f"A key with the role {holder.role}{narrowed} may not {right.value}.")
        _note_use(resources, holder)
        resources.show_only(holder.sees)
        return holder

    return let_in


def _note_use(resources: WebResources, holder: KeyHolder) -> None:
    now = datetime.now(UTC)
    if holder.used_at is None or holder.used_at < now - USE_NOTED_EVERY:
        # A store that is read-only for now still lets people read.
        with suppress(Unavailable), resources.transaction() as connection:
            note_use(connection, holder.id)


def tenant_for(holder: KeyHolder, named: object) -> object:
    """The tenant of a task that a holder submits: the key's own, or the one it names.

    Raises:
        Forbidden: Another tenant than the key's is named.
        InvalidInput: The key stands for the whole fleet and no tenant is named.
    """
    if holder.sees is None:
        if named is None:
            raise InvalidInput("This key is for all tenants: name the task's tenant in the body.")
        return named
    if named is not None and named != holder.tenant:
        raise Forbidden(f"This key is for the tenant {holder.tenant}: leave tenant out.")
    return holder.tenant


Submitter = Annotated[KeyHolder, Depends(needs(Right.SUBMIT))]
TaskReader = Annotated[KeyHolder, Depends(needs(Right.READ_TASKS))]
DeskReader = Annotated[KeyHolder, Depends(needs(Right.READ_DESK))]
Reviewer = Annotated[KeyHolder, Depends(needs(Right.DECIDE))]
Operator = Annotated[KeyHolder, Depends(needs(Right.OPERATE))]
Admin = Annotated[KeyHolder, Depends(needs(Right.ADMINISTER))]
