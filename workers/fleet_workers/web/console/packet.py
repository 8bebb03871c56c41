"""Prepares a review's packet for the page: every part is there, those that say nothing are empty.

Packets come from every version of the fleet that has written one, and from restored backups.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

_TEXTS: Final = ("request", "why")
_LISTS: Final = (
    "about_customer",
    "conversation",
    "signals",
    "understood",
    "done",
    "found",
    "because",
    "ruled_out",
    "rounds",
)
_OBJECTS: Final = ("data", "proposal", "action")
_IN_THE_HEAD: Final = frozenset(
    {"tenant", "agent", "customer", "session_id", "release", "confidence"}
)
_LONGEST_LINE: Final = 90
_MOST_ROWS: Final = 20
_MOST_COLUMNS: Final = 7


def shown_packet(packet: Mapping[str, Any]) -> dict[str, Any]:
    """What `packet.html` and `packet_proposal.html` show; `others` are parts of unknown name."""
    shown: dict[str, Any] = {name: _text(packet.get(name)) for name in _TEXTS}
    shown |= {name: _list(packet.get(name)) for name in _LISTS}
    shown |= {name: _object(packet.get(name)) for name in _OBJECTS}
    for name in ("done", "found"):
        shown[name] = [_call(each) for each in shown[name] if isinstance(each, Mapping)]
    for name in ("because", "ruled_out", "rounds", "about_customer"):
        shown[name] = [_words(each) for each in shown[name] if isinstance(each, Mapping)]
    shown["conversation"] = [
        {**each, "role": _text(each.get("role"))}
        for each in shown["conversation"]
        if isinstance(each, Mapping)
    ]
    shown["action"] = _action(shown["action"])
    known = {*shown, *_IN_THE_HEAD}
    others = {name: value for name, value in packet.items() if name not in known and value}
    return shown | {"others": others, "confidence": packet.get("confidence")}


def _action(action: Mapping[str, Any]) -> dict[str, Any]:
    arguments = [_words(each) for each in _list(action.get("arguments")) if _object(each)]
    consequences = [_text(each) for each in _list(action.get("consequences"))]
    told = {name: _text(action.get(name)) for name in ("title", "does", "line")}
    return told | {"arguments": arguments, "consequences": [each for each in consequences if each]}


def _words(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its texts and truth values; what else stands in it is not for the page."""
    return {str(key): value for key, value in row.items() if isinstance(value, str | bool)}


def _call(row: Mapping[str, Any]) -> dict[str, Any]:
    """A call with its result as facts and tables where it is made of them, else as JSON."""
    outcome = row.get("outcome")
    result = outcome
    if isinstance(outcome, Mapping):
        result = outcome.get("value", outcome.get("error", outcome))
    facts, tables, rest = _taken_apart(result)
    return {
        "line": _text(row.get("line")) or _text(row.get("tool")),
        "came_to": _text(row.get("came_to")),
        "at": _text(row.get("at")),
        "facts": facts,
        "tables": tables,
        "result": rest,
        "arguments": row.get("arguments") if not row.get("line") else None,
    }


def _taken_apart(result: Any) -> tuple[list[tuple[str, str]], list[dict[str, Any]], Any]:
    """Short values of an object, its lists of flat rows as tables, and what is left of it."""
    if isinstance(result, list):
        result = {"": result}
    if not isinstance(result, Mapping):
        return [], [], result
    facts, tables, rest = [], [], {}
    for name, value in result.items():
        table = _table(name, value)
        text = _line(value)
        if table is not None:
            tables.append(table)
        elif text is not None:
            facts.append((str(name), text))
        else:
            rest[name] = value
    return facts, tables, rest.get("", rest) if list(rest) == [""] else rest or None


def _table(name: str, value: Any) -> dict[str, Any] | None:
    """A list of objects with the same few fields and short values; None for anything else."""
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_ROWS:
        return None
    if not all(isinstance(each, Mapping) for each in value):
        return None
    columns = list(dict.fromkeys(str(key) for each in value for key in each))
    if not 0 < len(columns) <= _MOST_COLUMNS:
        return None
    rows = []
    for each in value:
        cells = [_line(each.get(column)) if column in each else "" for column in columns]
        if any(cell is None for cell in cells):
            return None
        rows.append(cells)
    return {"name": name, "columns": columns, "rows": rows}


def _line(value: Any) -> str | None:
    """A value in one short line; None for one that has none."""
    if isinstance(value, list | Mapping):
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_LINE else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
