"""`fleetctl tools`: what agents can do, what keeps a tool from being called, and switching it off.

Redis and the store are asked for what they know; tools are listed without them, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from fleet_contracts.errors import FleetError
from fleet_workers.cli.terminal import (
    console,
    new_table,
    operator,
    require_tenant,
    store_transaction,
)
from fleet_workers.settings import load_settings
from fleet_workers.store import switches
from fleet_workers.store.pauses import EVERY
from fleet_workers.store.switches import Switch

if TYPE_CHECKING:
    from fleet_workers.agents import AgentRelease
    from fleet_workers.resilience.breaker_records import Record
    from fleet_workers.tools import Tool

commands = typer.Typer(help="What agents can do.", no_args_is_help=True)

_UNKNOWN = "unknown"
_SHOWN_OTHERWISE = {"name", "function", "arguments", "result", "reconciler", "owner", "free"}

ForTenant = Annotated[str, typer.Option(help="For this tenant only.")]
ForAgent = Annotated[str, typer.Option(help="For this agent only.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What the servers know; None where one does not answer."""

    breakers: "dict[str, Record] | None"
    switches: Sequence[Switch] | None

    def breaker(self, tool: str) -> str:
        if self.breakers is None:
            return _UNKNOWN
        record = self.breakers.get(f"tool {tool}")
        return "closed" if record is None else record.state

    def covering(self, tool: str, agent: str) -> list[Switch]:
        return [
            each
            for each in self.switches or ()
            if each.tool == tool and each.agent in {EVERY, agent}
        ]

    def words(self, tool: str, agent: str) -> str:
        """What keeps it from being called, or that nothing does."""
        switch, breaker = self.switch(tool, agent), self.breaker(tool)
        if _UNKNOWN in {switch, breaker} and {switch, breaker} <= {_UNKNOWN, "enabled", "closed"}:
            return _UNKNOWN
        found = [switch] if switch not in {"enabled", _UNKNOWN} else []
        found += [f"breaker {breaker}"] if breaker not in {"closed", _UNKNOWN} else []
        return ", ".join(found) or "ready"

    def switch(self, tool: str, agent: str) -> str:
        if self.switches is None:
            return _UNKNOWN
        found = self.covering(tool, agent)
        if not found:
            return "enabled"
        if any(each.tenant == EVERY for each in found):
            return "disabled"
        return f"disabled for {', '.join(each.tenant for each in found)}"


@commands.command("list")
def list_tools() -> None:
    """Print every tool with its state; `show` has all that it promises."""
    from fleet_workers.agents import load_catalogue
    from fleet_workers.agents.grants import granted_tools

    table = new_table("agent", "tool", "effect", "repeat", "approval", "state")
    catalogue = load_catalogue(load_settings().agents_path)
    state = _ask_servers()
    for release, each in granted_tools(catalogue):
        table.add_row(
            release.name,
            each.name,
            each.effect,
            each.repeat if each.effect == "write" else "",
            escape(_approval(release, each)),
            escape(state.words(each.name, release.name)),
        )
    console.print(table)


@commands.command("show")
def show_tool(name: str) -> None:
    """Print all that is declared and known of a tool, for each agent that has it."""
    from fleet_workers.agents import load_catalogue
    from fleet_workers.agents.grants import granted_tools, require_tool

    catalogue = load_catalogue(load_settings().agents_path)
    require_tool(catalogue, name)
    state = _ask_servers()
    for release, each in granted_tools(catalogue):
        if each.name == name:
            console.print(_description(release, each, state))


@commands.command("disable")
def disable_tool(
    name: str,
    reason: Annotated[str, typer.Option(help="Why; people whose tasks wait read it.")],
    tenant: ForTenant = EVERY,
    agent: ForAgent = EVERY,
) -> None:
    """Let no more calls of a tool begin. Every worker knows within a second."""
    from fleet_workers.agents import load_catalogue
    from fleet_workers.agents.grants import require_tool

    require_tool(load_catalogue(load_settings().agents_path), name, agent=agent)
    with store_transaction() as connection:
        if tenant != EVERY:
            require_tenant(connection, tenant)
        found = switches.disable(
            connection,
            tool=name,
            tenant=tenant,
            agent=agent,
            reason=reason,
            disabled_by=operator(),
        )
    console.print(f"{name} is disabled: {found.reason}", markup=False, soft_wrap=True)


@commands.command("enable")
def enable_tool(name: str, tenant: ForTenant = EVERY, agent: ForAgent = EVERY) -> None:
    """Take a switch back, named as it was set; others that cover the same calls stay."""
    from fleet_workers.agents import load_catalogue
    from fleet_workers.agents.grants import require_tool

    with store_transaction() as connection:
        was_disabled = switches.enable(
            connection, tool=name, tenant=tenant, agent=agent, enabled_by=operator()
        )
        left = [each for each in switches.all_switches(connection) if each.tool == name]
    if not was_disabled:  # of a tool that is no longer installed a switch may be left
        require_tool(load_catalogue(load_settings().agents_path), name, agent=agent)
    console.print(f"{name} {'is enabled' if was_disabled else 'was not disabled'}.", markup=False)
    for each in left:
        console.print(f"Still disabled {_scope(each)}: {each.reason}", markup=False, soft_wrap=True)


def _ask_servers() -> _State:
    from fleet_workers.resilience.breaker_records import read_records
    from fleet_workers.resilience.redis_link import RedisAway, open_link

    link = open_link(load_settings().redis_url)
    breakers, found = None, None
    try:
        breakers = read_records(link)
    except RedisAway as error:
        _warn(f"Breakers are unknown: {error}")
    finally:
        link.close()
    try:
        with store_transaction() as connection:
            found = switches.all_switches(connection)
    except FleetError as error:
        _warn(f"Switches are unknown: {error}")
    return _State(breakers=breakers, switches=found)


def _warn(line: str) -> None:
    typer.echo(line, err=True)


def _approval(release: "AgentRelease", tool: "Tool") -> str:
    rule = release.manifest.approvals.get(tool.name)
    if rule is None:
        return "always" if tool.stakes == "high" else ""
    return "always" if rule.argument is None else f"{rule.argument} > {rule.above}"


def _description(release: "AgentRelease", tool: "Tool", state: _State) -> Table:
    table = new_table("agent", release.name)
    for each in fields(tool):
        value = getattr(tool, each.name)
        if each.name not in _SHOWN_OTHERWISE and value not in ((), frozenset(), None):
            table.add_row(each.name, escape(_words(value)))
    table.add_row("arguments", ", ".join(tool.arguments.model_fields))
    table.add_row("approval", escape(_approval(release, tool)))
    table.add_row("breaker", state.breaker(tool.name))
    table.add_row("switch", escape(state.switch(tool.name, release.name)))
    for switch in state.covering(tool.name, release.name):
        since = switch.created_at.isoformat(timespec="seconds")
        line = f"{_scope(switch)} since {since} by {switch.disabled_by}: {switch.reason}"
        table.add_row("", escape(line))
    return table


def _words(value: object) -> str:
    return (
        ", ".join(sorted(map(str, value))) if isinstance(value, tuple | frozenset) else f"{value}"
    )


def _scope(switch: Switch) -> str:
    tenant = "for all tenants" if switch.tenant == EVERY else f"for {switch.tenant}"
    return tenant if switch.agent == EVERY else f"{tenant}, agent {switch.agent}"
