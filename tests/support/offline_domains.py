"""Tools of invented businesses, and a small stage on which the offline model plays them."""

import json
from collections.abc import Callable
from typing import Any

from fleet_workers.embedded.offline_model.model import OfflineModel
from fleet_workers.embedded.offline_model.wire import parse_body
from fleet_workers.models.control import CONTROL_NAMES, CONTROL_SCHEMAS


def tool(
    name: str, description: str, required: dict[str, Any] | None = None, **optional: Any
) -> dict[str, Any]:
    """A tool schema whose arguments are `required` and `optional`, each a JSON schema."""
    properties = {**(required or {}), **optional}
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(required or {}),
                "additionalProperties": False,
            },
        },
    }


TEXT = {"type": "string"}

LIBRARY = [
    tool("list_loans", "List the books that the member has borrowed, with due dates.", {}),
    tool("search_catalogue", "Search the library's catalogue for books by title or author.",
         {"query": TEXT}),
    tool("renew_loan", "Renew a loan so that the book may be kept three weeks longer.",
         {"loan_id": {"type": "string", "pattern": "^L-[0-9]+$"}}),
    tool("reserve_book", "Reserve a book that is lent out.",
         {"book_id": {"type": "string", "pattern": "^B-[0-9]+$", "description": "The book's id"}}),
    tool("pay_fine", "Pay a fine for a book that was returned late.",
         {"fine_id": {"type": "string", "pattern": "^F-[0-9]+$"}}),
    tool("list_fines", "List the member's unpaid fines for late books.", {}),
    tool("opening_hours", "Tell when a branch of the library is open.",
         {"branch": {"type": "string", "enum": ["central", "harbour", "north"]}}),
]  # fmt: skip
LIBRARY_SCOPE = (
    "You work for a town library.\n\nYou handle:\n- loans, renewals and fines\n- books and the "
    "catalogue\n\nYou must never:\n- waive or reduce a fine\n- give the names of other readers\n\n"
    "The customer is M-501."
)

PIZZERIA = [
    tool("show_menu", "Show the pizzas on the menu with their prices.", {}),
    tool("place_order", "Place an order for a pizza.",
         {"pizza": {"type": "string", "enum": ["margherita", "funghi", "diavola"]},
          "size": {"type": "string", "enum": ["small", "medium", "large"]}},
         quantity={"type": "integer", "minimum": 1, "maximum": 20}),
    tool("track_delivery", "Track where the delivery of an order is right now.",
         {"order_id": TEXT}),
    tool("list_orders", "List the customer's recent orders.", {}),
    tool("cancel_order", "Cancel an order that has not been baked yet.", {"order_id": TEXT}),
    tool("book_table", "Book a table in the restaurant.",
         {"date": {"type": "string", "format": "date"}, "guests": {"type": "integer"}}),
]  # fmt: skip
PIZZERIA_SCOPE = (
    "You work for a pizza shop.\n\nYou handle:\n- orders and deliveries\n- table bookings\n\n"
    "You must never:\n- talk about allergies or medical questions\n\nThe customer is P-77."
)

BANK = [
    tool("list_transactions", "List the card transactions and charges on the account.", {}),
    tool("dispute_transaction", "Explain a transaction: who charged it, when and for what.",
         {"transaction_id": {"type": "string"}}),
    tool("block_card", "Block a card that was lost or stolen.", {"card_id": {"type": "string"}}),
    tool("list_cards", "List the customer's cards.", {}),
    tool("transfer_money", "Transfer money to a recipient by e-mail address.",
         {"amount": {"type": "number", "exclusiveMinimum": 0},
          "recipient_email": {"type": "string", "format": "email"}}),
    tool("account_balance", "Tell the balance of the account.",
         {"customer_id": {"type": "string"}}),
]  # fmt: skip
BANK_SCOPE = (
    "You work for a bank.\n\nYou handle:\n- cards, transactions, transfers and the balance\n\n"
    "You must never:\n- recommend investments such as shares or funds\n\nThe customer is C-1001."
)

CARDS = {"cards": [{"id": "CARD-1", "kind": "debit", "status": "active"},
                   {"id": "CARD-2", "kind": "credit", "status": "active"}]}  # fmt: skip
TRANSACTIONS = {
    "transactions": [
        {"id": "TX-1", "merchant": "Coffee Corner", "amount": 4.5, "date": "2026-03-02"},
        {"id": "TX-2", "merchant": "Rail Company", "amount": 89.0, "date": "2026-03-09"},
        {"id": "TX-3", "merchant": "Coffee Corner", "amount": 5.2, "date": "2026-04-11"},
    ]
}
LOANS = {
    "loans": [
        {"id": "L-1", "title": "Dune", "due": "2026-05-02"},
        {"id": "L-2", "title": "Middlemarch", "due": "2026-05-20"},
    ]
}

Answers = dict[str, Any]


def body(system: str, text: str, tools: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A chat request of one agent, control tools included."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return {
        "model": "offline-small",
        "messages": messages,
        "tools": [*tools, *CONTROL_SCHEMAS],
        **more,
    }


def play(
    system: str, text: str, tools: list[dict[str, Any]], answers: Answers | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """Run a conversation to its end, giving each tool's answer, and return every call in order.

    An answer may be a value or a function of the call's arguments. Tools without one give {}.
    """
    return play_on(OfflineModel(), body(system, text, tools), answers)


def play_on(
    model: OfflineModel, request: dict[str, Any], answers: Answers | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """As `play`, on a request of one's own."""
    calls: list[tuple[str, dict[str, Any]]] = []
    for number in range(20):
        step = model.reply(parse_body(json.dumps(request).encode()))
        if step.name is None:
            raise AssertionError(f"plain text instead of a call: {step.text}")
        calls.append((step.name, step.arguments))
        if step.name in CONTROL_NAMES:
            return calls
        answer = (answers or {}).get(step.name, {"ok": True})
        result = answer(step.arguments) if isinstance(answer, Callable) else answer
        request["messages"] += tool_turn(f"c{number}", step.name, step.arguments, result)
    raise AssertionError(f"no end after {len(calls)} calls: {calls}")


def tool_turn(call_id: str, name: str, arguments: dict[str, Any], result: Any) -> list[Any]:
    """The two messages that record one tool call."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": call_id, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": json.dumps(result)},
    ]
