"""What the settings say about models: where they are, which ones serve a tier, how to ask them."""

from fleet_contracts.errors import ConfigurationError
from fleet_workers.models.asking import Asking
from fleet_workers.models.candidates import FALLBACK, MAIN, TIERS, Candidate, by_tier
from fleet_workers.models.capabilities import Capabilities
from fleet_workers.models.capability_records import OWN_URL, CapabilityRecords
from fleet_workers.models.endpoint import Address
from fleet_workers.resilience.redis_link import RedisLink
from fleet_workers.settings import Settings


def candidates_of(settings: Settings) -> dict[str, list[Candidate]]:
    """Candidates by tier: those of the main endpoint, then those of the other.

    Raises:
        ConfigurationError: None is set for one of the endpoints.
    """
    if not settings.model_small:
        raise ConfigurationError(
            "FLEET_MODEL_SMALL is not set: name the model that serves the small tier "
            "(FLEET_MODEL_MEDIUM and FLEET_MODEL_LARGE fall back on it)."
        )
    found = by_tier((settings.model_small, settings.model_medium, settings.model_large), MAIN)
    if settings.fallback_base_url is None:
        return found
    if not settings.fallback_model_small:
        raise ConfigurationError(
            "FLEET_FALLBACK_MODEL_SMALL is not set: name the model that serves the small tier at "
            "FLEET_FALLBACK_BASE_URL, or unset that."
        )
    other = by_tier(
        (
            settings.fallback_model_small,
            settings.fallback_model_medium,
            settings.fallback_model_large,
        ),
        FALLBACK,
    )
    return {tier: [*found[tier], *other[tier]] for tier in TIERS}


def records_of(settings: Settings, link: RedisLink) -> CapabilityRecords:
    """What the fleet has found out about the models that the settings name."""
    urls = {MAIN: settings.openai_base_url or OWN_URL, FALLBACK: settings.fallback_base_url or ""}
    return CapabilityRecords(link, urls)


def asking_of(settings: Settings, link: RedisLink) -> Asking:
    """How the settings want endpoints to be asked, knowing what the fleet knows of them."""
    stall = settings.model_stall.total_seconds() if settings.model_stream else None
    return Asking(
        capabilities=Capabilities(records=records_of(settings, link)),
        api=settings.model_api,
        most_tokens=settings.model_max_output_tokens,
        stall_seconds=stall,
    )


def addresses_of(settings: Settings) -> list[Address]:
    """The main endpoint, and the other one where it is set.

    Raises:
        ConfigurationError: A key is missing.
    """
    if settings.openai_api_key is None:
        raise ConfigurationError(
            "OPENAI_API_KEY is not set: this process needs a key for the model's endpoint "
            "(any word, where the endpoint asks for none)."
        )
    key = settings.openai_api_key.get_secret_value()
    found = [Address(name=MAIN, base_url=settings.openai_base_url, api_key=key)]
    if settings.fallback_base_url is not None:
        if settings.fallback_api_key is None:
            raise ConfigurationError(
                "FLEET_FALLBACK_API_KEY is not set: FLEET_FALLBACK_BASE_URL needs a key of its own "
                "(any word, where the endpoint asks for none)."
            )
        other_key = settings.fallback_api_key.get_secret_value()
        found.append(Address(name=FALLBACK, base_url=settings.fallback_base_url, api_key=other_key))
    return found
