"""`fleetctl people`: who signs in to the console."""

import sys
from typing import Annotated

import typer
from rich.markup import escape
from sqlalchemy import Connection

from fleet_contracts.errors import InvalidInput
from fleet_workers.cli.terminal import (
    console,
    moment_text,
    new_table,
    operator,
    store_transaction,
)
from fleet_workers.store import people
from fleet_workers.store.people import PERSON_ROLES, Change, Person

commands = typer.Typer(help="People who sign in to the console.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(help="The person's e-mail address.")]
Group = Annotated[
    list[str] | None,
    typer.Option(help="Only reviews of this group; may be repeated. For the role reviewer."),
]
Skill = Annotated[list[str] | None, typer.Option(help="What the person knows; may be repeated.")]
Generate = Annotated[bool, typer.Option(help="Make a password and print it once.")]


@commands.command("add")
def add_person(
    email: Who,
    *,
    tenant: Annotated[str, typer.Option(help="Tenant, or * for all.")],
    role: Annotated[str, typer.Option(help=", ".join(PERSON_ROLES))] = "reviewer",
    name: Annotated[str, typer.Option(help="How the person is called.")] = "",
    group: Group = None,
    skill: Skill = None,
    generate: Generate = False,
) -> None:
    """Make an account. The password is asked for, or read from a pipe as one line."""
    from fleet_workers.web.people import Account, create_person

    password = _new_password(generate=generate)
    new = Account(
        tenant=tenant,
        email=email,
        name=name,
        role=role,
        groups=group or (),
        skills=skill or (),
        password=password,
    )
    with store_transaction() as connection:
        person = create_person(connection, new, by=operator())
    _say(f"{person.email} may sign in as {person.role} of {person.tenant}.")
    _show_once(password if generate else None)


@commands.command("list")
def list_people(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 1000,
) -> None:
    """Print the accounts by tenant and address."""
    with store_transaction() as connection:
        found = people.listed(connection, tenant=tenant, limit=limit)
    table = new_table(
        "e-mail", "name", "tenant", "role", "groups", "skills", "signs in by", "seen", "disabled"
    )
    for person in found:
        words = (", ".join(person.groups) or "all", ", ".join(person.skills) or "-")
        times = (moment_text(person.seen_at), moment_text(person.disabled_at))
        row = (person.email, person.name, person.tenant, person.role, *words, _way(person), *times)
        table.add_row(*map(escape, row))
    console.print(table)


@commands.command("change")
def change_person(
    email: Who,
    *,
    role: Annotated[str | None, typer.Option(help=", ".join(PERSON_ROLES))] = None,
    name: Annotated[str | None, typer.Option(help="How the person is called.")] = None,
    new_email: Annotated[str | None, typer.Option(help="Another address.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Another tenant, or * for all.")] = None,
    group: Group = None,
    all_groups: Annotated[bool, typer.Option(help="Reviews of all groups again.")] = False,
    skill: Skill = None,
) -> None:
    """Change an account. It is in force at the person's next click."""
    if group and all_groups:
        raise InvalidInput("Name groups with --group, or give all with --all-groups: not both.")
    wanted = Change(
        tenant=tenant,
        email=new_email,
        name=name,
        role=role,
        groups=() if all_groups else tuple(group) if group else None,
        skills=tuple(skill) if skill else None,
    )
    person = _change(email, wanted)
    _say(f"{person.email} is {person.role} of {person.tenant}.")


@commands.command("disable")
def disable_person(email: Who) -> None:
    """Let somebody in no more; their sessions end at once."""
    _say(f"{_change(email, Change(disabled=True)).email} is disabled.")


@commands.command("enable")
def enable_person(email: Who) -> None:
    """Let somebody in again who was disabled."""
    _say(f"{_change(email, Change(disabled=False)).email} may sign in again.")


@commands.command("set-password")
def set_password(email: Who, generate: Generate = False) -> None:
    """Set a password, asked for or read from a pipe as one line. It signs out everywhere."""
    password = _new_password(generate=generate)
    person = _change(email, Change(), password=password)
    _say(f"{person.email} has a new password.")
    _show_once(password if generate else None)


def _change(email: str, wanted: Change, *, password: str | None = None) -> Person:
    from fleet_workers.web.people import change_person as apply

    with store_transaction() as connection:
        person = _find(connection, email)
        return apply(connection, person, wanted, by=operator(), password=password)


def _find(connection: Connection, email: str) -> Person:
    address = people.plain_email(email)
    found = people.by_email(connection, address)
    if found is None:
        raise people.unknown(address)
    return found[0]


def _new_password(*, generate: bool) -> str:
    from fleet_workers.web.people import random_password

    if generate:
        return random_password()
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _show_once(password: str | None) -> None:
    if password is not None:
        _say(f"Password, shown this once: {password}")


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _way(person: Person) -> str:
    ways = ("password" if person.has_password else "", "provider" if person.issuer else "")
    return ", ".join(way for way in ways if way) or "no way yet"
