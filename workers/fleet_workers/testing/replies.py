"""The lines of a script: what a scripted model says, and how it fails before it says it."""

import json
from dataclasses import dataclass
from typing import Any

from fleet_contracts.errors import FleetError
from fleet_workers.models.control import ANSWER, ASK_CUSTOMER, HAND_OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """A reply: text, calls as pairs of name and JSON text, or both."""

    text: str | None = None
    calls: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fails:
    """The next `times` requests that reach this line get an error; all of them where it is None."""

    error: FleetError
    times: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalls:
    """The next `times` requests wait before they get the reply that follows."""

    seconds: float
    times: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Babbles:
    """The next `times` requests get a body that is no completion."""

    text: str
    times: int | None


Trouble = Fails | Stalls | Babbles
"""What happens before a reply, so that a later attempt gets that reply."""

Reply = Says | Trouble


def call(name: str, /, **arguments: Any) -> Says:
    """Call one tool. The arguments are not checked: the controller does that."""
    return Says(calls=((name, json.dumps(arguments, ensure_ascii=False)),))


def calls(*several: Says) -> Says:
    """Call several tools in one reply: `calls(call("a"), call("b", x=1))`."""
    return Says(calls=tuple(one for each in several for one in each.calls))


def answer(text: str, confidence: float = 0.95) -> Says:
    """End with an answer; `confidence` is from 0 to 1."""
    return call(ANSWER, text=text, confidence=confidence)


def ask(question: str) -> Says:
    """End by asking the customer."""
    return call(ASK_CUSTOMER, question=question)


def hand_over(reason: str) -> Says:
    """End by handing the request to a person."""
    return call(HAND_OVER, reason=reason)


def say(text: str) -> Says:
    """Reply in plain text without a call, as a model that ignores its tools."""
    return Says(text=text)


def fail(error: FleetError, *, times: int | None = 1) -> Fails:
    """Raise an error `times` times before the next reply; None means always.

    A server answers 503 for a transient error (with Retry-After where the error says so), 401 for
    a ConfigurationError and 400 for others. The gateway tries a blip once more by itself, so over
    a server one failure is not noticed and two make one failed attempt.
    """
    return Fails(error=error, times=times)


def stall(seconds: float, *, times: int | None = 1) -> Stalls:
    """Wait before the next reply; in process, the request's time limit ends the wait."""
    return Stalls(seconds=seconds, times=times)


def garbage(text: str = "<html>It works!</html>", *, times: int | None = 1) -> Babbles:
    """Answer with something that is no completion before the next reply."""
    return Babbles(text=text, times=times)
