"""The command line `fleet`: submit a task, see how it stands, watch it, cancel it."""

import json
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from fleet_client.client import FleetClient
from fleet_client.options import Debounce, TaskOptions
from fleet_client.settings import read_settings
from fleet_client.watching import exit_code, outcome_line, step_line, watch
from fleet_contracts.envelope import Priority
from fleet_contracts.errors import FleetError
from fleet_contracts.outcome import TaskView

_EXIT_CODES = (
    "Exit codes: 0 done (or handed in), 1 error, 2 wrong usage, 3 in review, 4 dead, 5 rejected, "
    "6 cancelled or expired, 7 not settled yet."
)

_DEBOUNCE_SECONDS = 5.0

app = typer.Typer(
    help=f"Submit tasks to an Agent Fleet and follow them. {_EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_Id = Annotated[str, typer.Argument(metavar="ID", help="The id that submit printed.")]
_Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the outcome.")]


def main() -> NoReturn:
    """Run `fleet`; an error is one line on standard error, and exit code 1."""
    try:
        app()
    except FleetError as error:
        sys.stderr.write(f"fleet: {' '.join(str(error).split())}\n")
        sys.exit(1)
    sys.exit(0)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fleet {version('agent-fleet-client')}")
        raise typer.Exit


@app.callback()
def fleet(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="And exit.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
def submit(  # noqa: PLR0917 - typer makes options of them, nobody calls it by position
    text: Annotated[str | None, typer.Argument(help="The customer's words.")] = None,
    agent: Annotated[str, typer.Option(help="An agent's name, or auto to let it choose.")] = "auto",
    tenant: Annotated[str | None, typer.Option(help="Default: FLEET_TENANT, the key's.")] = None,
    customer: Annotated[str | None, typer.Option(help="Whom the task is about.")] = None,
    session: Annotated[str | None, typer.Option(help="The conversation it belongs to.")] = None,
    data: Annotated[str | None, typer.Option(help="A JSON object for the agent's tools.")] = None,
    priority: Annotated[Priority, typer.Option(help="How urgent it is.")] = Priority.NORMAL,
    idempotency_key: Annotated[str | None, typer.Option(help="Makes a repeat harmless.")] = None,
    delay: Annotated[float | None, typer.Option(help="Start after so many seconds.")] = None,
    at: Annotated[
        str | None, typer.Option(help="Start then: 2027-01-31T08:00 here, or with +01:00 or Z.")
    ] = None,
    debounce: Annotated[
        str | None, typer.Option(help="A key: a later task with the same takes the place.")
    ] = None,
    debounce_seconds: Annotated[
        float, typer.Option(help="How long to wait for a later one.")
    ] = _DEBOUNCE_SECONDS,
    file: Annotated[str | None, typer.Option(help="Read the text from a file; - is input.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome, print it.")] = False,
    timeout: _Timeout = 300.0,
    as_json: _Json = False,
) -> None:
    """Hand in one task and print its id."""
    options = TaskOptions(
        agent=agent,
        tenant=tenant,
        customer=customer,
        session_id=session,
        data=_read_data(data),
        priority=priority,
        idempotency_key=idempotency_key,
        delay=delay,
        not_before=_read_time(at),
        debounce=None if debounce is None else Debounce(key=debounce, seconds=debounce_seconds),
    )
    words = _read_text(text, file)
    with FleetClient.from_environment() as client:
        handle = client.submit(words, **options)
        if not wait:
            typer.echo(json.dumps({"id": str(handle.id)}) if as_json else str(handle.id))
            return
        if not as_json:
            typer.echo(f"task {handle.id}", err=True)
        _finish(handle.wait(timeout), as_json=as_json)


@app.command()
def status(task_id: _Id, as_json: _Json = False) -> None:
    """Print how a task stands; the exit code says it too."""
    with FleetClient.from_environment() as client:
        _finish(client.status(task_id), as_json=as_json)


@app.command("watch")
def watch_task(task_id: _Id, timeout: _Timeout = 300.0, as_json: _Json = False) -> None:
    """Print each step of a task as it comes, then the outcome."""
    with FleetClient.from_environment() as client:
        if not as_json and read_settings().broker_url:
            typer.echo("waiting for the steps of the task (Ctrl-C ends the watch only)", err=True)
        view = watch(
            client,
            task_id,
            timeout_seconds=timeout,
            show=lambda step: typer.echo(json.dumps(step) if as_json else step_line(step)),
        )
        _finish(view, as_json=as_json)


@app.command()
def cancel(task_id: _Id, as_json: _Json = False) -> None:
    """Ask that a task be given up. Exit code 0 where it was."""
    with FleetClient.from_environment() as client:
        view = client.cancel(task_id)
        typer.echo(view.model_dump_json() if as_json else outcome_line(view))


def _finish(view: TaskView, *, as_json: bool) -> NoReturn:
    typer.echo(view.model_dump_json() if as_json else outcome_line(view))
    raise typer.Exit(exit_code(view))


def _read_text(text: str | None, file: str | None) -> str:
    if (text is None) == (file is None):
        raise typer.BadParameter("give the text either as TEXT or with --file")
    if text is not None:
        return text
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(str(file)).read_bytes()
        return raw.decode("utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is not UTF-8 text: convert it first") from error


def _read_time(moment: str | None) -> datetime | None:
    if moment is None:
        return None
    try:
        return datetime.fromisoformat(moment).astimezone()
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"--at {moment!r} is no time: give one like 2027-01-31T08:00+01:00"
        ) from error


def _read_data(data: str | None) -> dict[str, Any] | None:
    if data is None:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"--data is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise typer.BadParameter('--data is no JSON object like {"invoice": "INV-1"}')
    return value
