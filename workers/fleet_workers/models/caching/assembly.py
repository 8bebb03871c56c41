"""Puts sharing and the cache before a model."""

from sqlalchemy import Engine

from fleet_workers.models.caching.in_flight import InFlight
from fleet_workers.models.caching.keys import ModelsOf
from fleet_workers.models.caching.link import Cached
from fleet_workers.models.caching.meaning import Meanings
from fleet_workers.models.caching.shelf import Shelf
from fleet_workers.models.candidates import FALLBACK, MAIN, Candidates, of_tier
from fleet_workers.models.messages import ChatModel
from fleet_workers.settings import Settings


def with_cache(
    inner: ChatModel, *, engine: Engine, models_of: ModelsOf, meanings: Meanings | None
) -> ChatModel:
    """A model whose replies are shared and stored.

    Those who ask the same at the same moment share the look-up too, so that nobody can ask between
    the moment at which a reply is no more in flight and that at which it is stored.
    """
    cached = Cached(inner, shelf=Shelf(engine), models_of=models_of, meanings=meanings)
    return InFlight(cached, models_of=models_of)


def models_by_settings(settings: Settings, candidates: Candidates) -> ModelsOf:
    """Which models may answer for a tier, with what of the settings makes their answers others."""
    urls = {MAIN: settings.openai_base_url, FALLBACK: settings.fallback_base_url}
    asked = f"{settings.model_api} {settings.model_max_output_tokens}"

    def models_of(tier: str) -> list[str]:
        found = of_tier(candidates, tier)
        return [f"{each} {urls.get(each.endpoint)} {asked}" for each in found]

    return models_of
