"""Says in words what was wrong with a value that did not fit its model."""

from pydantic import ValidationError


def explain_faults(error: ValidationError, *, whole: str = "") -> str:
    """Each fault as `place: message`, joined by semicolons, without the values that were given.

    `whole` names the value itself, for a fault that belongs to no part of it.
    """
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or whole}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    )
