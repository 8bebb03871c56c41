"""Reads the body of a message that was given up as the task it may hold."""

import json

from fleet_contracts.envelope import TaskEnvelope, parse_envelope
from fleet_contracts.errors import InvalidEnvelope


def read_message(body: str | bytes) -> TaskEnvelope:
    """The envelope in a body: it is the envelope's JSON, or Celery's `[[envelope], {}, {…}]`.

    Raises:
        InvalidEnvelope: It holds no task that can be read; the text names what is wrong.
    """
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEnvelope(
            f"The message is not JSON ({error}): submit the request anew, or discard the letter."
        ) from error
    match payload:
        case [[inner], *_]:
            return parse_envelope(inner)
        case _:
            return parse_envelope(payload)
