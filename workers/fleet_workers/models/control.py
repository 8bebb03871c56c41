"""The three calls that end a plan.

Every agent has them beside its own tools, as ordinary tools, so that they work on every
endpoint that can call tools.
"""

from typing import Any, Final

ANSWER: Final = "answer"
ASK_CUSTOMER: Final = "ask_customer"
HAND_OVER: Final = "hand_over"
CONTROL_NAMES: Final = frozenset({ANSWER, ASK_CUSTOMER, HAND_OVER})


def _control(name: str, description: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            },
        },
    }


CONTROL_SCHEMAS: Final[tuple[dict[str, Any], ...]] = (
    _control(
        ANSWER,
        "Finish with the reply to the customer. Use only facts that the tools returned. "
        "confidence is the probability, from 0 to 1, that the reply is right and complete.",
        {
            "text": {"type": "string", "minLength": 1},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        },
    ),
    _control(
        ASK_CUSTOMER,
        "Finish by asking the customer for what is missing and cannot be looked up.",
        {"question": {"type": "string", "minLength": 1}},
    ),
    _control(
        HAND_OVER,
        "Finish by handing the request to a person: it is outside your scope, is about somebody "
        "else's account, or needs something that you must not do.",
        {"reason": {"type": "string", "minLength": 1}},
    ),
)
