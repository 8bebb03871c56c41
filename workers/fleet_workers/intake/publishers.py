"""Which user of the broker may hand in tasks for which tenant."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from fleet_contracts.errors import ConfigurationError, Unauthorized

_PAIR: Final = re.compile(r"(?P<user>[^=]+)=(?P<tenant>\*|[a-z0-9][a-z0-9_-]{0,62})")
_ANY: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishers:
    """The tenant of each user; `*` is any. Without users everybody may name any tenant.

    Source: RabbitMQ, "Validated User-ID": a message's `user_id` is the name of the user who has
    published it, or the broker refuses it.
    """

    tenants: Mapping[str, str]

    @classmethod
    def of(cls, pairs: Sequence[str]) -> Self:
        """Read `user=tenant` pairs.

        Raises:
            ConfigurationError: One of them is none.
        """
        tenants: dict[str, str] = {}
        for pair in pairs:
            found = _PAIR.fullmatch(pair)
            if found is None:
                raise ConfigurationError(
                    f"FLEET_INTAKE_USERS: {pair!r} is not user=tenant; write shop=acme, or "
                    "shop=* for a user who may name any tenant."
                )
            tenants[found["user"]] = found["tenant"]
        return cls(tenants=tenants)

    def tenant_of(self, user: str | None, named: object) -> object:
        """The tenant of a task: the one that its message names, or its publisher's own.

        Raises:
            Unauthorized: The publisher is not known, or may not name this tenant.
        """
        if not self.tenants:
            return named
        if user is None:
            raise Unauthorized(
                "The message does not say who published it: set the property user_id to the name "
                "of your user at the broker."
            )
        own = self.tenants.get(user)
        if own is None:
            raise Unauthorized(
                f"The user {user!r} may hand in no tasks: an operator adds it to "
                "FLEET_INTAKE_USERS."
            )
        if own in (_ANY, named):
            return named
        if named is not None:
            raise Unauthorized(f"The user {user!r} is of the tenant {own}: leave tenant out.")
        return own
