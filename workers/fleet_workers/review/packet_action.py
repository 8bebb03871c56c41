"""Describes a proposed call to the person who must allow it: what it is, with what, and what then.

Every sentence follows from what the tool and the agent's file declare; nothing is guessed.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fleet_contracts.outcome import ReviewKind
from fleet_workers.agents import AgentRelease
from fleet_workers.agents.manifest import ApprovalRule
from fleet_workers.review.wording import (
    call_words,
    is_money,
    label_of,
    money_words,
    sentence,
    title_of,
    value_words,
)
from fleet_workers.tools import Tool

_MOVES: Final = "It moves"
_LEFT_OUT: Final = "left out"
_REPEATS: Final = {
    "idempotent": "If the connection breaks, it is sent again under the same key, which the other "
    "system honours: it takes effect once.",
    "reconcile": "If the connection breaks, the fleet first looks whether it took effect before "
    "it tries again.",
    "none": "If it breaks in the middle, nobody can tell whether it took effect: it is not "
    "repeated, and you are asked again.",
}
_INPUTS: Final = {
    "integer": "integer",
    "number": "number",
    "boolean": "yes_no",
    "array": "json",
    "object": "json",
}


def describe_action(
    proposal: Mapping[str, Any],
    kind: ReviewKind | None,
    made_by: AgentRelease | None,
    origin: Callable[[Any], str | None] = lambda _: None,
) -> dict[str, Any]:
    """The call of a proposal in a person's words; empty where it proposes none.

    `arguments` holds for each argument its `name`, `label`, `value`, the value as it is `shown`,
    its `meaning`, its `origin` (where `origin` finds it; not of text for people), and for a form
    `input` (text, long_text, number, integer, yes_no, choice, json), `choices` and `required`.
    `consequences` are sentences. Of a tool that is not installed, only the name and the arguments
    are known.
    """
    if not isinstance(proposal.get("tool"), str) or not isinstance(
        proposal.get("arguments"), Mapping
    ):
        return {}
    name, arguments = str(proposal["tool"]), proposal["arguments"]
    tool = made_by.tools.get(name) if made_by is not None else None
    described = {"tool": name, "title": title_of(name), "line": call_words(name, arguments)}
    if tool is None or made_by is None:
        return described | {
            "arguments": [_bare_argument(each, value) for each, value in arguments.items()],
            "consequences": ["What it does is not known here: the tool is not installed."],
        }
    rule = made_by.manifest.approvals.get(name)
    return described | {
        "does": sentence(tool.description.partition("\n")[0]),
        "effect": tool.effect,
        "money": tool.money,
        "arguments": [_with_origin(tool, each, origin) for each in _arguments(tool, arguments)],
        "consequences": list(_consequences(tool, arguments, kind, rule)),
    }


def _with_origin(
    tool: Tool, entry: dict[str, Any], origin: Callable[[Any], str | None]
) -> dict[str, Any]:
    found = None if entry["name"] in tool.content else origin(entry["value"])
    return {**entry, "origin": found} if found else entry


def describe_edited(
    proposal: Mapping[str, Any],
    kind: ReviewKind | None,
    made_by: AgentRelease | None,
    *,
    before: Mapping[str, Any],
) -> dict[str, Any]:
    """The action of a proposal whose arguments a person has changed, described anew.

    Whoever decides next reads what will be done, and beside each value that differs from the
    agent's own `instead_of`. `before` is the description that the person read.
    """
    action = describe_action(proposal, kind, made_by)
    if not action:
        return {}
    planned = proposal.get("planned_arguments", {})
    wanted = describe_action({**proposal, "arguments": planned}, kind, made_by)
    agents = {each["name"]: each for each in wanted["arguments"]}
    read = {each.get("name"): each for each in before.get("arguments", ()) if _is_entry(each)}
    told = [_beside(each, agents.get(each["name"]), read) for each in action["arguments"]]
    names = {each["name"] for each in told}
    left_out = [each for name, each in agents.items() if name not in names]
    told += [
        {**each, "value": None, "shown": _LEFT_OUT, "left_out": True, "instead_of": each["shown"]}
        for each in left_out
    ]
    return {**action, "arguments": told}


def _beside(
    entry: dict[str, Any], planned: Mapping[str, Any] | None, read: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    if planned is not None and planned["shown"] != entry["shown"]:
        return {**entry, "instead_of": planned["shown"]}
    origin = read.get(entry["name"], {}).get("origin")
    return {**entry, "origin": origin} if origin and planned is not None else entry


def _is_entry(entry: object) -> bool:
    return isinstance(entry, Mapping)


def _bare_argument(name: str, value: Any) -> dict[str, Any]:
    money = is_money(name)
    return {
        "name": name,
        "label": label_of(name, is_money=money),
        "value": value,
        "shown": money_words(value) if money else value_words(value),
    }


def _arguments(tool: Tool, arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of the call in the order of the tool, then those that it leaves out."""
    schema = tool.arguments.model_json_schema()
    properties: Mapping[str, Any] = schema.get("properties", {})
    needed = set(schema.get("required", ()))
    named = [name for name in properties if name in arguments]
    others = [name for name in arguments if name not in properties]
    for name in (*named, *others):
        yield _argument(tool, name, arguments[name], properties.get(name, {}), schema) | {
            "required": name in needed
        }
    for name in properties:
        if name not in arguments:
            left_out = _argument(tool, name, None, properties[name], schema)
            yield left_out | {"required": name in needed, "shown": _LEFT_OUT, "left_out": True}


