"""Who may do what: bearer keys, roles and tenants."""

from collections.abc import Callable
from enum import Enum
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from fleet_contracts.errors import InvalidInput, Unauthorized
from fleet_workers.store.accounts import KeyHolder, holder_of
from fleet_workers.web.errors import Forbidden
from fleet_workers.web.resources import Resources

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


_RIGHTS: dict[str, frozenset[Right]] = {
    "producer": frozenset({Right.SUBMIT, Right.READ_TASKS}),
    "viewer": frozenset({Right.READ_TASKS, Right.READ_DESK}),
    "reviewer": frozenset({Right.READ_TASKS, Right.READ_DESK, Right.DECIDE}),
    "operator": frozenset(Right),
    "admin": frozenset(Right),
}


def has_right(holder: KeyHolder, right: Right) -> bool:
    """Tell whether a holder's role includes a right. A role that is not known has none."""
    return right in _RIGHTS.get(holder.role, frozenset())


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
                "The key is not known or was revoked: ask an operator for a new one."
            )
        if not has_right(holder, right):
            raise Forbidden(f"A key with the role {holder.role} may not {right.value}.")
        resources.show_only(holder.sees)
        return holder

    return let_in


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
