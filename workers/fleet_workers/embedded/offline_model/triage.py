"""Sends a request to the best of several routes: tools that take nothing but a confidence."""

# ruff: noqa: PLR2004 - lengths and weights of single rules read best where they are used

from fleet_workers.embedded.offline_model.conversation import Conversation
from fleet_workers.embedded.offline_model.endings import Call, confidence_of, hand_over
from fleet_workers.embedded.offline_model.guards import reason_to_hand_over
from fleet_workers.embedded.offline_model.language import stems
from fleet_workers.embedded.offline_model.ranking import ToolIndex
from fleet_workers.embedded.offline_model.schemas import ToolSpec
from fleet_workers.embedded.offline_model.wishes import clauses

CONFIDENCE = "confidence"
_THRESHOLD = 0.16
"""Low, for a wrong route does little harm: the agent itself hands over what is not its business."""
_CLAUSE_SHARE = 0.5


def is_route(spec: ToolSpec) -> bool:
    """Whether a tool only chooses a way: its single argument is a number called confidence."""
    return [each.name for each in spec.parameters] == [CONFIDENCE] and spec.parameters[0].type in {
        "number",
        "integer",
    }


def choose_route(conversation: Conversation, index: ToolIndex) -> Call:
    """The best route with its confidence; a hand-over where none fits or none is allowed."""
    reason = reason_to_hand_over(conversation, index)
    if reason is not None:
        return hand_over(reason)
    scores = _scores(conversation.wish, index)
    order = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
    if not order or scores[order[0]] < _THRESHOLD:
        return hand_over("The message asks for something that no agent here handles.")
    lead = scores[order[0]] - scores[order[1]] if len(order) > 1 else scores[order[0]]
    return Call(
        name=index.specs[order[0]].name,
        arguments={CONFIDENCE: confidence_of(scores[order[0]], 2 * lead)},
    )


def _scores(text: str, index: ToolIndex) -> list[float]:
    """Strength of each route: over the whole text, and by its best clause."""
    scores = [0.0] * len(index.specs)
    for ranked in index.rank(stems(text)):
        scores[ranked.position] = ranked.strength
    parts = clauses(text)[:20]
    if len(parts) < 2:
        return scores
    best = [0.0] * len(index.specs)
    for part in parts:
        for ranked in index.rank(stems(part)):
            best[ranked.position] = max(best[ranked.position], ranked.strength)
    return [
        (1 - _CLAUSE_SHARE) * whole + _CLAUSE_SHARE * clause
        for whole, clause in zip(scores, best, strict=True)
    ]
