"""`fleetctl dead replay`: some letters at once, many as a job to follow, or none, as a dry run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fleet_contracts.errors import InvalidInput
from fleet_workers.cli.letter_options import (
    Agent,
    Cause,
    Error,
    Reason,
    Since,
    Tenant,
    Until,
    chosen,
)
from fleet_workers.cli.terminal import (
    APPLICATION,
    console,
    new_table,
    operator,
    stopped_by_interrupt,
)
from fleet_workers.settings import load_settings
from fleet_workers.store import dead_letters, replays
from fleet_workers.store.dead_letters import DeadLetterFilter
from fleet_workers.store.engine import store_errors
from fleet_workers.store.replays import ReplayJob

if TYPE_CHECKING:
    from fleet_workers.deadletters.dry_run import DryRun, DryRuns
    from fleet_workers.deadletters.trial import Trial
    from fleet_workers.wiring import Core

_Ids = Annotated[list[UUID] | None, typer.Argument(help="Dead letters, replayed at once.")]

_LOOK_EVERY_SECONDS = 0.2
_LEFT_ALONE_SECONDS = 3.0  # a janitor takes a due letter within a second
_INTERRUPTED = 130  # as a shell has it for SIGINT


def replay_dead_letters(
    letter_ids: _Ids = None,
    *,
    agent: Agent = None,
    tenant: Tenant = None,
    reason: Reason = None,
    cause: Cause = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    rate: Annotated[float, typer.Option(help="Letters a second.", min=0.001, max=1000)] = 5,
    resume: Annotated[UUID | None, typer.Option(help="Follow this job again.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Tell what would happen; 20 at most.")] = False,
    from_start: Annotated[bool, typer.Option(help="Dry run: ask the model anew.")] = False,
    agents: Annotated[Path | None, typer.Option(help="Dry run: agents to try instead.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Dry run: a prompt to try, as v2.")] = None,
) -> None:
    """Queue dead tasks again, with their journals: nothing that was done is done again.

    With options instead of ids it is a job at a rate; the same command, or --resume, follows it.
    """
    from fleet_workers.deadletters.trial import Trial
    from fleet_workers.wiring import open_core

    wanted = chosen(
        agent=agent, tenant=tenant, reason=reason, cause=cause, error=error,
        since=since, until=until,
    )  # fmt: skip
    _check_choice(letter_ids or [], wanted, everything=everything, resume=resume)
    trial = Trial(folder=agents, prompt=prompt)
    if (from_start or trial != Trial()) and not dry_run:
        raise InvalidInput("--from-start, --agents and --prompt are for --dry-run.")
    with open_core(load_settings(), application=APPLICATION) as core:
        if dry_run:
            _rehearse(core, letter_ids or [], wanted, trial=trial, from_start=from_start)
        elif letter_ids:
            _replay_now(core, letter_ids)
        else:
            _follow(core, _job(core, wanted, rate=rate, resume=resume))


def _check_choice(
    ids: list[UUID], wanted: DeadLetterFilter, *, everything: bool, resume: UUID | None
) -> None:
    filtered = wanted != DeadLetterFilter()
    if [bool(ids), filtered, everything, resume is not None].count(True) != 1:
        raise InvalidInput(
            "Say which dead letters: their ids, or options such as --agent and --reason, "
            "or --all, or --resume with a job; one of these."
        )


def _replay_now(core: "Core", ids: list[UUID]) -> None:
    from fleet_workers.deadletters.replay import replay_letters

    results = replay_letters(
        core.engine, core.postman.send, ids, catalogue=core.catalogue, by=operator()
    )
    for each in results:
        said = f"task {each.task_id} is queued" if each.error is None else each.error.detail
        console.print(f"{each.id} {each.status}: {said}", soft_wrap=True)
    if any(each.error is not None for each in results):
        raise typer.Exit(1)


def _job(core: "Core", wanted: DeadLetterFilter, *, rate: float, resume: UUID | None) -> ReplayJob:
    with store_errors(), core.engine.begin() as connection:
        if resume is None:
            return replays.request(connection, wanted, per_second=rate, by=operator())
        job = replays.get(connection, resume, tenant=None)
    if job is None:
        raise InvalidInput(f"No replay {resume} is known: start one with --agent, --reason, ….")
    return job


def _follow(core: "Core", job: ReplayJob) -> None:
    """Show how far a job is until it ends, and work on it where no janitor does."""
    from fleet_workers.deadletters.bulk import work_replays

    console.print(f"Replay {job.id}: {job.matched} dead letters, {job.per_second:g} a second.")
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    )
    alone = False
    with stopped_by_interrupt() as stopped, Progress(*columns, console=console) as bar:
        shown = bar.add_task("replay", total=job.matched, said="")
        while job.finished_at is None and not stopped.is_set():
            if alone:
                work_replays(core.engine, core.postman, core.catalogue, only=job.id)
            stopped.wait(_LOOK_EVERY_SECONDS)
            with store_errors(), core.engine.begin() as connection:
                job = replays.get(connection, job.id, tenant=None) or job
                overdue_seconds = replays.overdue_seconds(connection, job.id)
            refused = f"{job.refused} refused" if job.refused else ""
            bar.update(shown, completed=job.replayed + job.refused, said=refused)
            if not alone and overdue_seconds > _LEFT_ALONE_SECONDS:
                alone = True
                bar.console.print("No janitor is at work: the letters are sent from here.")
    if job.finished_at is None:
        console.print(f"\nFollow it again: fleetctl dead replay --resume {job.id}", soft_wrap=True)
        raise typer.Exit(_INTERRUPTED)
    _print_end(job)


def _print_end(job: ReplayJob) -> None:
    others = job.matched - job.replayed - job.refused
    more = f", {others} settled by others meanwhile" if others > 0 else ""
    console.print(f"{job.replayed} replayed, {job.refused} refused{more}.")
    for each in job.refusals:
        console.print(f"{each['id']} refused: {each['detail']}", soft_wrap=True)
    if job.refused > len(job.refusals):
        console.print(f"… and {job.refused - len(job.refusals)} more.")
    if job.refused:
        raise typer.Exit(1)


def _rehearse(
    core: "Core", ids: list[UUID], wanted: DeadLetterFilter, *, trial: "Trial", from_start: bool
) -> None:
    from fleet_workers.deadletters.dry_run import MAX_DRY_RUNS, DryRunner
    from fleet_workers.wiring import open_dry_run

    if len(ids) > MAX_DRY_RUNS:
        raise InvalidInput(f"Name {MAX_DRY_RUNS} letters at most: each asks the model.")
    if not ids:
        with store_errors(), core.engine.begin() as connection:
            found = dead_letters.find(connection, wanted, limit=MAX_DRY_RUNS)
        ids = [letter.id for letter in found]
    with open_dry_run(core.settings) as ports:
        runner = DryRunner(
            engine=core.engine,
            installed=core.catalogue,
            ports=ports,
            agents_path=core.settings.agents_path,
            trial=trial,
        )
        _print_dry_runs(runner.run_all(ids, mode="from_start" if from_start else "resume"))


def _print_dry_runs(found: "DryRuns") -> None:
    table = new_table("letter", "release", "recorded", "now", "would do", "from record", "asked")
    table.columns[0].no_wrap = True
    for each in found.dry_runs:
        table.add_row(
            str(each.letter_id),
            each.release or each.agent,
            each.recorded.kind.value if each.recorded else "nothing",
            _said(each),
            "\n".join(
                f"{'repeat ' if one.repeats else ''}{one.tool} {one.arguments}"
                for one in each.would_do
            )
            or "nothing",
            f"{each.answered_from_record} results",
            f"{each.model_calls} times",
        )
    console.print(table)
    for one in found.refused:
        detail = one.error.detail if one.error else ""
        console.print(f"{one.id} would be refused: {detail}", soft_wrap=True)


def _said(run: "DryRun") -> str:
    if run.outcome is None:
        fault = run.fault
        again = "would wait and try again: " if fault and fault.retryable else "would die again: "
        return again + (fault.detail if fault else "")
    words = run.outcome.answer or run.outcome.reason or ""
    return f"{run.outcome.kind.value}: {words}"
