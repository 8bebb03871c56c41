"""Which ruling fits which item: a person can say only what has a consequence."""

from collections.abc import Mapping
from typing import Any

from fleet_contracts.errors import InvalidInput
from fleet_contracts.outcome import ReviewKind
from fleet_workers.review.binding import END, GO_ON, Ruling, proposal_of
from fleet_workers.store.finished import AFTERWARDS
from fleet_workers.store.reviews import ReviewItem

__all__ = [
    "AFTERWARDS",
    "acts",
    "check_fit",
    "may_say",
    "people_needed",
    "what_rejection_means",
]

_ACTIONS = frozenset(
    {
        ReviewKind.APPROVAL,
        ReviewKind.IN_DOUBT,
        ReviewKind.OVER_BUDGET,
        ReviewKind.TOOL_AWAY,
    }
)
_ANSWERS = frozenset({ReviewKind.LOW_CONFIDENCE, ReviewKind.UNGROUNDED})
_NEEDED_TEXT = {
    Ruling.REJECT: "Say why it is rejected: send a reason.",
    Ruling.ANSWER: "Say what the answer is: send text.",
    Ruling.ASK: "Say what the customer is asked: send text.",
    Ruling.REASSIGN: "Say why another agent takes over: it reads the reason.",
}


def acts(item: ReviewItem) -> bool:
    """Tell whether the item is about an action that the agent wants to do."""
    return item.kind in _ACTIONS and "tool" in proposal_of(item)


def people_needed(item: ReviewItem) -> int:
    """How many different people must approve."""
    people = proposal_of(item).get("people", 1)
    return people if isinstance(people, int) else 1


def may_say(item: ReviewItem) -> frozenset[Ruling]:
    """The rulings that fit an item, whatever their text."""
    if item.kind in AFTERWARDS:
        return frozenset({Ruling.APPROVE, Ruling.EDIT, Ruling.REJECT})
    proposal = proposal_of(item)
    fitting = {Ruling.REJECT, Ruling.ANSWER, Ruling.ASK}
    drafts = item.kind in _ANSWERS and bool(proposal.get("answer"))
    if acts(item) or drafts or (item.kind in _ANSWERS and proposal.get("agent")):
        fitting.add(Ruling.APPROVE)
    if item.kind is not ReviewKind.IN_DOUBT:
        # A call that may have happened can be neither changed nor left to another agent.
        fitting.add(Ruling.REASSIGN)
        if drafts or acts(item):
            fitting.add(Ruling.EDIT)
    return frozenset(fitting)


def check_fit(
    item: ReviewItem,
    ruling: Ruling,
    text: str,
    *,
    arguments: Mapping[str, Any] | None,
    agent: str | None,
) -> None:
    """Make sure that a ruling fits.

    Raises:
        InvalidInput: It does not, or it lacks something; the text says what to send.
    """
    fitting = may_say(item)
    if ruling not in fitting:
        if ruling is Ruling.APPROVE:
            raise InvalidInput(
                f"A review of kind {item.kind} holds no proposal to approve: answer it, or "
                "reject it."
            )
        raise InvalidInput(
            f"{ruling} does not fit a review of kind {item.kind}: {', '.join(sorted(fitting))} do."
        )
    if ruling in _NEEDED_TEXT and not text.strip():
        raise InvalidInput(_NEEDED_TEXT[ruling])
    if (ruling is Ruling.REASSIGN) != (agent is not None):
        raise InvalidInput("Name the agent that takes over; no other ruling has one.")
    if ruling is Ruling.EDIT and acts(item) and arguments is None:
        raise InvalidInput("Send the arguments with which the action is to be done.")
    if ruling is Ruling.EDIT and not acts(item) and not text.strip():
        raise InvalidInput("Send the answer as it is to be said.")
    if arguments is not None and not (ruling is Ruling.EDIT and acts(item)):
        raise InvalidInput("Only the edit of an action takes arguments.")


def what_rejection_means(item: ReviewItem, *, end: bool | None) -> str:
    """Whether the agent goes on after a rejection; by default where it has proposed something.

    A task that has ended stays so.

    Raises:
        InvalidInput: The agent could not heed the reason, or may not be stopped here.
    """
    if item.kind in AFTERWARDS:
        return END
    proposal = proposal_of(item)
    if item.kind is ReviewKind.IN_DOUBT and end:
        raise InvalidInput(
            "To reject here says that it was not done, and the agent goes on. To end the task, "
            "answer it."
        )
    heeds = acts(item) or "plan" in proposal
    if end is False and not heeds:
        raise InvalidInput(
            f"The agent cannot go on from a review of kind {item.kind}: reject it for good, "
            "answer it, or give it to another agent."
        )
    if end is None:
        end = not (acts(item) or (item.kind in _ANSWERS and "plan" in proposal))
    return END if end else GO_ON
