"""Reads the messages of a request: scope, customer, wish, data and the calls made so far."""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from fleet_workers.embedded.offline_model.schemas import text_of

_MAX_TEXT: Final = 12_000
"""Characters of a message that are read: its beginning and its end."""
_LONG_GAP: Final = re.compile(r"[^\S\n]{3,}")
_NEVER: Final = re.compile(
    r"\b(?:never|must not|do not|don't|may not|not handle|out of scope|not allowed|forbidden)\b",
    re.IGNORECASE,
)
_HANDLES: Final = re.compile(
    r"\b(?:handles?|in scope|scope|responsible for|takes? care of)\b", re.IGNORECASE
)
_BULLET: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_CUSTOMER: Final = re.compile(
    r"\bcustomer(?: id)?(?:\s+is|\s*[:=])\s*[`\"']?(?!not\b|known\b|unknown\b|the\b|an?\b)"
    r"([A-Za-z0-9][\w@.-]*)",
    re.IGNORECASE,
)
_YES: Final = re.compile(
    r"^\W*(?:yes|yep|yeah|sure|ok|okay|please do|go ahead|correct|exactly|do it)\b", re.IGNORECASE
)
_OFFER: Final = re.compile(r"would you like me to (.+?)\?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """A tool call of this conversation. `error` is set where the tool failed."""

    name: str
    arguments: dict[str, Any]
    result: Any = None
    error: str | None = None
    answered: bool = False
    current: bool = False
    """Made for the customer's newest message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """All that a request says. `wish` is what the customer wants now, `said` all that they said."""

    wish: str = ""
    said: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    handles: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    customer: str | None = None
    calls: tuple[PastCall, ...] = ()

    @property
    def current_calls(self) -> tuple[PastCall, ...]:
        """The calls made for the newest message."""
        return tuple(call for call in self.calls if call.current)


def read_conversation(messages: list[dict[str, Any]]) -> Conversation:
    """Read messages; those of unknown roles or odd shape are passed over."""
    system = "\n".join(
        content_text(message)
        for message in messages
        if message.get("role") in {"system", "developer"}
    )
    handles, never = _scope(system)
    spoken = [
        (message.get("role"), content_text(message))
        for message in messages
        if message.get("role") in {"user", "assistant"}
    ]
    said, data = [], dict[str, Any]()
    turns: list[tuple[Any, str]] = []
    for role, text in spoken:
        if role == "user":
            plain, found = _split_data(text)
            data.update(found)
            said.append(plain)
            turns.append((role, plain))
        elif text:
            turns.append((role, text))
    return Conversation(
        wish=_wish(turns),
        said="\n".join(said),
        data=data,
        handles=handles,
        never=never,
        customer=_customer(system),
        calls=_calls(messages),
    )


def content_text(message: dict[str, Any]) -> str:
    """The text of a message, whose content may be a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(text_of(part.get("text")) for part in content if isinstance(part, dict))
    text = text_of(content)
    if len(text) > _MAX_TEXT:
        text = f"{text[: _MAX_TEXT * 3 // 4]}\n{text[-_MAX_TEXT // 4 :]}"
    return _LONG_GAP.sub("  ", text)


def _wish(turns: list[tuple[Any, str]]) -> str:
    users = [at for at, (role, _) in enumerate(turns) if role == "user"]
    if not users:
        return ""
    newest = turns[users[-1]][1]
    if len(users) == 1:
        return newest
    asked = turns[users[-1] - 1][1] if turns[users[-1] - 1][0] == "assistant" else ""
    offer = _OFFER.search(asked)
    if offer and _YES.search(newest):
        return f"Please {offer[1]}. {newest}"
    if asked.rstrip().endswith("?"):
        return f"{turns[users[-2]][1]}\n{newest}"
    return newest


def _split_data(text: str) -> tuple[str, dict[str, Any]]:
    decoder = json.JSONDecoder()
    for found in list(re.finditer(r"\{", text))[:5]:
        try:
            value, _ = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and value:
            plain = text[: found.start()].rstrip()
            return re.sub(
                r"(?:^|\n)[^\n.?!]{0,40}\bdata\b[^\n.?!]{0,40}:?\s*$|```\w*$", "", plain
            ), value
    return text, {}


def _scope(system: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found: dict[str, list[str]] = {"handles": [], "never": []}
    section: str | None = None
    for line in system.splitlines():
        bullet = _BULLET.match(line)
        if bullet and section:
            found[section].append(line[bullet.end() :].strip())
            continue
        if not line.strip():
            continue
        heading, colon, rest = line.partition(":")
        if not bullet and (colon or line.startswith("#") or line.isupper()):
            section = _section(heading)
            if section and rest.strip():
                found[section] += [part.strip() for part in rest.split(";") if part.strip()]
        elif not bullet:
            section = None
    return tuple(found["handles"]), tuple(found["never"])


def _section(heading: str) -> str | None:
    if _NEVER.search(heading):
        return "never"
    return "handles" if _HANDLES.search(heading) else None


def _customer(system: str) -> str | None:
    """The last one named: an agent's prompt comes first and may speak of customers at large."""
    found = _CUSTOMER.findall(system)
    return found[-1].rstrip(".-_") if found else None


def _calls(messages: list[dict[str, Any]]) -> tuple[PastCall, ...]:
    answers = {
        message.get("tool_call_id"): content_text(message)
        for message in messages
        if message.get("role") == "tool" and isinstance(message.get("tool_call_id"), str)
    }
    newest = max((at for at, each in enumerate(messages) if each.get("role") == "user"), default=-1)
    calls = []
    for at, message in enumerate(messages):
        made = message.get("tool_calls")
        if message.get("role") != "assistant" or not isinstance(made, list):
            continue
        for call in made:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict) and isinstance(function.get("name"), str):
                answer = answers.get(call.get("id")) if isinstance(call.get("id"), str) else None
                calls.append(_past_call(function, answer, current=at > newest))
    return tuple(calls)


def _past_call(function: dict[str, Any], answer: str | None, *, current: bool) -> PastCall:
    arguments = parse_json(text_of(function.get("arguments")))
    result = parse_json(answer) if answer is not None else None
    error = None
    if isinstance(result, dict) and result.get("error"):
        error = result["error"] if isinstance(result["error"], str) else json.dumps(result["error"])
    return PastCall(
        name=function["name"],
        arguments=arguments if isinstance(arguments, dict) else {},
        result=None if error else result,
        error=error,
        answered=answer is not None,
        current=current,
    )


def parse_json(text: str) -> Any:
    """The value that a JSON text stands for; the text itself where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
