"""Questions to models, and what the models cost."""

from decimal import Decimal
from typing import Any

from fleet_workers.models.messages import ChatRequest
from fleet_workers.models.prices import Price, Prices

PRICES = Prices(
    by_model={
        "tested": Price(input_usd=Decimal(1), output_usd=Decimal(10)),
        "second": Price(input_usd=Decimal(2), output_usd=Decimal(20)),
    }
)

TOOL = {
    "type": "function",
    "function": {
        "name": "find_order",
        "description": "Finds an order.",
        "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}},
    },
}


def question(**changes: Any) -> ChatRequest:
    """A question with one tool."""
    return ChatRequest(
        **{
            "messages": [
                {"role": "system", "content": "Help."},
                {"role": "user", "content": "Where is order 7?"},
            ],
            "tools": [TOOL],
            **changes,
        }
    )
