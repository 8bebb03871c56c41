"""The very same question is answered from the store, and nothing but the very same."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from fleet_workers.models.asked_for import CacheRules
from fleet_workers.models.caching.link import Cached
from fleet_workers.models.caching.shelf import Shelf
from fleet_workers.models.messages import ChatReply
from fleet_workers.store import plan_cache
from fleet_workers.store.engine import SHORT_PATIENCE, open_engine
from fleet_workers.store.model_tables import plan_cache as rows
from unit.models.caching.asking import Asked, again, ask, models_of, reply
from unit.models.caching.conftest import OpenCache


def test_the_same_question_costs_nothing_the_second_time(cache: OpenCache) -> None:
    model = Asked(reply(candidate="tested"))
    first = ask()
    cache(model).complete(first)

    second = cache(model).complete(again(first))

    assert len(model.requests) == 1
    assert second.source == "exact_cache"
    assert second.tool_calls == reply().tool_calls
    assert (second.cost_usd, second.saved_usd) == (Decimal(0), Decimal("0.02"))
    assert (second.prompt_tokens, second.completion_tokens) == (0, 0)
    assert (second.model, second.candidate) == ("tested", "tested")
    assert second.provenance == {"task": first.asked_for.task_id if first.asked_for else None}


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "other"},
        {"release": "billing@v2-bbbb"},
        {"customer": "C-1002"},
        {"agent": "onboarding"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_owner_of_the_question_asks_anew(cache: OpenCache, change: dict[str, Any]) -> None:
    model = Asked()
    first = ask()
    cache(model).complete(first)

    # The messages stay the same: what stands beside them must suffice.
    assert cache(model).complete(again(first, **change)).source == "model"
    assert len(model.requests) == 2


def test_another_request_is_asked_anew(cache: OpenCache) -> None:
    model = Asked()
    first = ask()
    cache(model).complete(first)

    told = {"role": "tool", "tool_call_id": "call_0", "content": '{"state": "sent"}'}
    others = (
        replace(again(first), messages=[*first.messages, told]),
        replace(again(first), tools=first.tools[1:]),
        replace(again(first), tier="large"),
        replace(again(first), max_output_tokens=5),
    )
    assert [cache(model).complete(each).source for each in others] == ["model"] * 4


def test_another_model_is_asked_anew(engine: Engine) -> None:
    model = Asked()
    first = ask()
    shelf = Shelf(engine)
    Cached(model, shelf=shelf, models_of=models_of, meanings=None).complete(first)
    moved = Cached(model, shelf=shelf, models_of=lambda _: ["newer small"], meanings=None)

    assert moved.complete(again(first)).source == "model"


@pytest.mark.parametrize(
    "said",
    [
        reply(("refund", '{"amount": 5}')),
        reply(("find_order", "{}"), ("refund", "{}")),
        reply(finish_reason="length"),
        reply(finish_reason="content_filter"),
        reply(("find_order", '{"order_id": ')),
        reply(("find_order", "[1]")),
        reply(("find_orders", "{}")),
        reply(("answer", "{}"), ("find_order", "{}")),
        reply(offline=True, model="offline-1"),
        reply(text="x" * 70_000),
        replace(reply(), tool_calls=(), text="  "),
        replace(reply(), source="in_flight"),
    ],
    ids=str,
)
def test_what_may_not_be_used_again_is_not_stored(
    cache: OpenCache, engine: Engine, said: ChatReply
) -> None:
    cache(Asked(said)).complete(ask())

    assert _count(engine) == 0


def test_flagged_requests_neither_read_nor_write(cache: OpenCache, engine: Engine) -> None:
    model = Asked()
    first = ask(flagged=True)
    cache(model).complete(first)
    assert _count(engine) == 0
    cache(model).complete(again(first, flagged=False))

    assert cache(model).complete(again(first)).source == "model"


def test_an_agent_may_want_no_cache(cache: OpenCache, engine: Engine) -> None:
    for rules in (CacheRules(exact=False), CacheRules(lifetime=timedelta(0))):
        cache(Asked()).complete(ask(caching=rules))

    assert _count(engine) == 0


def test_the_offline_model_is_not_asked_for_less(engine: Engine) -> None:
    model = Asked()
    offline = Cached(
        model, shelf=Shelf(engine), models_of=lambda _: ["offline-1 small"], meanings=None
    )
    first = ask()

    assert [offline.complete(each).source for each in (first, again(first))] == ["model"] * 2


def test_an_entry_is_used_until_its_time_is_over(cache: OpenCache, engine: Engine) -> None:
    model = Asked()
    first = ask()
    cache(model).complete(first)
    with engine.begin() as connection:
        connection.execute(rows.update().values(expires_at=func.now()))

    assert cache(model).complete(again(first)).source == "model"


def test_a_new_version_of_the_data_makes_replies_void_also_those_under_way(
    cache: OpenCache, engine: Engine
) -> None:
    first = ask()

    def change_data(_request: object) -> ChatReply:
        with engine.begin() as connection:
            plan_cache.invalidate(connection, tenant="acme", agent="billing", by="anna")
        return reply()

    cache(Asked(change_data)).complete(first)
    model = Asked()

    assert cache(model).complete(again(first)).source == "model"
    assert cache(model).complete(again(first)).source == "exact_cache"
    with engine.begin() as connection:
        assert plan_cache.invalidate(connection, tenant="acme", agent=None, by="anna") == 1
    assert cache(model).complete(again(first)).source == "model"


def test_a_price_that_is_not_known_stays_unknown(cache: OpenCache) -> None:
    model = Asked(reply(cost_usd=None))
    first = ask()
    cache(model).complete(first)

    assert cache(model).complete(again(first)).saved_usd is None


def test_a_share_of_a_batch_saves_what_the_question_costs_by_itself(cache: OpenCache) -> None:
    shared = reply(source="batch", cost_usd=Decimal("0.01"), saved_usd=Decimal("0.02"))
    first = ask()
    cache(Asked(shared)).complete(first)

    assert cache(Asked()).complete(again(first)).saved_usd == Decimal("0.03")


@pytest.mark.parametrize(
    "told",
    [
        [("answer", '{"text": "Read our page.", "confidence": 0.9}')],
        [("ask_customer", '{"question": "Which order?"}')],
        [("hand_over", '{"reason": "Not ours."}')],
    ],
)
def test_what_a_shared_call_would_tell_somebody_is_not_kept(
    cache: OpenCache, told: list[tuple[str, str]]
) -> None:
    first = ask()
    cache(Asked(reply(*told, source="batch"))).complete(first)
    assert cache(Asked()).complete(again(first)).source == "model"

    other = ask("Where is order 8?")
    cache(Asked(reply(*told))).complete(other)
    assert cache(Asked()).complete(again(other)).source == "exact_cache"


@pytest.mark.parametrize(
    "garbage",
    [
        "x",
        [],
        {},
        None,
        {"text": 5, "calls": []},
        {"text": None, "calls": [["a"]], "model": "m", "finish_reason": "stop"},
        {
            "text": "a",
            "calls": [],
            "model": "m",
            "finish_reason": "stop",
            "endpoint": "main",
            "candidate": None,
            "worth_usd": "much",
        },
        {
            "text": None,
            "calls": [["1", "refund", "{}"]],
            "model": "m",
            "finish_reason": "stop",
            "endpoint": "main",
            "candidate": None,
            "worth_usd": None,
        },
    ],
    ids=str,
)
def test_a_damaged_entry_is_replaced(cache: OpenCache, engine: Engine, garbage: Any) -> None:
    model = Asked()
    first = ask()
    cache(model).complete(first)
    with engine.begin() as connection:
        connection.execute(rows.update().values(reply=garbage))

    assert cache(model).complete(again(first)).source == "model"
    assert cache(model).complete(again(first)).source == "exact_cache"


def test_a_store_that_is_away_or_slow_delays_no_task() -> None:
    away = open_engine(
        "postgresql+psycopg://nobody@127.0.0.1:1/none",
        connections=1,
        application="tests",
        patience=SHORT_PATIENCE,
    )
    model = Asked()
    cached = Cached(model, shelf=Shelf(away), models_of=models_of, meanings=None)

    assert [cached.complete(ask()).source for _ in range(3)] == ["model"] * 3


def test_a_connection_that_was_lost_is_missed_once(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    own = open_engine(url, connections=1, application="lost", ping=False, patience=SHORT_PATIENCE)
    model, first = Asked(), ask()
    cached = Cached(model, shelf=Shelf(own), models_of=models_of, meanings=None)
    cached.complete(first)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'lost' AND datname = current_database()"
        )

    found = [cached.complete(again(first)).source for _ in range(2)]
    own.dispose()

    assert found == ["model", "exact_cache"]


def test_a_locked_table_is_waited_for_a_moment_only(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    quick = open_engine(
        url, connections=1, application="tests", patience=replace(SHORT_PATIENCE, statement_ms=50)
    )
    cached = Cached(Asked(), shelf=Shelf(quick), models_of=models_of, meanings=None)
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE plan_cache IN ACCESS EXCLUSIVE MODE")

        assert cached.complete(ask()).source == "model"
    quick.dispose()


def _count(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(rows)).scalar_one()
