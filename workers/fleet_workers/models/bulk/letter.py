"""A question in the form in which an endpoint takes it, to be sent later."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet_workers.models.candidates import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a candidate is sent: the endpoint's path, as `/chat/completions`, and the body."""

    candidate: Candidate
    path: str
    body: Mapping[str, Any]
