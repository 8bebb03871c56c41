"""Says in words what was wrong with a value, or a file, that did not fit its model."""

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fleet_contracts.errors import ConfigurationError

Content = TypeVar("Content", bound=BaseModel)


def explain_faults(error: ValidationError, *, whole: str = "") -> str:
    """Each fault as `place: message`, joined by semicolons, without the values that were given.

    `whole` names the value itself, for a fault that belongs to no part of it.
    """
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or whole}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    )


def read_toml(path: Path, model: type[Content]) -> Content:
    """Read a TOML file that holds a model.

    Raises:
        ConfigurationError: It is not TOML, or does not fit; names the file and the field.
        OSError: It cannot be read.
    """
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {explain_faults(error)}.") from error
