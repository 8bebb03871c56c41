"""Puts names and values of calls into words that a person reads at a glance."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from fleet_workers.store.journal import Step, StepState

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PARTS: Final = re.compile(r"[\s_.\-]+")
_SPELLINGS: Final = {"id": "ID", "ids": "IDs", "url": "URL", "iban": "IBAN", "vat": "VAT"}
_CURRENCY: Final = "usd"
_DAY_AND_MINUTE: Final = "%Y-%m-%d %H:%M UTC"
_MOST_IN_LINE: Final = 12
_LEVELS: Final = 5


def title_of(name: str) -> str:
    """A name in snake or camel case as words: `refund_payment` is Refund payment."""
    parts = [each for each in _PARTS.split(_HUMP.sub("_", name)) if each]
    words = [_SPELLINGS.get(each.lower(), each.lower()) for each in parts]
    return " ".join([*(each[:1].upper() + each[1:] for each in words[:1]), *words[1:]])


def label_of(argument: str, *, is_money: bool = False) -> str:
    """What a form calls an argument; a currency at the name's end stands with the value."""
    stem = re.sub(rf"_{_CURRENCY}$", "", argument, flags=re.IGNORECASE) if is_money else argument
    return title_of(stem) or argument


def is_money(argument: str) -> bool:
    """Tell whether an argument's name says that it holds US dollars."""
    return argument.lower().endswith(f"_{_CURRENCY}")


def money_words(value: object) -> str:
    """US dollars as `1,240.00 USD`; what is no number stands as it is."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return value_words(value)
    if not amount.is_finite() or abs(amount) >= Decimal("1e15"):
        return value_words(value)
    shown = f"{amount:,.2f}" if amount == round(amount, 2) else f"{amount:,f}"
    return f"{shown} USD"


def value_words(value: object, *, levels: int = _LEVELS) -> str:
    """A value in one line: yes and no for truth values, parts of lists and objects after another.

    `nothing` stands for null, `…` for what lies deeper than `levels`.
    """
    match value:
        case None:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case Mapping() | list() | tuple() if levels == 0:
            return "…"
        case Mapping():
            parts = [
                (title_of(str(k)), value_words(v, levels=levels - 1)) for k, v in value.items()
            ]
            return _in_line([f"{name}: {words}" for name, words in parts])
        case list() | tuple():
            return _in_line([value_words(each, levels=levels - 1) for each in value])
        case _:
            return str(value)


def call_words(tool: str, arguments: Mapping[str, Any]) -> str:
    """A call in one line, as `Refund payment (Payment ID pay_3041, Amount 49.00 USD)`."""
    told = [
        f"{label_of(name, is_money=is_money(name))} "
        f"{money_words(value) if is_money(name) else value_words(value)}"
        for name, value in arguments.items()
        if value is not None
    ]
    return f"{title_of(tool)} ({_in_line(told)})" if told else title_of(tool)


def climb_words(step: Step) -> str:
    """Why a plan was asked of a larger model, in a sentence; empty where it was not."""
    climbed = step.request.get("climbed_from")
    if not isinstance(climbed, Mapping):
        return ""
    smaller, larger = climbed.get("tier"), climbed.get("to")
    came = "answered" if step.state is StepState.DONE else "gave no answer"
    confidence = climbed.get("confidence")
    if isinstance(confidence, int | float):
        doubt = f"was unsure ({confidence:.2f})"
    else:
        doubt = f"gave nothing to use ({str(climbed.get('reason', '')).rstrip('.')})"
    return f"The {smaller} model {doubt}, the {larger} one {came}."


def router_words(result: Mapping[str, Any]) -> str:
    """What the router made of a request, in a sentence; empty where it was not the router."""
    likely, score = result.get("likely"), result.get("score")
    told = f" (score {score:.2f})" if isinstance(score, int | float) else ""
    match result.get("zone"):
        case "sure":
            return f"The router is sure of {likely}{told}."
        case "out_of_scope":
            return f"The router knows no request like this one{told}."
        case "unsure":
            return f"The router is not sure; {likely} is likeliest{told}."
        case "unknown":
            return f"The router gave no verdict. {result.get('why', '')}".strip()
        case _:
            return ""


def time_words(moment: datetime | str | None) -> str | None:
    """A time in UTC to the minute; what is no time stands as it is."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return str(moment)
    if moment is None:
        return None
    return moment.astimezone(UTC).strftime(_DAY_AND_MINUTE)


def sentence(text: str) -> str:
    """A text with a capital letter and a full stop, where it has none; names stay as they are."""
    words = text.strip()
    if not words:
        return ""
    ended = words if words[-1] in ".!?…”" else f"{words}."
    starts_with_name = "_" in ended.split(maxsplit=1)[0]
    return ended if starts_with_name else ended[:1].upper() + ended[1:]


def _in_line(parts: list[str]) -> str:
    more = len(parts) - _MOST_IN_LINE
    return ", ".join(parts[:_MOST_IN_LINE]) + (f" and {more} more" if more > 0 else "")
