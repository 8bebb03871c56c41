"""`fleetctl incident`: what happened, to which tasks, why most likely, and whom to tell what."""

import json
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleet_contracts.errors import InvalidInput
from fleet_workers.cli.letter_options import Agent, Tenant, moment
from fleet_workers.cli.terminal import console
from fleet_workers.incident.report import Audience, Phase
from fleet_workers.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_workers.incident.cause import Cause
    from fleet_workers.incident.facts import Facts
    from fleet_workers.incident.report import Writer

Since = Annotated[str, typer.Option(help="Its beginning: ISO 8601, or 90m, 6h, 2d ago.")]
Until = Annotated[str | None, typer.Option(help="Its end in the same form; now without it.")]


def gather_incident(
    *,
    since: Since = "1h",
    until: Until = None,
    agent: Agent = None,
    tenant: Tenant = None,
    phase: Annotated[Phase, typer.Option(help="What the notices say of its state.")] = Phase.FIRST,
    notice: Annotated[Audience | None, typer.Option(help="Print this notice only.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="A folder for the report and all notices.")
    ] = None,
    templates: Annotated[
        Path | None, typer.Option(help="A folder with templates of your own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs, on one line.")] = False,
) -> None:
    """Gather timeline, affected tasks, likely causes and notices. Reads only, sends nothing."""
    from fleet_workers.incident.hypotheses import likely_causes
    from fleet_workers.incident.report import Writer
    from fleet_workers.incident.report import as_json as report_json

    if templates is not None and not templates.is_dir():
        raise InvalidInput(f"{templates} is not a folder: name the one that holds your templates.")
    facts = _gather(load_settings(), since=since, until=until, agent=agent, tenant=tenant)
    causes, writer = likely_causes(facts), Writer(folder=templates)
    if as_json:
        typer.echo(json.dumps(report_json(facts, causes)))
    elif output is not None:
        _write(output, writer, phase, facts, causes)
    elif notice is not None:
        typer.echo(writer.notice(notice, phase, facts, causes))
    else:
        typer.echo(writer.report(facts, causes))


def _gather(
    settings: Settings, *, since: str, until: str | None, agent: str | None, tenant: str | None
) -> "Facts":
    from sqlalchemy import text

    from fleet_workers.incident.facts import Scope
    from fleet_workers.incident.gathering import gather
    from fleet_workers.wiring import open_core

    begin, end = moment(since), moment(until) or datetime.now(UTC)
    if begin is None or begin >= end:
        raise InvalidInput("The span is empty: --since must lie before --until.")
    with open_core(settings, application="fleetctl") as core, core.engine.begin() as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        scope = Scope(since=begin, until=end, agent=agent, tenant=tenant)
        return gather(connection, scope, open_breakers=_open_breakers(settings))


def _open_breakers(settings: Settings) -> list[str]:
    from fleet_workers.resilience.breaker_records import read_records
    from fleet_workers.resilience.redis_link import RedisAway, open_link

    with closing(open_link(settings.redis_url)) as link, suppress(RedisAway):
        return [name for name, record in read_records(link).items() if record.state != "closed"]
    return []


def _write(
    folder: Path, writer: "Writer", phase: Phase, facts: "Facts", causes: "Sequence[Cause]"
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"report.md": writer.report(facts, causes)}
    texts |= {
        f"notice-{each.value}.md": writer.notice(each, phase, facts, causes) for each in Audience
    }
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")
        console.print(str(folder / name), markup=False, highlight=False, soft_wrap=True)
