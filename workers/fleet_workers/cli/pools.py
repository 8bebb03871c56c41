"""`fleetctl pools`: what waits for each agent, and who takes it."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from sqlalchemy import func, select

from fleet_contracts.envelope import AUTO_AGENT
from fleet_contracts.errors import Unavailable
from fleet_workers.cli.terminal import APPLICATION, console, moment_text, new_table
from fleet_workers.settings import load_settings
from fleet_workers.store import pauses
from fleet_workers.store.engine import store_errors
from fleet_workers.store.pools import Pool, Worker, load_by_agent, pools, workers_alive

if TYPE_CHECKING:
    from fleet_workers.wiring import Core

_NONE = "-"
_LOOK_SECONDS = 2.0
_NUMBERS = ("processes", "slots", "busy", "running", "queued", "oldest", "put off")
_MORE_NUMBERS = ("retrying", "in review", "messages")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """What was seen at `now`. `messages` is None where the broker does not tell."""

    now: datetime
    pools: list[Pool]
    workers: list[Worker]
    paused: frozenset[str]
    messages: Mapping[str, int] | None


def show_pools(
    as_json: Annotated[bool, typer.Option("--json", help="For programs, on one line.")] = False,
    watch: Annotated[
        bool, typer.Option(help="Look again every two seconds, until Ctrl-C.")
    ] = False,
) -> None:
    """Print each agent's queue and pool, and the worker processes.

    `queued` are tasks that a worker may take now, and `oldest` how long the first has waited.
    `busy` is the share of a pool's slots that work; a process that serves several agents counts
    for each of them. `messages` are those on the broker that no worker has taken in.
    """
    from fleet_workers.wiring import open_core

    with open_core(load_settings(), application=APPLICATION) as core:
        if not watch:
            _print(_look(core), as_json=as_json)
            return
        try:
            _watch(core, as_json=as_json)
        except KeyboardInterrupt:
            return


def _look(core: "Core") -> _Report:
    with store_errors(), core.engine.begin() as connection:
        workers = workers_alive(connection)
        known = {*core.catalogue.names, AUTO_AGENT}
        found = pools(load_by_agent(connection, tenant=None), workers, known)
        paused = frozenset(
            each.agent for each in pauses.all_pauses(connection) if each.tenant == pauses.EVERY
        )
        now = connection.execute(select(func.now())).scalar_one()
    return _Report(
        now=now,
        pools=found,
        workers=workers,
        paused=paused,
        messages=_messages(core, [each.agent for each in found]),
    )


def _messages(core: "Core", agents: Iterable[str]) -> Mapping[str, int] | None:
    try:
        return {agent: core.postman.count_messages(agent) for agent in agents}
    except Unavailable:
        return None


def _print(report: _Report, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_as_json(report)))
    else:
        console.print(_as_tables(report))


def _watch(core: "Core", *, as_json: bool) -> None:
    if as_json:
        while True:
            _print(_look(core), as_json=True)
            time.sleep(_LOOK_SECONDS)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                live.update(_as_tables(_look(core)), refresh=True)
            except Unavailable as error:
                live.update(f"{error} It is asked again.", refresh=True)
            time.sleep(_LOOK_SECONDS)


def _as_tables(report: _Report) -> Group:
    notes = []
    if report.messages is None:
        notes.append("The broker is away: how many messages wait there is not known.")
    notes += [
        f"{each.agent}: {each.load.queued} wait and no process serves it. Start one with "
        f"`fleetctl worker {each.agent}`."
        for each in report.pools
        if not each.processes and each.load.queued and not _is_paused(each, report)
    ]
    return Group(_pool_table(report), _worker_table(report), *map(escape, notes))


def _pool_table(report: _Report) -> Table:
    table = new_table("agent")
    for name in (*_NUMBERS, *_MORE_NUMBERS):
        table.add_column(name, justify="right")
    for each in report.pools:
        load = each.load
        messages = (report.messages or {}).get(each.agent)
        table.add_row(
            escape(each.agent) + (" (paused)" if _is_paused(each, report) else ""),
            str(each.processes),
            str(each.slots),
            _NONE if each.busy is None else f"{each.busy:.0%}",
            f"{load.running:,}",
            f"{load.queued:,}",
            _NONE if load.oldest_at is None else f"{each.oldest_seconds(report.now):,.0f} s",
            f"{load.put_off:,}",
            f"{load.retrying:,}",
            f"{load.in_review:,}",
            _NONE if messages is None else f"{messages:,}",
        )
    return table


def _worker_table(report: _Report) -> Table:
    table = new_table("process", "serves")
    for name in ("running", "slots"):
        table.add_column(name, justify="right")
    table.add_column("since")
    for each in report.workers:
        served = ", ".join(each.agents) or "one task apart"
        table.add_row(
            escape(each.name or f"presence {each.presence}"),
            escape(served)
            + ("" if each.is_whole else ", and more")
            + (" (ending)" if each.is_draining else ""),
            str(each.running),
            _NONE if each.slots is None else str(each.slots),
            moment_text(each.since),
        )
    return table


def _is_paused(pool: Pool, report: _Report) -> bool:
    return bool({pool.agent, pauses.EVERY} & report.paused)


def _as_json(report: _Report) -> dict[str, Any]:
    return {
        "at": report.now.isoformat(),
        "pools": [
            {
                "agent": each.agent,
                "processes": each.processes,
                "slots": each.slots,
                "busy_slots": each.busy_slots,
                "running": each.load.running,
                "queued": each.load.queued,
                "oldest_seconds": round(each.oldest_seconds(report.now), 3),
                "put_off": each.load.put_off,
                "retrying": each.load.retrying,
                "in_review": each.load.in_review,
                "messages": (report.messages or {}).get(each.agent),
                "paused": _is_paused(each, report),
            }
            for each in report.pools
        ],
        "processes": [
            {
                "name": each.name,
                "agents": list(each.agents),
                "slots": each.slots,
                "running": each.running,
                "since": None if each.since is None else each.since.isoformat(),
                "ending": each.is_draining,
            }
            for each in report.workers
        ],
    }
