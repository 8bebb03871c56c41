"""Puts before the gateway all that makes fewer calls of it, and cheaper ones."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from fleet_workers.agents import AgentCatalogue
from fleet_workers.agents.cached_model import open_cached_model
from fleet_workers.controller.expenses import most_input_tokens
from fleet_workers.models.batching.link import Batched
from fleet_workers.models.bulk.link import Filing
from fleet_workers.models.caching.meaning import IntentOf, unknown_intent
from fleet_workers.models.candidates import Candidates
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.messages import ChatModel
from fleet_workers.models.prices import PriceList
from fleet_workers.settings import Settings


@contextmanager
def open_model(
    settings: Settings,
    models: Candidates,
    gateway: Gateway,
    prices: PriceList,
    *,
    ledger: Engine | None,
    catalogue: AgentCatalogue | None,
    intent_of: IntentOf = unknown_intent,
) -> Iterator[ChatModel]:
    """Open the chain: cache, what is in flight, what may wait for a day, what shares a call.

    Without a ledger nothing is filed for later, and without a catalogue no reply is stored.
    """
    model: ChatModel = Batched(gateway, prices=prices, most_tokens=most_input_tokens)
    if ledger is not None:
        model = Filing(model, gateway=gateway, engine=ledger)
    if catalogue is None:
        yield model
        return
    with open_cached_model(
        model, settings=settings, candidates=models, catalogue=catalogue, intent_of=intent_of
    ) as cached:
        yield cached
