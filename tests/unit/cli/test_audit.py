"""`fleetctl audit` inside this process: what it prints can be checked by anybody."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

import pytest
from click.testing import Result
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from fleet_contracts.errors import InvalidInput
from fleet_workers.cli import cli
from fleet_workers.cli.terminal import console
from fleet_workers.janitor.audit_seal import AuditSealer
from fleet_workers.store import audit
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.engine import open_engine
from support.databases import temporary_database

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "audit.md"
TASK = uuid4()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with temporary_database() as url:
        monkeypatch.setenv("FLEET_STORE_URL", url.replace("+psycopg", ""))
        monkeypatch.setenv("FLEET_BROKER_URL", "amqp://127.0.0.1:1")
        monkeypatch.setattr(console, "width", 240)
        engine = open_engine(url, connections=2, application="tests")
        with engine.begin() as connection:
            audit.add(
                connection,
                Entry(kind=AuditKind.PAUSE, who="Zoë", what="paused", why='a "reason", {"entry":'),
                Entry(kind=AuditKind.TENANT, who="ann", what="tenant added", tenant="acme"),
                Entry(kind=AuditKind.DECISION, who="bob", what="approve", task_id=TASK),
            )
        assert AuditSealer(engine).seal() == 0
        yield engine
        engine.dispose()


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["audit", *words])


def head() -> str:
    (line,) = [each for each in run("verify").stdout.splitlines() if each.startswith("head ")]
    return line.removeprefix("head ")


def tamper(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))
        connection.execute(text(statement))
        for name in ("append_only", "only_dropped"):
            connection.execute(text(f"ALTER TABLE audit ENABLE ALWAYS TRIGGER {name}"))


def test_verify_tells_a_whole_chain_from_one_that_was_changed(engine: Engine) -> None:
    noted = head()
    assert noted.startswith("3:")
    assert (run("verify", "--head", noted)).exit_code == 0
    tamper(engine, "DELETE FROM audit WHERE position = 3")
    assert run("verify").exit_code == 0
    cut = run("verify", "--head", noted)
    assert (cut.exit_code, "its tail was cut off" in cut.stdout) == (1, True)
    tamper(engine, "UPDATE audit SET who = 'eve' WHERE position = 2")
    changed = run("verify")
    assert (changed.exit_code, "Position 2 (entry" in changed.stdout) == (1, True)
    assert isinstance(run("verify", "--head", "3").exception, InvalidInput)


def test_a_full_export_is_checked_with_sha256_alone_as_the_page_says(
    engine: Engine, tmp_path: Path
) -> None:
    exported = tmp_path / "audit.jsonl"
    assert run("export", "--output", str(exported)).exit_code == 0
    assert run("export").stdout == exported.read_text(encoding="utf-8")
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("```sh\n# check audit.jsonl\n")
    script = tmp_path / "check.sh"
    script.write_text(dedent(rest.partition("```")[0]), encoding="utf-8")

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert check().stdout.splitlines() == [head()]
    lines = exported.read_text(encoding="utf-8").splitlines(keepends=True)
    for damaged in (
        lines[1:],
        [lines[0], lines[2]],
        [lines[1], lines[0], lines[2]],
        [lines[0].replace("Zoë", "Eve"), *lines[1:]],
    ):
        exported.write_text("".join(damaged), encoding="utf-8")
        assert check().returncode == 1


@pytest.mark.parametrize(
    ("options", "who"),
    [
        (["--tenant", "acme"], ["ann"]),
        (["--kind", "decision"], ["bob"]),
        (["--task", str(TASK)], ["bob"]),
        (["--since", "1h"], ["Zoë", "ann", "bob"]),
        (["--until", "1h"], []),
        (["--since", "2999-01-01"], []),
    ],
)
def test_filters(engine: Engine, options: list[str], who: list[str]) -> None:
    exported = run("export", *options)
    assert [json.loads(line)["entry"]["who"] for line in exported.stdout.splitlines()] == who
    shown = run("show", *options).stdout
    assert [name in shown for name in ("Zoë", "ann", "bob")] == [
        name in who for name in ("Zoë", "ann", "bob")
    ]


def test_show_has_what_is_not_sealed_yet(engine: Engine) -> None:
    with engine.begin() as connection:
        detail = {"role": "[/bold]admin", "text_sha256": "0" * 64}
        audit.add(connection, Entry(kind=AuditKind.KEY, who="dan", what="key", detail=detail))
    exported = run("export")
    assert exported.stderr == "1 entries wait to be sealed and are left out.\n"
    assert len(exported.stdout.splitlines()) == 3
    shown = run("show", "--limit", "2").stdout
    assert ["bob" in shown, "dan" in shown, "ann" in shown] == [True, True, False]
    assert "role [/bold]admin" in shown
    assert "sha256" not in shown
