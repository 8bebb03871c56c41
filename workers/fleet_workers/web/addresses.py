"""Refuses addresses that nothing here can have."""

from fastapi import Request

from fleet_contracts.errors import InvalidInput


def refuse_nul(request: Request) -> None:
    """Refuse a path or query with a NUL character, which PostgreSQL keeps in no text.

    Raises:
        InvalidInput: There is one.
    """
    if "\x00" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise InvalidInput("The address holds a NUL character (%00): leave it out.")
