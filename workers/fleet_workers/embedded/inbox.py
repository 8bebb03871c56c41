"""Reads an inbox: one request a line as JSON, each perhaps with what is expected of the fleet."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope, build_envelope
from fleet_contracts.errors import ConfigurationError, InvalidEnvelope
from fleet_contracts.faults import explain_faults
from fleet_workers.embedded.run_access import DEFAULT_TENANT

BUNDLED_INBOX: Final = Path(__file__).parent / "inbox.jsonl"


class Expectation(BaseModel):
    """A label. `agent` None says that any agent may have had it, for the outcome alone counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent: str | None = None
    outcome: Literal["answered", "asked", "review"]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Annotated[str, StringConstraints(min_length=1)]
    id: str | None = None
    tenant: str = DEFAULT_TENANT
    customer: str | None = None
    agent: str = AUTO_AGENT
    session_id: str | None = None
    tags: tuple[str, ...] = ()
    expect: Expectation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRequest:
    """One request of an inbox, checked. `expect` is None where it carries no label."""

    envelope: TaskEnvelope
    expect: Expectation | None


def read_inbox(path: Path) -> list[InboxRequest]:
    """Read a whole inbox. Empty lines are passed over; only `text` is required.

    Raises:
        ConfigurationError: The file cannot be read, is empty, or a line of it is wrong; with the
            number of the line and what to mend.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigurationError(
            f"The inbox {path} cannot be read ({error.strerror}): INBOX names a file with one "
            "JSON object a line."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"The inbox {path} is not UTF-8 text: {error}.") from error
    requests = [
        _parse(line, place=f"{path}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not requests:
        raise ConfigurationError(f'The inbox {path} is empty: write {{"text": "…"}}, one a line.')
    return requests


def _parse(line: str, *, place: str) -> InboxRequest:
    try:
        content: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f'{place}: this is not JSON ({error}). A line looks like {{"text": "Where is my '
            'invoice?", "agent": "auto"}.'
        ) from error
    if not isinstance(content, dict):
        raise ConfigurationError(f'{place}: write an object, for instance {{"text": "…"}}.')
    try:
        parsed = _Line.model_validate(content)
        envelope = build_envelope(
            tenant=parsed.tenant,
            agent=parsed.agent,
            input=parsed.text,
            customer=parsed.customer,
            session_id=parsed.session_id,
            metadata={"inbox": parsed.id} if parsed.id else None,
        )
    except ValidationError as error:
        raise ConfigurationError(f"{place}: {explain_faults(error)}.") from error
    except InvalidEnvelope as error:
        raise ConfigurationError(f"{place}: {error}") from error
    return InboxRequest(envelope=envelope, expect=parsed.expect)
