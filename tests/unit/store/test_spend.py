"""The ledger: never past a limit, each call once, and back where nothing happened."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text, update

from fleet_contracts.errors import BudgetError
from fleet_workers.store import spend
from fleet_workers.store.money_tables import spend_entries, spend_totals
from fleet_workers.store.row_security import for_tenant
from fleet_workers.store.spend import Bound, Expense
from fleet_workers.store.spend_report import spent
from unit.store.eager_spender import TASK

SPENDER = Path(__file__).with_name("eager_spender.py")
TODAY = datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def _nothing_spent(engine: Engine) -> None:
    clear(engine)


def clear(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(spend_entries.delete())
        connection.execute(spend_totals.delete())


def expense(amount: str, limit: str | None = "100", *, key: str = "", **more: object) -> Expense:
    bound = Bound(
        subject=spend.tenant_total("acme"),
        by_day=True,
        limit_usd=None if limit is None else Decimal(limit),
        said="the day's limit of acme",
    )
    plain = Expense(
        key=key or str(uuid4()),
        kind="moved",
        task_id=uuid4(),
        tenant="acme",
        agent="billing",
        customer="c1",
        purpose="refund",
        amount_usd=Decimal(amount),
        bounds=[bound],
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def reserve(engine: Engine, *expenses: Expense) -> None:
    with engine.begin() as connection:
        spend.reserve(connection, expenses)


def settle(engine: Engine, key: str, amount: str | None = None) -> None:
    with engine.begin() as connection:
        spend.settle(connection, key, amount_usd=None if amount is None else Decimal(amount))


def give_back(engine: Engine, key: str) -> None:
    with engine.begin() as connection:
        spend.give_back(connection, key)


def total(engine: Engine, subject: str = "tenant acme", kind: str = "moved") -> Decimal:
    with engine.connect() as connection:
        found = connection.execute(
            select(func.sum(spend_totals.c.amount_usd)).where(
                spend_totals.c.subject == subject, spend_totals.c.kind == kind
            )
        ).scalar()
    return found or Decimal(0)


def test_threads_of_several_processes_never_pass_a_limit(engine: Engine) -> None:
    limit = Decimal(60)
    words = (SPENDER, engine.url.render_as_string(hide_password=False), "17", "20", str(limit))
    spenders = [
        subprocess.Popen((sys.executable, *words), stdout=subprocess.PIPE) for _ in range(3)
    ]
    ends = [json.loads(each.communicate(timeout=100)[0]) for each in spenders]
    assert sum(end["refused"] for end in ends) > 0
    kept = sum(end["kept"] for end in ends)
    # What one gives back may come after another was refused: some room may be left, never less.
    assert total(engine) == kept * Decimal("0.37") <= limit
    for subject in (spend.customer_total("acme", "c1"), spend.task_total(TASK)):
        assert total(engine, subject) == total(engine)
    with engine.connect() as connection:
        entries = connection.execute(
            select(func.count()).where(spend_entries.c.state != "released")
        ).scalar_one()
    assert entries == kept


def test_a_thousand_at_once_on_one_budget_use_it_up_to_the_cent(engine: Engine) -> None:
    def one(_: int) -> bool:
        try:
            reserve(engine, expense("0.01", "3.33"))
        except BudgetError:
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(one, range(1000))) == 333
    assert total(engine) == Decimal("3.33")


def test_the_same_call_counts_once_also_from_two_workers_at_once(engine: Engine) -> None:
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: reserve(engine, expense("40", "50", key="k")), range(10)))
    assert total(engine) == 40
    settle(engine, "k")
    reserve(engine, expense("40", "50", key="k"))
    assert total(engine) == 40


def test_what_is_given_back_may_be_reserved_again(engine: Engine) -> None:
    reserve(engine, expense("40", "50", key="k"))
    give_back(engine, "k")
    assert total(engine) == 0
    reserve(engine, expense("50", "50", key="k"))
    assert total(engine) == 50
    settle(engine, "k")
    give_back(engine, "k")
    assert total(engine) == 50


def test_settling_is_once_only_and_tells_what_it_really_was(engine: Engine) -> None:
    reserve(engine, expense("5", "5", key="k"))
    settle(engine, "k", "1.25")
    settle(engine, "k", "4")
    give_back(engine, "k")
    assert total(engine) == Decimal("1.25")
    reserve(engine, expense("1", "5", key="dear"))
    settle(engine, "dear", "9.5")  # it cost more than was thought: that is counted, too
    assert total(engine) == Decimal("10.75")
    with pytest.raises(BudgetError, match=r"5.00 USD; 10.75 USD are used up"):
        reserve(engine, expense("0.01", "5"))


def test_nothing_is_reserved_where_one_of_several_limits_is_passed(engine: Engine) -> None:
    both = expense("3", "5", key="k"), expense("2", "1", key="k", kind="cost")
    with pytest.raises(BudgetError, match=r"of acme of 1\.00 USD"):
        reserve(engine, *both)
    assert total(engine) == total(engine, kind="cost") == 0
    reserve(engine, expense("5", "5"))


def test_every_limit_that_is_passed_is_named(engine: Engine) -> None:
    with pytest.raises(BudgetError) as caught:
        reserve(engine, expense("7.005", "5", at_most_usd=Decimal(2)))
    assert str(caught.value) == (
        "refund for 7.005 USD is over the limit of one action, 2.00 USD. refund for 7.005 USD "
        "would pass the day's limit of acme of 5.00 USD; 0.00 USD are used up."
    )


def test_what_stands_already_is_not_looked_at_again(engine: Engine) -> None:
    reserve(engine, expense("40", None, key="k"))
    reserve(engine, expense("40", "5", key="k", at_most_usd=Decimal(1)))
    with pytest.raises(BudgetError):
        reserve(engine, expense("1", "40"))


@pytest.mark.parametrize(
    ("limit", "fits", "not_any_more"),
    [
        ("0.30", ["0.1", "0.2"], "0.00000001"),
        ("0", [], "0.01"),
        ("999999999999.99", ["999999999999.98", "0.01"], "0.01"),
    ],
)
def test_a_limit_holds_exactly(
    engine: Engine, limit: str, fits: list[str], not_any_more: str
) -> None:
    for amount in fits:
        reserve(engine, expense(amount, limit))
    assert total(engine) == (Decimal(limit) if fits else 0)
    with pytest.raises(BudgetError):
        reserve(engine, expense(not_any_more, limit))


def test_totals_without_a_limit_grow_past_what_one_call_may_move(engine: Engine) -> None:
    for _ in range(3):
        reserve(engine, expense("999999999999", None))
    assert total(engine) == 3 * Decimal(999999999999)


def test_a_new_day_has_its_own_room_and_what_ends_late_counts_on_the_day_before(
    engine: Engine,
) -> None:
    reserve(engine, expense("50", "50", key="late"))
    with engine.begin() as connection:  # midnight passes
        for table in (spend_entries, spend_totals):
            connection.execute(update(table).values(day=table.c.day - 1))
    reserve(engine, expense("50", "50", key="early"))
    give_back(engine, "late")
    with engine.connect() as connection:
        found = connection.execute(select(spend_totals.c.day, spend_totals.c.amount_usd)).all()
    assert {tuple(row) for row in found} == {(TODAY - timedelta(1), 0), (TODAY, 50)}
    reserve(engine, expense("0", "50", key="late"))


def test_a_release_that_counts_against_other_totals_gives_back_what_was_counted(
    engine: Engine,
) -> None:
    reserve(engine, expense("40", key="other"))
    reserve(engine, expense("30", key="k", bounds=[]))
    give_back(engine, "k")
    assert total(engine) == 40


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["reserve", "settle", "give_back"]),
            st.sampled_from("abc"),
            st.decimals(0, 60, places=2),
        ),
        max_size=20,
    )
)
def test_totals_are_what_the_entries_say(
    engine: Engine, acts: list[tuple[str, str, Decimal]]
) -> None:
    clear(engine)
    for act, key, amount in acts:
        if act == "reserve":
            try:
                reserve(engine, expense(str(amount), key=key))
            except BudgetError:
                assert total(engine) + amount > 100
        elif act == "settle":
            settle(engine, key, str(amount) if amount < 10 else None)
        else:
            give_back(engine, key)
    with engine.connect() as connection:
        kept = connection.execute(select(func.sum(spend_entries.c.amount_usd))).scalar()
    assert total(engine) == (kept or 0) <= 130


def test_the_report_sums_by_tenant_agent_and_day(engine: Engine) -> None:
    reserve(engine, expense("40", key="a"), expense("0.5", key="a", kind="cost"))
    settle(engine, "a")
    reserve(engine, expense("2", key="b"), expense("7", key="c", tenant="globex"))
    reserve(engine, expense("9", key="d"))
    give_back(engine, "d")
    with engine.connect() as connection:
        everything = spent(connection, tenant=None, since=TODAY)
        ours = spent(connection, tenant="acme", since=TODAY)
        later = spent(connection, tenant=None, since=date.max)
    assert [each.tenant for each in everything] == ["acme", "globex"]
    (found,) = ours
    assert (found.moved_usd, found.cost_usd) == (42, Decimal("0.5"))
    assert (found.reserved_usd, found.entries) == (2, 3)
    assert later == []


def test_a_tenants_key_sees_its_own_spending_and_can_change_nothing(engine: Engine) -> None:
    reserve(engine, expense("40"), expense("7", tenant="globex"))
    with for_tenant(engine, "globex").begin() as connection:
        assert [each.tenant for each in spent(connection, tenant=None, since=TODAY)] == ["globex"]
        for statement in ("SELECT * FROM spend_totals", "DELETE FROM spend_entries"):
            with pytest.raises(Exception, match="permission denied"), connection.begin_nested():
                connection.execute(text(statement))
