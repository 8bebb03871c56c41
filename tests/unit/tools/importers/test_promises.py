"""Promises over tools written in Python, and the descriptions of MCP servers that do not fit."""

from decimal import Decimal
from typing import Annotated, Any

import pytest
from mcp_types import Tool as McpTool
from pydantic import BaseModel, Field

from fleet_contracts.errors import ConfigurationError, PermanentError
from fleet_workers.testing import call_tool
from fleet_workers.tools import CONTENT, ToolContext, tool
from fleet_workers.tools.importers.mcp_definitions import read_tools
from fleet_workers.tools.importers.promises import apply_promises
from fleet_workers.tools.importers.settings import PromiseSection


class Line(BaseModel):
    sku: str
    count: int = 1


def look(context: ToolContext, customer_id: int, lines: list[Line], note: str = "") -> str | None:
    return None


@tool(effect="write", repeat="reconcile", reconciler=look)
def order(
    context: ToolContext,
    customer_id: Annotated[int, Field(gt=0)],
    lines: list[Line],
    note: Annotated[str, CONTENT] = "-",
) -> dict[str, Any]:
    """Order something."""
    return {"customer": customer_id, "lines": [each.sku for each in lines], "note": note}


def test_a_python_tools_argument_is_filled_from_the_task_and_keeps_its_type() -> None:
    bound = apply_promises(order, PromiseSection(bind={"customer_id": "customer"}))
    schema = bound.schema()["function"]["parameters"]
    assert set(schema["properties"]) == {"lines", "note"}
    assert schema["required"] == ["lines"]
    done = call_tool(bound, customer="41", lines=[{"sku": "a"}])
    assert done == {"customer": 41, "lines": ["a"], "note": "-"}
    with pytest.raises(ValueError, match="customer_id: Extra inputs are not permitted"):
        bound.parse_arguments({"lines": [], "customer_id": 42})
    with pytest.raises(PermanentError, match="customer_id: Input should be a valid integer"):
        call_tool(bound, customer="c41", lines=[])
    assert bound.content == frozenset({"note"})


def test_what_is_not_said_stays_as_it_was() -> None:
    said = apply_promises(order, PromiseSection(stakes="high", cost_usd=Decimal("0.5")))
    assert (said.stakes, said.cost_usd, said.repeat) == ("high", Decimal("0.5"), "reconcile")
    assert said.content == order.content
    with pytest.raises(ConfigurationError, match="idempotency_header is for tools of an OpenAPI"):
        apply_promises(order, PromiseSection(idempotency_header="X-Key"))
    with pytest.raises(ConfigurationError, match="go together"):
        apply_promises(order, PromiseSection(repeat="idempotent"))


def _described(**schema: Any) -> McpTool:
    return McpTool(name="t", description="A tool.", input_schema={"type": "object", **schema})


def test_names_that_a_model_cannot_use_are_changed_and_changed_back() -> None:
    properties = {"$filter": {"type": "string"}, "json": {"type": "string"}, "a-b": {}}
    read = read_tools([_described(properties=properties, required=["$filter"])], {"mine": "t"})
    assert set(read["mine"].arguments["properties"]) == {"filter", "json_", "a-b"}
    assert read["mine"].arguments["required"] == ["filter"]
    assert read["mine"].wire == {"filter": "$filter", "json_": "json"}


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"properties": {"a": {"$ref": "https://elsewhere.example/a"}}}, "refers to something out"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "leads nowhere"),
        ({"properties": {"a": {"type": "nonsense"}}}, "not valid under any of the given schemas"),
        ({"properties": {"a": {"description": "x" * 70_000}}}, "the limit is 64,000"),
        ({"properties": {"$a": {}, "a": {}}}, "two arguments are called 'a'"),
        ({"properties": {"$a": {}}, "dependentRequired": {"$a": []}}, "write a tool in tools.py"),
        ({"type": "array"}, "its arguments are no object"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read_tools([_described(**schema)], {"t": "t"})


def test_a_tool_that_the_server_lacks_is_named() -> None:
    with pytest.raises(ConfigurationError, match="it has no tool 'u'; it has t"):
        read_tools([_described()], {"u": "u"})