def _argument(
    tool: Tool, name: str, value: Any, own: Mapping[str, Any], schema: Mapping[str, Any]
) -> dict[str, Any]:
    money = name == tool.money or is_money(name)
    form = _form(own, schema)
    if form["input"] == "text" and name in tool.content:
        form["input"] = "long_text"
    return {
        "name": name,
        "label": _own_title(name, own) or label_of(name, is_money=money),
        "value": value,
        "shown": money_words(value) if money and value is not None else value_words(value),
        **({"meaning": str(own["description"])} if own.get("description") else {}),
        **form,
    }


def _own_title(name: str, own: Mapping[str, Any]) -> str | None:
    """A title that the tool's author wrote, and not one that was made from the name."""
    title = own.get("title")
    if not isinstance(title, str) or title.replace(" ", "_").lower() == name.lower():
        return None
    return title


def _form(own: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """How a form asks for a value: by the first form that the schema allows, null aside."""
    forms = [_resolved(each, schema) for each in own.get("anyOf", own.get("oneOf", [own]))]
    forms = [each for each in forms if each.get("type") != "null"]
    for each in forms:
        choices = each.get("enum", [each["const"]] if "const" in each else None)
        if isinstance(choices, list):
            return {"input": "choice", "choices": [str(choice) for choice in choices]}
    kinds = [_INPUTS.get(str(each.get("type")), "text") for each in forms]
    if "number" in kinds:  # a decimal may come as a text of digits, too
        return {"input": "number"}
    return {"input": kinds[0] if kinds else "text"}


def _resolved(own: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(own, Mapping):
        return {}
    reference = own.get("$ref")
    if isinstance(reference, str):
        found = schema.get("$defs", {}).get(reference.rpartition("/")[2])
        return found if isinstance(found, Mapping) else {}
    return own


def _consequences(
    tool: Tool,
    arguments: Mapping[str, Any],
    kind: ReviewKind | None,
    rule: ApprovalRule | None,
) -> Iterator[str]:
    yield from _effects(tool, arguments)
    if kind is ReviewKind.IN_DOUBT:
        yield (
            "It may have taken effect already: look in the other system before you let it be done "
            "again."
        )
        return
    if tool.effect == "write":
        yield _REPEATS[tool.repeat]
        yield "The fleet knows of no way to take it back."
    yield from _needs(tool, arguments, rule)


def _effects(tool: Tool, arguments: Mapping[str, Any]) -> Iterator[str]:
    amount = arguments.get(tool.money) if tool.money else None
    if tool.effect == "read":
        yield "It only looks something up: nothing is changed."
    elif amount is not None:
        yield f"{_MOVES} {money_words(amount)}."
    else:
        yield "It changes something in the other system."
    if tool.stakes == "high":
        yield "Its author says that much hangs on it."
    if tool.open_world:
        yield "What it is given leaves the house."
    if tool.cost_usd:
        yield f"The call itself costs {money_words(tool.cost_usd)}."


def _needs(tool: Tool, arguments: Mapping[str, Any], rule: ApprovalRule | None) -> Iterator[str]:
    customer = arguments.get(tool.customer_argument) if tool.customer_argument else None
    if customer is not None:
        yield f"It is about {customer}, and about nobody else."
    if tool.scopes:
        yield f"It uses the agent's right {', '.join(tool.scopes)}."
    if rule is not None and rule.people > 1:
        yield f"{rule.people} different people must approve it."
    if rule is not None:
        hours = f"{rule.valid_hours:g} hour{'' if rule.valid_hours == 1 else 's'}"
        yield f"An approval holds for {hours}, for exactly these arguments."
