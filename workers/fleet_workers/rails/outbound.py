"""Checks what an agent would say before it leaves: one verdict a check, each with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

from fleet_workers.rails.answer_shape import MAX_ANSWER_CHARACTERS, shape_faults
from fleet_workers.rails.deeds import Deeds, undone_claims
from fleet_workers.rails.grounding import ungrounded_claims
from fleet_workers.rails.leaks import Guarded, blacked_out, find_leaks
from fleet_workers.rails.normalise import normalise
from fleet_workers.rails.promises import AnswerPolicy, Grounds, broken_rules, unbacked_promises

Ruling = Literal["pass", "doubt", "refuse", "review"]
_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one check found.

    `doubt` lowers the confidence, `refuse` lets the model mend its words, `review` wants a person
    whatever the confidence.
    """

    check: str
    ruling: Ruling
    reason: str = ""

    def as_record(self) -> dict[str, str]:
        """The journal's form."""
        return {"check": self.check, "ruling": self.ruling, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """All that an answer is held against. `tools` are the names of the agent's tools."""

    guarded: Guarded = field(default_factory=Guarded)
    deeds: Deeds = field(default_factory=Deeds)
    tools: Sequence[str] = ()
    tools_done: frozenset[str] = frozenset()
    policy: AnswerPolicy = field(default_factory=AnswerPolicy)
    prompt: str = ""
    today: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundReport:
    """The verdicts on a text, and the text as a person may be shown it.

    `ungrounded` are the claims in doubt. Where something leaks, nothing but that is looked at.
    """

    verdicts: tuple[Verdict, ...]
    shown: str
    ungrounded: tuple[str, ...] = ()

    def first(self, ruling: Ruling) -> Verdict | None:
        """The first verdict of that ruling, if there is one."""
        return next((each for each in self.verdicts if each.ruling == ruling), None)

    @property
    def leaks(self) -> bool:
        """Tell whether something stands in the text that must not leave."""
        return any(each.check == "leaks" and each.ruling != "pass" for each in self.verdicts)

    def as_record(self) -> list[Mapping[str, str]]:
        """The journal's form."""
        return [each.as_record() for each in self.verdicts]


def check_outbound(text: str, background: Background) -> OutboundReport:
    """Look at an answer, or a question to the customer, in the order of what is worst.

    Of one that is too long to be sent only the length is judged, so that looking takes no longer
    than for any other.
    """
    if len(text) > MAX_ANSWER_CHARACTERS:
        return _too_long(text, background)
    visible = normalise(text).text
    leaks = find_leaks(visible, background.guarded)
    if leaks:
        named = ", ".join(dict.fromkeys(each.what for each in leaks))
        verdict = Verdict(check="leaks", ruling="review", reason=f"The draft holds {named}.")
        return OutboundReport(verdicts=(verdict,), shown=blacked_out(visible, leaks))
    guarded = background.guarded
    faults = shape_faults(text, tools=background.tools, known=[*guarded.asked, *guarded.own])
    ungrounded = ungrounded_claims(
        text,
        known=guarded.own,
        asked=guarded.asked,
        guidance=[background.prompt],
        today=background.today,
    )
    verdicts = (
        Verdict(check="leaks", ruling="pass"),
        _verdict("shape", "refuse", "The text cannot be sent", faults),
        _verdict("claims", "doubt", "Nothing that was looked up supports", ungrounded),
        _verdict(
            "deeds",
            "review",
            "It says that something was done which no call of a tool did",
            undone_claims(text, background.deeds),
        ),
        _promises(text, background),
    )
    return OutboundReport(verdicts=verdicts, shown=text, ungrounded=tuple(ungrounded))


def _too_long(text: str, background: Background) -> OutboundReport:
    allowed = f"{len(text):,} characters, and {MAX_ANSWER_CHARACTERS:,} are allowed"
    verdict = _verdict("shape", "refuse", "The text cannot be sent", [f"it has {allowed}"])
    start = normalise(text[:MAX_ANSWER_CHARACTERS]).text
    shown = blacked_out(start, find_leaks(start, background.guarded))
    return OutboundReport(verdicts=(verdict,), shown=f"{shown}…")


def _promises(text: str, background: Background) -> Verdict:
    policy = background.policy
    broken = broken_rules(text, policy.forbidden, background.tools_done)
    grounds = Grounds(
        deeds=background.deeds,
        records=background.guarded.own,
        guidance=[background.prompt],
    )
    unbacked = unbacked_promises(text, grounds, policy.may_promise)
    found = [f"{reason} (“{said}”)" for reason, said in broken]
    found += [f"a {promise} that no tool confirmed (“{said}”)" for promise, said in unbacked]
    return _verdict("promises", "review", "It says what the agent may not say", found)


def _verdict(check: str, ruling: Ruling, opening: str, found: Sequence[str]) -> Verdict:
    if not found:
        return Verdict(check=check, ruling="pass")
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return Verdict(
        check=check, ruling=ruling, reason=f"{opening}: {', '.join(found[:_MOST_NAMED])}{more}."
    )
