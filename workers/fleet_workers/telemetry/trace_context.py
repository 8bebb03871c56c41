"""W3C trace contexts: read, written, and known in advance for every run of a task."""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from fleet_contracts.codec import valid_traceparent


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """Where in which trace something happens; as text it is a `traceparent` of version 00."""

    trace_id: int
    span_id: int
    is_sampled: bool

    def at(self, span_id: int) -> "TraceContext":
        """The context of another span of the same trace."""
        return TraceContext(trace_id=self.trace_id, span_id=span_id, is_sampled=self.is_sampled)

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.is_sampled):02x}"


def parse_traceparent(header: object) -> TraceContext | None:
    """The context that a header holds; None where it is none, or all of an id is zero."""
    text = valid_traceparent(header)
    if text is None:
        return None
    _, trace_id, span_id, flags = text.split("-")
    found = TraceContext(
        trace_id=int(trace_id, 16), span_id=int(span_id, 16), is_sampled=bool(int(flags, 16) & 1)
    )
    return found if found.trace_id and found.span_id else None


def new_trace_id() -> int:
    """An id for a trace that begins here."""
    return secrets.randbits(128) or 1


def run_span_id(task_id: UUID, epoch: int, what: str) -> int:
    """The id of a span of a task's run: `process` or `invoke_agent`.

    It follows from the task and the run's epoch. So who finds that a worker has died can end the
    spans that it left open, and a later run can link to an earlier one, without being told.
    """
    digest = sha256(f"{task_id}:{epoch}:{what}".encode()).digest()
    return int.from_bytes(digest[:8], "big") or 1
