"""`fleetctl reviews`: what waits for a person, and the person's word."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from fleet_contracts.errors import InvalidInput, UnknownReview
from fleet_contracts.outcome import ReviewKind
from fleet_workers.cli.terminal import (
    APPLICATION,
    console,
    new_table,
    operator,
    store_transaction,
)
from fleet_workers.review.binding import Ruling
from fleet_workers.settings import load_settings
from fleet_workers.store import review_queue, reviews
from fleet_workers.store.review_queue import QueueFilter, QueueRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from fleet_workers.store.outbox import Letter
    from fleet_workers.wiring import Core

commands = typer.Typer(help="What waits for a person.", no_args_is_help=True)

ReviewId = Annotated[UUID, typer.Argument(help="The review's id, from the list.")]
_PRIORITIES = ("urgent", "high", "normal", "low")


@commands.command("list")
def list_reviews(  # noqa: PLR0917 typer gives options by name
    agent: Annotated[str | None, typer.Option(help="Of this agent only.")] = None,
    kind: Annotated[ReviewKind | None, typer.Option(help="Of this kind only.")] = None,
    group: Annotated[str | None, typer.Option(help="Of this group only.")] = None,
    overdue: Annotated[bool, typer.Option(help="Only what should be decided by now.")] = False,
    mine: Annotated[bool, typer.Option(help="Only what you have claimed or were given.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows at most.")] = 50,
) -> None:
    """Print what waits for a person: what is urgent first, then what is due first."""
    wanted = QueueFilter(
        agent=agent, kind=kind, group=group, overdue=overdue, mine=operator() if mine else None
    )
    table = new_table("id", "priority", "due", "tenant", "agent", "kind", "request", "claimed by")
    with store_transaction() as connection:
        for row in review_queue.page(connection, wanted, limit=limit):
            table.add_row(
                str(row.id),
                _PRIORITIES[row.priority],
                _due(row),
                row.tenant,
                row.agent,
                row.kind,
                row.request_line,
                row.claimed_by or "",
            )
        number = review_queue.count(connection, wanted)
    console.print(table)
    if number > limit:
        console.print(f"{number} wait in all: --limit shows more.")


@commands.command("show")
def show_review(review_id: ReviewId) -> None:
    """Print one item with all that the agent knew, as JSON."""
    with store_transaction() as connection:
        item = reviews.get(connection, review_id, tenant=None)
    if item is None:
        raise UnknownReview(f"No review {review_id} is known: see `fleetctl reviews list`.")
    console.print_json(json.dumps(item.model_dump(mode="json")))


@commands.command("claim")
def claim_review(
    review_id: ReviewId,
    minutes: Annotated[int, typer.Option(min=1, max=480, help="How long you keep it.")] = 15,
) -> None:
    """Keep an item for yourself: nobody else can decide it until the time is over."""
    from fleet_workers.review.assignment import Reviewer, claim

    with store_transaction() as connection:
        by = Reviewer(name=operator(), tenant=None)
        item = claim(connection, review_id, by, lasts=timedelta(minutes=minutes))
    until = item.claimed_until.astimezone(UTC) if item.claimed_until else None
    console.print(f"Review {review_id} is yours until {until:%H:%M:%S} UTC.")


@commands.command("release")
def release_review(review_id: ReviewId) -> None:
    """Give a claimed item back."""
    from fleet_workers.review.assignment import Reviewer, release

    with store_transaction() as connection:
        release(connection, review_id, Reviewer(name=operator(), tenant=None))
    console.print(f"Review {review_id}: given back.")


@commands.command("approve")
def approve_review(review_id: ReviewId) -> None:
    """Let the agent do exactly what it proposed."""
    _decide(review_id, Ruling.APPROVE)


@commands.command("edit")
def edit_review(
    review_id: ReviewId,
    arguments: Annotated[
        str | None, typer.Option(help="Arguments of the action that you change, as JSON.")
    ] = None,
    answer: Annotated[str | None, typer.Option(help="The answer in your words.")] = None,
) -> None:
    """Let the action be done with other arguments, or send the answer in other words."""
    if (arguments is None) == (answer is None):
        raise InvalidInput("Give either --arguments, for an action, or --answer.")
    changed = _object(arguments) if arguments is not None else None
    _decide(review_id, Ruling.EDIT, answer or "", changed=changed)


@commands.command("reject")
def reject_review(
    review_id: ReviewId,
    reason: Annotated[str, typer.Option(help="Why; the agent reads it.")],
    end: Annotated[
        bool | None,
        typer.Option(
            "--end/--go-on",
            help="Whether the task ends; else the agent goes on where it has proposed something.",
        ),
    ] = None,
) -> None:
    """Refuse what the agent proposed."""
    _decide(review_id, Ruling.REJECT, reason, end=end)


@commands.command("answer")
def answer_review(
    review_id: ReviewId, text: Annotated[str, typer.Option(help="What the customer is told.")]
) -> None:
    """End the task with an answer of your own."""
    _decide(review_id, Ruling.ANSWER, text)


@commands.command("ask")
def ask_customer(
    review_id: ReviewId, text: Annotated[str, typer.Option(help="What the customer is asked.")]
) -> None:
    """Ask the customer something; the next task of the session goes on with the answer."""
    _decide(review_id, Ruling.ASK, text)


@commands.command("reassign")
def reassign_review(
    review_id: ReviewId,
    reason: Annotated[str, typer.Option(help="Why; who takes over reads it.")],
    agent: Annotated[str | None, typer.Option(help="The agent that takes the task over.")] = None,
    person: Annotated[str | None, typer.Option(help="The person who decides instead.")] = None,
    group: Annotated[str | None, typer.Option(help="The group that decides instead.")] = None,
) -> None:
    """Give the task to another agent, or the item to another person or group."""
    from fleet_workers.review.assignment import Reviewer, hand_over

    if agent is not None:
        if person is not None or group is not None:
            raise InvalidInput("Name one who takes over: --agent, --person or --group.")
        _decide(review_id, Ruling.REASSIGN, reason, agent=agent)
        return
    by = Reviewer(name=operator(), tenant=None)
    _send(lambda _, c: hand_over(c, review_id, by, note=reason, person=person, group=group))
    console.print(f"Review {review_id}: {person or group} has it.")


def _decide(
    review_id: UUID,
    ruling: Ruling,
    text: str = "",
    *,
    changed: dict[str, Any] | None = None,
    agent: str | None = None,
    end: bool | None = None,
) -> None:
    from fleet_workers.review.assignment import Reviewer, known
    from fleet_workers.review.binding import proposal_of
    from fleet_workers.review.desk import decide_as

    by = Reviewer(name=operator(), tenant=None)

    def work(core: "Core", connection: "Connection") -> list["Letter"]:
        arguments = None
        if changed is not None:
            planned = proposal_of(known(connection, review_id, by)).get("arguments", {})
            arguments = {**planned, **changed}
        return decide_as(
            connection,
            core.catalogue,
            review_id,
            by,
            ruling,
            text=text,
            arguments=arguments,
            agent=agent,
            end=end,
            remember=core.memory.remember,
        )

    _send(work)
    with store_transaction() as connection:
        item = known(connection, review_id, by)
    if item.state == "waiting":
        console.print(f"Review {review_id}: your approval is kept. Another person must give one.")
    else:
        console.print(f"Review {review_id}: {ruling}.")


def _send(work: "Callable[[Core, Connection], list[Letter]]") -> None:
    """Do it in one transaction, and send its letters after the commit."""
    from fleet_workers.store.engine import store_errors
    from fleet_workers.wiring import open_core

    with open_core(load_settings(), application=APPLICATION) as core:
        with store_errors(), core.engine.begin() as connection:
            letters = work(core, connection)
        core.postman.send(letters)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"--arguments is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidInput('--arguments must be an object, such as {"amount_usd": "12.50"}.')
    return value


def _due(row: QueueRow) -> str:
    """How long until the item is due, in words."""
    minutes = round((row.due_at - datetime.now(UTC)).total_seconds() / 60)
    late = abs(minutes)
    units = ((2 * 1440, 1440, "d"), (120, 60, "h"), (0, 1, "min"))
    words = next(f"{late // size} {unit}" for least, size, unit in units if late >= least)
    return f"overdue by {words}" if minutes < 0 else f"in {words}"
