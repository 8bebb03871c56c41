"""Keys with which the fleet signs what it hands out, shared by all its processes."""

import secrets

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from fleet_workers.store.desk_tables import signing_keys

_BYTES = 32


def signing_key(connection: Connection, name: str) -> bytes:
    """The key of that name, made at its first use.

    Whoever asks at the same time gets the same one. A deleted key makes void all that was signed
    with it. No tenant may read it: ask in a transaction that is bound to none.
    """
    found = _read(connection, name)
    if found is not None:
        return found
    connection.execute(
        insert(signing_keys)
        .values(name=name, key=secrets.token_bytes(_BYTES))
        .on_conflict_do_nothing()
    )
    made = _read(connection, name)
    if made is None:
        raise RuntimeError(f"The signing key {name} was deleted while it was made: try again.")
    return made


def _read(connection: Connection, name: str) -> bytes | None:
    return connection.execute(
        select(signing_keys.c.key).where(signing_keys.c.name == name)
    ).scalar_one_or_none()
