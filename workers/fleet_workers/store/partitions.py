"""Partitions of a table by month, named `TABLE_y2026m01`: made ahead, dropped when all is old.

The table has a default partition, so that a row whose month is missing is kept all the same.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

_LOCK = 7_461_202_613  # any number that only this uses: one process changes partitions at a time
_LOCK_TIMEOUT = "2s"  # readers that come later wait behind whoever waits for the table
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")
_LIST = text("""
SELECT child.relname FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = CAST(:table AS regclass)
""")
_NAME = re.compile(r"_y(\d{4})m(\d{2})$")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Month:
    """A month of UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        """The month in which a moment lies."""
        there = moment.astimezone(UTC)
        return cls(year=there.year, number=there.month)

    @property
    def begin(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def following(self) -> "Month":
        """The month after it."""
        years, months = divmod(self.number, 12)
        return Month(year=self.year + years, number=months + 1)


def months_of(connection: Connection, table: str) -> dict[Month, str]:
    """The partitions of a table, by month; the default one is not among them."""
    names = connection.execute(_LIST, {"table": table}).scalars()
    return {
        Month(year=int(found[1]), number=int(found[2])): name
        for name in sorted(names)
        if (found := _NAME.search(name))
    }


def make_month(connection: Connection, table: str, column: str, month: Month) -> bool:
    """Make a partition, with what the default one holds of its month; tells whether it is there.

    False where another process changes partitions at this moment. Whoever reads or writes the
    table goes on, but for the default partition, which is looked through.
    """
    if month in months_of(connection, table):
        return True
    if not connection.execute(_TRY_LOCK, {"key": _LOCK}).scalar_one():
        return False
    if month in months_of(connection, table):  # another process has made it meanwhile
        return True
    name = f"{table}_y{month.year:04}m{month.number:02}"
    begin, end = month.begin.isoformat(), month.following.begin.isoformat()
    within = f"{column} >= '{begin}' AND {column} < '{end}'"
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
    move = f"""
        WITH moved AS (DELETE FROM {table}_rest WHERE {within} RETURNING *)
        INSERT INTO {name} SELECT * FROM moved
    """  # noqa: S608 names come from the code, times from a month
    for statement in (
        f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING STORAGE)",
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
        move,
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{begin}') TO ('{end}')",
    ):
        connection.execute(text(statement))
    return True


def drop_months(connection: Connection, table: str, *, before: datetime) -> list[str]:
    """Drop the partitions that end at or before a moment; gives their names.

    Waits two seconds at most for readers of the table. None where another process changes
    partitions at this moment.

    Raises:
        OperationalError: Somebody read the table for longer: try again later.
    """
    if not connection.execute(_TRY_LOCK, {"key": _LOCK}).scalar_one():
        return []
    old = [
        name
        for month, name in months_of(connection, table).items()
        if month.following.begin <= before
    ]
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
    for name in old:
        connection.execute(text(f"DROP TABLE {name}"))
    return old
