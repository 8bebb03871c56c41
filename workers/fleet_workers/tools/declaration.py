"""What a tool promises: its effect, how it may be repeated, and how far its results are trusted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from fleet_contracts.faults import explain_faults

Effect = Literal["read", "write"]
RepeatSafety = Literal["idempotent", "reconcile", "none"]
Stakes = Literal["low", "high"]

DEFAULT_TIMEOUT: Final = timedelta(seconds=10)
_NO_VALUES: Final[Mapping[str, frozenset[Any]]] = MappingProxyType({})


class Content:
    """Marks an argument as text for people to read: it names nobody and moves nothing.

    `Annotated[str, CONTENT]`. What is not marked says whom, what or how much a call is about, and
    must stand in what the fleet trusts.
    """


CONTENT: Final = Content()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool as the fleet knows it.

    `function` takes a `ToolContext` and the validated arguments. A `write` says how a repeat is
    made safe: `idempotent` (the system honours our key), `reconcile` (`reconciler` tells whether
    it happened), or `none` (a doubtful repeat goes to a person). `stakes="high"` needs approval.

    `trusted`: the results are records of one's own systems; what anybody outside could have
    written is not. `prose` names fields of a trusted result that hold what others wrote, such as
    a description; `*` says that others wrote all of it, as names that users choose. `sensitive`
    names fields whose values may stand in no write that the request does not give them to.
    `open_world`: the arguments leave the house, even in a read.

    `scopes` are rights that the agent's file must grant. `rate` is the most calls of all workers
    together, such as `100/minute`. `cost_usd` is what one call costs, `money` the argument that
    says how many US dollars it moves. `customer_argument` must name the task's own customer;
    `owner` is asked whose record a call is about. `asked_by` are words of a request that ask for
    this tool, beside its own name. `content` are the arguments marked so, `free` values of other
    arguments that do no harm wherever they come from. `source` says where it was imported from.
    """

    name: str
    description: str
    function: Callable[..., Any]
    effect: Effect
    repeat: RepeatSafety
    stakes: Stakes
    timeout: timedelta
    arguments: type[BaseModel]
    result: TypeAdapter[Any]
    reconciler: Callable[..., Any] | None = None
    trusted: bool = False
    prose: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    open_world: bool = False
    scopes: tuple[str, ...] = ()
    rate: str | None = None
    cost_usd: Decimal = Decimal(0)
    money: str | None = None
    customer_argument: str | None = None
    owner: Callable[..., str | None] | None = None
    asked_by: tuple[str, ...] = ()
    content: frozenset[str] = frozenset()
    free: Mapping[str, frozenset[Any]] = field(default_factory=lambda: _NO_VALUES)
    source: str = "python"

    def schema(self) -> dict[str, Any]:
        """The tool in the form of OpenAI's chat completions (`tools[]`)."""
        parameters = self.arguments.model_json_schema()
        parameters.pop("title", None)
        parameters.pop("description", None)
        for each in parameters.get("properties", {}).values():
            each.pop("title", None)
        parameters.setdefault("properties", {})
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": parameters,
            },
        }

    def parse_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Validate a model's arguments and give them as the function wants them.

        Raises:
            ValueError: One sentence a fault, written so that a model can mend its call.
        """
        try:
            parsed = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            faults = explain_faults(error, whole="arguments")
            raise ValueError(f"Arguments of {self.name} not accepted: {faults}.") from error
        return {name: getattr(parsed, name) for name in type(parsed).model_fields}
