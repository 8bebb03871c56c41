"""`fleetctl dead list|causes|show|discard|broker`: what the fleet gave up."""

import json
from contextlib import suppress
from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table

from fleet_workers.cli.letter_options import (
    Agent,
    Cause,
    Error,
    Limit,
    Reason,
    Since,
    Task,
    Tenant,
    Until,
    chosen,
)
from fleet_workers.cli.terminal import console, new_table, operator, store_transaction
from fleet_workers.settings import load_settings
from fleet_workers.store import dead_letters

commands = typer.Typer(help="What the fleet gave up.", no_args_is_help=True)

_WIDTH = 100  # an error's text in a list; `show` has all of it


@commands.command("list")
def list_dead_letters(
    *,
    agent: Agent = None,
    tenant: Tenant = None,
    reason: Reason = None,
    cause: Cause = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    task: Task = None,
    limit: Limit = 50,
    before: Annotated[UUID | None, typer.Option(help="Go on after this letter.")] = None,
    settled: Annotated[bool, typer.Option(help="Those replayed or discarded.")] = False,
) -> None:
    """Print what the fleet gave up, newest first."""
    wanted = chosen(
        agent=agent, tenant=tenant, reason=reason, cause=cause, error=error,
        since=since, until=until, task=task,
    )  # fmt: skip
    with store_transaction() as connection:
        found = dead_letters.find(connection, wanted, settled=settled, before=before, limit=limit)
        number = dead_letters.count(connection, wanted, settled=settled)
    table = new_table("id", "since", "tenant", "agent", "reason", "error")
    table.columns[0].no_wrap = True
    for letter in found:
        table.add_row(
            str(letter.id),
            letter.created_at.isoformat(timespec="seconds"),
            letter.tenant or "",
            letter.agent or letter.queue or "",
            letter.reason if not settled else f"{letter.reason} ({letter.settled_as})",
            _short(letter.error),
        )
    console.print(table)
    console.print(f"{len(found)} of {number}.")
    if len(found) == limit:
        console.print(f"Go on with --before {found[-1].id}", soft_wrap=True)


@commands.command("causes")
def list_causes(
    *,
    agent: Agent = None,
    tenant: Tenant = None,
    reason: Reason = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
) -> None:
    """Print what went wrong how often, the most frequent cause first."""
    wanted = chosen(
        agent=agent, tenant=tenant, reason=reason, cause=None, error=error,
        since=since, until=until,
    )  # fmt: skip
    table = new_table("letters", "agents", "first", "last", "cause")
    with store_transaction() as connection:
        for each in dead_letters.group(connection, wanted, limit=limit):
            table.add_row(
                str(each.letters),
                ", ".join(each.agents),
                each.first_at.isoformat(timespec="seconds"),
                each.last_at.isoformat(timespec="seconds"),
                each.cause,
            )
    console.print(table)


@commands.command("show")
def show_dead_letter(letter_id: UUID) -> None:
    """Print everything about one dead letter."""
    from fleet_workers.deadletters.replay import find_letter

    with store_transaction() as connection:
        letter = find_letter(connection, letter_id, tenant=None)
    table = Table(show_header=False)
    for name, value in letter.model_dump(mode="json", exclude={"body", "attempts"}).items():
        if value is not None:
            table.add_row(name, str(value))
    console.print(table)
    for attempt in letter.attempts:
        console.print(f"attempt: {json.dumps(attempt, ensure_ascii=False)}", soft_wrap=True)
    body = letter.body
    with suppress(ValueError):
        body = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    console.print(body, soft_wrap=True, markup=False)


@commands.command("discard")
def discard_dead_letters(
    letter_ids: Annotated[list[UUID], typer.Argument(help="Ids of dead letters.")],
    reason: Annotated[str, typer.Option(help="Why they are of no more use; it is kept.")],
) -> None:
    """Settle dead letters for good: their tasks stay dead. All of them, or none."""
    from fleet_workers.deadletters.replay import discard_letter

    with store_transaction() as connection:
        for letter_id in letter_ids:
            discard_letter(connection, letter_id, by=operator(), reason=reason)
    console.print(f"{len(letter_ids)} discarded.")


@commands.command("broker")
def show_broker(
    peek: Annotated[int, typer.Option(help="Messages to look at.", min=0, max=20)] = 3,
) -> None:
    """Print what stands in RabbitMQ's queues, its own dead letters among it. Takes nothing out."""
    from fleet_contracts.envelope import AUTO_AGENT
    from fleet_workers.agents import load_catalogue
    from fleet_workers.deadletters.inspection import inspect_queues

    settings = load_settings()
    agents = (*load_catalogue(settings.agents_path).names, AUTO_AGENT)
    table = new_table("agent", "ready", "dead", "first dead messages")
    for each in inspect_queues(settings.broker_url, agents, peek=peek):
        looks = [
            f"{message.task_id or 'unreadable'}: {message.reason}, {message.times} times, "
            f"{message.size_bytes:,} bytes"
            for message in each.first_dead
        ]
        table.add_row(each.agent, _number(each.ready), _number(each.dead), "\n".join(looks))
    console.print(table)
    console.print("A dash is a queue that nobody has declared yet.")


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _number(messages: int | None) -> str:
    return "-" if messages is None else str(messages)
