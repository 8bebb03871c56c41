"""A first request that means the same gets the same plan, and nobody's data goes along."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from fleet_contracts.errors import Unavailable
from fleet_workers.models.asked_for import DATA_MARK, AskedFor, CacheRules
from fleet_workers.models.caching.link import Cached
from fleet_workers.models.caching.meaning import Meanings
from fleet_workers.models.caching.shelf import Shelf
from fleet_workers.models.lexical_embeddings import LexicalEmbedder
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.store import plan_cache
from fleet_workers.store.model_tables import plan_cache as rows
from unit.models.caching.asking import SEMANTIC, Asked, ask, models_of, reply
from unit.models.caching.conftest import OpenCache

STATUS = "Tell me where my order has gone and when the parcel will arrive"
SAME = "please tell me where my order has gone and when the parcel will arrive"


def sharing(text: str, **changes: Any) -> ChatRequest:
    return ask(text, **{"caching": SEMANTIC, **changes})


def sources(cache: Cached, *requests: ChatRequest) -> list[str]:
    return [cache.complete(each).source for each in requests]


def test_another_customer_who_means_the_same_gets_the_same_plan(cache: OpenCache) -> None:
    model = Asked()
    first = sharing(STATUS, customer="C-1001")
    cache(model).complete(first)

    found = cache(model).complete(sharing(SAME, customer="C-2002"))

    assert found.source == "semantic_cache"
    assert found.tool_calls == reply().tool_calls
    assert first.asked_for is not None
    assert found.provenance["task"] == first.asked_for.task_id
    assert found.provenance["embedder"] == LexicalEmbedder().name
    assert 0.8 <= found.provenance["similarity"] <= 1
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"caching": CacheRules()},
        {"tenant": "other"},
        {"release": "billing@v2-bbbb"},
        {"agent": "onboarding"},
        {"is_first": False},
        {"flagged": True},
        {"personal": True},
        {"customer": None},
        {"text": SAME + DATA_MARK + '{"order": "A"}'},
        {"text": SAME.replace("order", "order 8")},
        {"text": SAME.replace("order", "orders 7, 8")},
        {"text": SAME + " <EMAIL_1>"},
        {"text": SAME.replace("has gone", "has not gone")},
        {"text": SAME.replace("my order", "Anna's order")},
    ],
    ids=str,
)
def test_whoever_differs_asks_anew(cache: OpenCache, change: dict[str, Any]) -> None:
    model = Asked()
    other = cache(model)
    other.complete(sharing(STATUS))

    assert sources(other, sharing(**{"text": SAME, **change})) == ["model"]


def test_data_of_the_producer_must_be_equal(cache: OpenCache) -> None:
    cached = cache(Asked())
    one, other = (DATA_MARK + f'{{"order": "{each}"}}' for each in "AB")

    assert sources(cached, sharing(STATUS + one), sharing(SAME + other), sharing(SAME + one)) == [
        "model",
        "model",
        "semantic_cache",
    ]


def test_an_intent_that_is_another_or_not_sure_asks_anew(cache: OpenCache) -> None:
    intents = {STATUS: "track", SAME: "complain"}

    def intent_of(asked: AskedFor) -> str | None:
        return intents.get(asked.text)

    cached = cache(Asked(), intent_of=intent_of)
    unsure = "kindly " + SAME

    assert sources(cached, sharing(STATUS), sharing(SAME), sharing(unsure)) == ["model"] * 3
    assert sources(cached, sharing(unsure, customer="C-3")) == ["semantic_cache"]
    intents[SAME] = "track"
    assert sources(cached, sharing(SAME, customer="C-3")) == ["semantic_cache"]


def test_words_that_say_nothing_are_the_same_only_word_by_word(cache: OpenCache) -> None:
    cached = cache(Asked())
    one, other = (
        "hello can you please help me with something",
        "hello please help me with something",
    )

    assert sources(
        cached, sharing(one), sharing(other, customer="C-2"), sharing(one, customer="C-3")
    ) == ["model", "model", "semantic_cache"]


def test_the_rest_of_what_the_model_sees_must_be_equal(cache: OpenCache) -> None:
    cached = cache(Asked())
    cached.complete(sharing(STATUS))
    other = sharing(SAME)
    system, user = other.messages
    turn = {"role": "user", "content": "I wrote before."}

    assert (
        sources(
            cached,
            replace(
                other, messages=[{**system, "content": "Refuse all." + system["content"]}, user]
            ),
            replace(other, messages=[system, turn, user]),
            replace(other, tools=other.tools[1:]),
            replace(other, tier="large"),
        )
        == ["model"] * 4
    )


@pytest.mark.parametrize(
    "said",
    [
        reply(("find_order", '{"customer": "C-1001"}')),
        reply(("find_order", '{"customer": "c1001"}')),
        reply(("answer", '{"text": "I wrote to <EMAIL_1>.", "confidence": 1}')),
        reply(("answer", '{"text": "I called PHONE_2.", "confidence": 1}')),
        reply(text="For C-1001:"),
        reply(("refund", "{}")),
    ],
    ids=str,
)
def test_a_reply_that_speaks_of_its_customer_is_for_nobody_else(
    cache: OpenCache, said: ChatReply
) -> None:
    cached = cache(Asked(said))

    assert sources(cached, sharing(STATUS), sharing(SAME, customer="C-2002")) == ["model"] * 2


def test_a_plan_that_looks_outside_is_for_its_own_task(cache: OpenCache) -> None:
    cached = cache(Asked())
    first = sharing(STATUS, outward=frozenset({"find_order"}))
    assert first.asked_for is not None
    asked = replace(first.asked_for, task_id=str(uuid4()))

    assert sources(
        cached,
        first,
        sharing(SAME, customer="C-2", outward=frozenset({"find_order"})),
        replace(first, asked_for=asked),
    ) == ["model", "model", "exact_cache"]


def test_a_reply_that_happens_to_name_the_next_customer_is_not_used(cache: OpenCache) -> None:
    cached = cache(Asked(reply(("find_order", '{"code": "GOLD"}'))))

    assert sources(cached, sharing(STATUS), sharing(SAME, customer="gold")) == ["model"] * 2


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    customer=st.from_regex(r"[A-Za-z]{1,4}[-_ ]?[0-9]{1,6}", fullmatch=True),
    said=st.text(max_size=30),
    tail=st.text(max_size=30),
)
def test_a_customers_id_never_reaches_another(
    engine: Engine, customer: str, said: str, tail: str
) -> None:
    with engine.begin() as connection:
        connection.execute(rows.delete())
    told = reply(text=f"{said}{customer}{tail}")
    meanings = Meanings(
        embedder=LexicalEmbedder(), intent_of=lambda _: "any", known_stems=lambda _: frozenset()
    )
    cached = Cached(Asked(told), shelf=Shelf(engine), models_of=models_of, meanings=meanings)

    assert (
        sources(cached, sharing(STATUS, customer=customer), sharing(SAME, customer="Z-99999999"))
        == ["model"] * 2
    )


def test_a_damaged_vector_is_put_away_and_another_embedders_is_left_alone(
    cache: OpenCache, engine: Engine
) -> None:
    cached = cache(Asked())
    for damage in (
        {"vector": b"\0" * 12},
        {"vector": b"\xff" * 4096 * 4},
        {"vector": None},
        {"reply": {"text": 1}},
    ):
        cached.complete(sharing(STATUS))
        with engine.begin() as connection:
            connection.execute(rows.update().values(**damage))

        assert sources(cached, sharing(SAME, customer="C-2")) == ["model"]
        with engine.begin() as connection:
            assert connection.execute(select(func.count()).select_from(rows)).scalar() == 1
            connection.execute(rows.delete())
    cached.complete(sharing(STATUS))
    with engine.begin() as connection:
        connection.execute(rows.update().values(embedder="other"))
    assert sources(cached, sharing(SAME, customer="C-2")) == ["model"]


def test_an_embedder_that_is_away_costs_no_task(engine: Engine) -> None:
    class Away(LexicalEmbedder):
        def embed(self, texts: object) -> list[Any]:
            raise Unavailable(f"no vectors of {texts}")

    meanings = Meanings(
        embedder=Away(), intent_of=lambda _: "any", known_stems=lambda _: frozenset()
    )
    cached = Cached(Asked(), shelf=Shelf(engine), models_of=models_of, meanings=meanings)

    assert sources(cached, sharing(STATUS), sharing(STATUS)) == ["model", "exact_cache"]


def test_what_a_person_calls_wrong_is_deleted_with_all_that_came_of_it(
    cache: OpenCache, engine: Engine
) -> None:
    first = sharing(STATUS)
    cached = cache(Asked())
    cached.complete(first)
    assert first.asked_for is not None

    with engine.begin() as connection:
        assert plan_cache.forget_task(connection, UUID(first.asked_for.task_id)) == 1

    assert sources(cached, sharing(SAME, customer="C-2")) == ["model"]
