"""`fleetctl reviews`: what waits for a person, and the person's word."""

import json
from typing import Annotated
from uuid import UUID

import typer

from fleet_contracts.errors import UnknownReview
from fleet_workers.cli.terminal import APPLICATION, console, new_table, store_transaction
from fleet_workers.review.decisions import Ruling, decide
from fleet_workers.settings import load_settings
from fleet_workers.store import reviews

commands = typer.Typer(help="What waits for a person.", no_args_is_help=True)

ReviewId = Annotated[UUID, typer.Argument(help="The review's id, from the list.")]


@commands.command("list")
def list_reviews(limit: int = 50) -> None:
    """Print what waits for a person, oldest first."""
    table = new_table("id", "tenant", "agent", "kind", "reason", "since")
    with store_transaction() as connection:
        for item in reviews.waiting(connection, tenant=None, limit=limit):
            since = item.created_at.isoformat(timespec="seconds")
            table.add_row(str(item.id), item.tenant, item.agent, item.kind, item.reason, since)
    console.print(table)


@commands.command("show")
def show_review(review_id: ReviewId) -> None:
    """Print one item with all that the agent knew, as JSON."""
    with store_transaction() as connection:
        item = reviews.get(connection, review_id, tenant=None)
    if item is None:
        raise UnknownReview(f"No review {review_id} is known: see `fleetctl reviews list`.")
    console.print_json(json.dumps(item.model_dump(mode="json")))


@commands.command("approve")
def approve_review(review_id: ReviewId) -> None:
    """Let the agent do exactly what it proposed."""
    _decide(review_id, Ruling.APPROVE, "")


@commands.command("reject")
def reject_review(
    review_id: ReviewId, reason: Annotated[str, typer.Option(help="Why; the agent reads it.")]
) -> None:
    """Refuse what the agent proposed."""
    _decide(review_id, Ruling.REJECT, reason)


@commands.command("answer")
def answer_review(
    review_id: ReviewId, text: Annotated[str, typer.Option(help="What the customer is told.")]
) -> None:
    """End the task with an answer of your own."""
    _decide(review_id, Ruling.ANSWER, text)


def _decide(review_id: UUID, ruling: Ruling, text: str) -> None:
    from fleet_workers.store.engine import store_errors
    from fleet_workers.wiring import open_core

    with open_core(load_settings(), application=APPLICATION) as core:
        with store_errors(), core.engine.begin() as connection:
            letters = decide(
                connection,
                review_id,
                tenant=None,
                ruling=ruling,
                decided_by=APPLICATION,
                text=text,
            )
            item = reviews.get(connection, review_id, tenant=None)
        core.postman.send(letters)
    if item is not None and item.state == "waiting":
        console.print(f"Review {review_id}: your approval is kept. Another person must give one.")
    else:
        console.print(f"Review {review_id}: {ruling}.")
