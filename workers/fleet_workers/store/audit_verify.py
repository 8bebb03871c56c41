"""Walks the chain of the audit trail and tells where it was tampered with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, text

from fleet_workers.store.audit_chain import GENESIS, Head, content_columns, entry_text, link
from fleet_workers.store.audit_retention import Checkpoint, checkpoints
from fleet_workers.store.audit_tables import audit, audit_inbox

SEALED_WITHIN = timedelta(minutes=1)
"""A janitor that is up seals an entry within seconds."""

_FAULTS_KEPT = 20
_ROWS_A_FETCH = 5000
_GUARDS = {
    "audit.append_only": "0004",
    "audit.only_dropped": "0012",
    "audit_inbox.append_only": "0004",
    "audit_inbox.only_sealed": "0004",
}
"""Triggers, and the migrations that make them."""
_PRESENT = text("""
SELECT tgrelid::regclass || '.' || tgname FROM pg_trigger
WHERE tgrelid IN (CAST('audit' AS regclass), CAST('audit_inbox' AS regclass)) AND tgenabled = 'A'
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a walk found. `faults` holds the first of them; without any, the chain is whole.

    `unsealed` counts entries that wait to be sealed, which is no fault while they are young.
    `dropped` tells up to where the chain was let go by policy.
    """

    head: Head
    entries: int
    unsealed: int
    faults: list[str]
    more_faults: int
    dropped: Checkpoint | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing was found."""
        return not self.faults


def verify(
    connection: Connection, *, noted: Head | None = None, sealed_within: timedelta = SEALED_WITHIN
) -> Verdict:
    """Check every entry against the chain, and the chain against a head that was noted elsewhere.

    Without a noted head, a tail that was cut off and a chain that was made anew as a whole cannot
    be told from an honest one. For a connection in a transaction of its own.
    """
    known = {each.position: each for each in checkpoints(connection)}
    walk = _Walk(noted, known)
    query = select(audit.c.position, audit.c.hash, *content_columns(audit))
    rows = connection.execute(
        query.order_by(audit.c.position), execution_options={"yield_per": _ROWS_A_FETCH}
    )
    for row in rows:
        walk.step(row)
    faults = [*walk.faults, *walk.missing_tail(), *_missing_guards(connection)]
    unsealed, faults_of_inbox = _look_at_inbox(connection, sealed_within)
    faults += faults_of_inbox
    return Verdict(
        head=Head(position=walk.position, hash=walk.previous),
        entries=walk.entries,
        unsealed=unsealed,
        faults=faults[:_FAULTS_KEPT],
        more_faults=walk.more_faults + max(0, len(faults) - _FAULTS_KEPT),
        dropped=walk.dropped,
    )


class _Walk:
    """One walk along the chain, from its beginning or from where a checkpoint says it was let go.

    Of the entries up to the last checkpoint some may stand still: they are being deleted.
    """

    def __init__(self, noted: Head | None, known: Mapping[int, Checkpoint]) -> None:
        self._noted = noted
        self._known = known
        self._last_known = max(known, default=0)
        self.dropped: Checkpoint | None = None
        self.position = 0
        self.previous = GENESIS
        self.entries = 0
        self.faults: list[str] = []
        self.more_faults = 0
        self._is_given = False

    def step(self, row: Row[Any]) -> None:
        """Look at the next entry."""
        sealed = bytes(row.hash).hex()
        if self.entries == 0 and row.position > 1:
            self._begin_at(row)
        self.entries += 1
        if self._is_given:
            self._is_given = False
        elif row.position != self.position + 1:
            self._add(_gap(self.position, row.position))
        elif link(self.previous, entry_text(row)) != sealed:
            self._add(
                f"Position {row.position} (entry {row.id}, {row.at}, {row.kind}: {row.what}) does "
                f"not follow from position {self.position}: one of the two was altered, moved or "
                "inserted."
            )
        if self._noted is not None and row.position == self._noted.position:
            self._compare(sealed, self._noted)
        told = self._known.get(row.position)
        if told is not None and told.hash != sealed:
            self._add(
                f"Position {row.position} has the hash {sealed}, and a checkpoint tells "
                f"{told.hash}: the chain before it was made anew, or the checkpoint is false."
            )
        self.position, self.previous = row.position, sealed

    def missing_tail(self) -> Iterator[str]:
        """After the last entry: whether the chain once was longer."""
        gone = 0 if self.dropped is None else self.dropped.position
        if self._noted is not None and self._noted.position < gone:
            yield (
                f"Position {self._noted.position} was let go by policy, up to {gone}: give a later "
                "head to compare with."
            )
        if self._noted is not None and self._noted.position > self.position:
            yield (
                f"The chain ends at position {self.position}, and once reached position "
                f"{self._noted.position}: its tail was cut off."
            )

    def _begin_at(self, row: Row[Any]) -> None:
        """The chain begins later than at 1: whether a checkpoint explains it."""
        before = self._known.get(row.position - 1)
        if before is not None:
            self.dropped, self.position, self.previous = before, before.position, before.hash
            if self._noted is not None and self._noted.position == before.position:
                self._compare(before.hash, self._noted)
        elif row.position <= self._last_known:
            # Its own predecessor is gone already; what follows it is checked up to the checkpoint.
            self.dropped = Checkpoint(position=row.position - 1, hash="")
            self._is_given = True

    def _compare(self, sealed: str, noted: Head) -> None:
        if sealed != noted.hash:
            self._add(
                f"Position {noted.position} has the hash {sealed}, and once had {noted.hash}: "
                "the chain was made anew from there or from before."
            )

    def _add(self, fault: str) -> None:
        if len(self.faults) < _FAULTS_KEPT:
            self.faults.append(fault)
        else:
            self.more_faults += 1


def _gap(last: int, found: int) -> str:
    if found <= last:
        return f"Position {found} stands twice: an entry was inserted."
    missing = (
        f"Position {last + 1} is"
        if found == last + 2
        else f"Positions {last + 1} to {found - 1} are"
    )
    return f"{missing} missing: entries were removed."


def _missing_guards(connection: Connection) -> list[str]:
    present = set(connection.execute(_PRESENT).scalars())
    return [
        f"The trigger {name} is missing or disabled: entries could be changed at will. "
        f"Make it anew as migration {migration} does."
        for name, migration in sorted(_GUARDS.items())
        if name not in present
    ]


def _look_at_inbox(connection: Connection, sealed_within: timedelta) -> tuple[int, list[str]]:
    is_old = audit_inbox.c.at < func.now() - sealed_within
    row = connection.execute(
        select(
            func.count().label("unsealed"),
            func.count().filter(is_old).label("old"),
            func.min(audit_inbox.c.at).label("oldest"),
        )
    ).one()
    if not row.old:
        return row.unsealed, []
    oldest = row.oldest.isoformat(timespec="seconds")
    fault = f"{row.old} entries wait to be sealed, the oldest since {oldest}: is a janitor up?"
    return row.unsealed, [fault]
