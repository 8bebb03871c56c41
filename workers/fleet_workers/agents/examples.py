"""Reads an agent's examples.jsonl: requests that it handles, one a line, perhaps with an intent."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from fleet_contracts.errors import ConfigurationError
from fleet_contracts.faults import explain_faults

EXAMPLES_NAME: Final = "examples.jsonl"


class Example(BaseModel):
    """A request that the agent handles. `intent` names what the customer wants by it.

    Two requests of one intent want the same thing done, if perhaps with other particulars.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
    intent: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")] | None = None


def load_examples(path: Path) -> tuple[Example, ...]:
    """All examples of a file; none where there is no file.

    Raises:
        ConfigurationError: Names the file, the line, the field and what is wrong with it.
    """
    if not path.is_file():
        return ()
    found = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text: {error}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(Example.model_validate_json(line))
        except ValidationError as error:
            raise ConfigurationError(
                f"{path}, line {number}: {explain_faults(error)}. A line looks like "
                '{"text": "Where is my invoice?", "intent": "find_invoice"}.'
            ) from error
    return tuple(found)
