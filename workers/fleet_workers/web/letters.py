"""Reads what callers of the dead letters' endpoints say: small bodies, and filters of a tenant."""

from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from fleet_contracts.errors import InvalidInput
from fleet_contracts.faults import explain_faults
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.dead_letters import DeadLetterFilter
from fleet_workers.store.json_text import as_stored
from fleet_workers.web.access import Operator
from fleet_workers.web.bodies import parse_flat_object, read_body
from fleet_workers.web.errors import Forbidden

_MAX_BODY_BYTES = 64 * 1024  # two hundred ids are eight kilobytes

Body = TypeVar("Body", bound=BaseModel)


# The key is taken before the body is read, so that strangers cannot fill the memory.
async def _body(_: Operator, request: Request) -> bytes:
    return await read_body(request, limit_bytes=_MAX_BODY_BYTES)


OperatorBody = Annotated[bytes, Depends(_body)]
"""The body of a request that only operators may make."""


def parse_body(model: type[Body], body: bytes, *, exact: bool = False) -> Body:
    """Read a body as `model`. NUL becomes U+2400, as in the store, or stays as it is if `exact`.

    Raises:
        MalformedBody: It is no JSON object.
        InvalidInput: It does not fit; the text names each field with its fault.
    """
    try:
        payload = parse_flat_object(body)
        return model.model_validate(payload if exact else as_stored(payload))
    except ValidationError as error:
        faults = explain_faults(error, whole="body")
        raise InvalidInput(f"The body was not accepted: {faults}.") from error


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """What the API's description says about such a body; `model` is flat or has flat parts."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})
    content = {"application/json": {"schema": _inlined(schema, parts)}}
    return {"requestBody": {"required": True, "content": content}}


def filter_of(holder: KeyHolder, asked: DeadLetterFilter) -> DeadLetterFilter:
    """A filter that reaches no further than its holder may see.

    Raises:
        Forbidden: It names another tenant than the key's.
    """
    if holder.sees is None or asked.tenant == holder.sees:
        return _plain(asked)
    if asked.tenant is not None:
        raise Forbidden(f"This key is for the tenant {holder.sees}: leave tenant out.")
    return _plain(asked).model_copy(update={"tenant": holder.sees})


def _plain(asked: DeadLetterFilter) -> DeadLetterFilter:
    """The filter alone, where it came with more."""
    return DeadLetterFilter(
        **{name: getattr(asked, name) for name in DeadLetterFilter.model_fields}
    )


def _inlined(part: Any, parts: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_inlined(each, parts) for each in part]
    if not isinstance(part, dict):
        return part
    if (reference := part.get("$ref")) is not None:
        return _inlined(parts[reference.rpartition("/")[2]], parts)
    return {name: _inlined(each, parts) for name, each in part.items()}
