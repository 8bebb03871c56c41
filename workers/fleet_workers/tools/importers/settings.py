"""The sections of agent.toml about tools: `[imports.NAME]` and `[promises.NAME]`."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from fleet_workers.tools.declaration import Effect, RepeatSafety, Stakes

Bound = Literal["customer", "tenant", "task_id"]
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""What a model's endpoint accepts as the name of a tool."""

_Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class McpSource(_Section):
    """Where an MCP server is: a `command` that is started here, or an address in a variable.

    A command runs in the agent's folder; `python` stands for the fleet's own interpreter.
    """

    command: tuple[str, ...] = ()
    url_variable: _Variable | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "McpSource":
        if bool(self.command) == bool(self.url_variable):
            raise ValueError("give either command or url_variable")
        return self


class ImportSection(_Section):
    """`[imports.NAME]`: an OpenAPI document or an MCP server, and which of its tools to take.

    `include` grants them, by the name that they have there, or as `{our_name = "name there"}`. An
    operation without an operationId is named by its method and path, such as `GET /customers`.
    """

    openapi: str | None = None
    mcp: McpSource | None = None
    base_url_variable: _Variable | None = None
    authorization_variable: _Variable | None = None
    authorization_header: _HeaderName = "Authorization"
    authorization_scheme: str = "Bearer"
    include: tuple[str, ...] | dict[ToolName, str] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> "ImportSection":
        if (self.openapi is None) == (self.mcp is None):
            raise ValueError("give either openapi or mcp")
        if self.openapi is not None and self.base_url_variable is None:
            raise ValueError("base_url_variable is missing: it names the variable with the URL")
        if self.mcp is not None and self.base_url_variable is not None:
            raise ValueError("base_url_variable is for openapi; mcp takes url_variable")
        if self.mcp is not None and self.mcp.command and self.authorization_variable:
            raise ValueError("authorization_variable is for servers that are reached over HTTP")
        for name in self.names:
            if not _TOOL_NAME.fullmatch(name):
                raise ValueError(
                    f"a model cannot call a tool {name!r}: "
                    f'write include = {{ our_name = "{name}" }}'
                )
        if len(self.names) < len(self.include):
            raise ValueError("include names a tool twice")
        return self

    @property
    def names(self) -> Mapping[str, str]:
        """Each tool's name here, and there."""
        if isinstance(self.include, dict):
            return self.include
        return {name: name for name in self.include}

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that the section names."""
        named = (
            self.base_url_variable,
            self.authorization_variable,
            self.mcp.url_variable if self.mcp else None,
        )
        return tuple(each for each in named if each is not None)


class PromiseSection(_Section):
    """`[promises.NAME]`: what the agent's author promises of a tool, over what it says itself.

    Each is explained at `fleet_workers.tools.declaration.Tool`. `bind` fills arguments from the
    task, and hides them from the model. `idempotency_header` is how an HTTP service takes our key.
    """

    description: Annotated[str, StringConstraints(min_length=3)] | None = None
    effect: Effect | None = None
    repeat: RepeatSafety | None = None
    stakes: Stakes | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] | None = None
    trusted: bool | None = None
    open_world: bool | None = None
    prose: tuple[str, ...] | None = None
    sensitive: tuple[str, ...] | None = None
    content: tuple[str, ...] | None = None
    free: dict[str, tuple[str | bool | int | float, ...]] | None = None
    scopes: tuple[str, ...] | None = None
    rate: str | None = None
    cost_usd: Annotated[Decimal, Field(ge=0)] | None = None
    money: str | None = None
    customer_argument: str | None = None
    asked_by: tuple[str, ...] | None = None
    idempotency_header: _HeaderName | None = None
    bind: dict[str, Bound] = Field(default_factory=dict)
