"""The key of a request: equal where a model would be asked the very same."""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256

from fleet_workers.models.asked_for import AskedFor
from fleet_workers.models.messages import ChatRequest

ModelsOf = Callable[[str], Sequence[str]]
"""The models that may answer for a tier, in order, each with all that makes it another."""


def exact_key(request: ChatRequest, asked: AskedFor, models: Sequence[str]) -> bytes:
    """A digest of all that a reply can depend on: 32 bytes."""
    schema = request.answer_schema
    return digest(
        asked.tenant,
        asked.agent,
        asked.release,
        asked.customer,
        request.tier,
        list(models),
        request.messages,
        request.tools,
        [schema.name, dict(schema.schema)] if schema else None,
        request.max_output_tokens,
        request.parallel_tool_calls,
    )


def digest(*parts: object) -> bytes:
    """SHA-256 over JSON values, which no other list of values has."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).digest()
