"""Turns texts into vectors: by an endpoint, by a model in this process, or by their words alone."""

import importlib.util
from collections.abc import Sequence
from typing import Any, Final, Protocol

from fleet_contracts.errors import ConfigurationError
from fleet_workers.models.embedding_endpoint import EndpointEmbedder
from fleet_workers.models.endpoint import Address
from fleet_workers.models.lexical_embeddings import LexicalEmbedder
from fleet_workers.models.local_embeddings import NEEDED, LocalEmbedder
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.settings import Settings

_ENDPOINT: Final = "embeddings"


class Embedder(Protocol):
    """Gives vectors whose inner product tells how alike two texts are; safe from every slot.

    `name` changes with the model: vectors of two names must not be compared.
    """

    @property
    def name(self) -> str:
        """The model, as it is stored beside its vectors."""
        ...

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """One numpy array of float32 and length one for each text, in order.

        Raises:
            TransientError: An endpoint is away, or answered nonsense; the call may succeed later.
            ConfigurationError: An endpoint refuses the key, or has no such model.
        """
        ...

    def close(self) -> None:
        """Close connections."""
        ...


def embedder_of(
    settings: Settings, *, fit_on: Sequence[str] = (), breakers: Breakers | None = None
) -> Embedder:
    """The embedder that the settings name; nothing is asked or loaded before its first use.

    Where they name none: an endpoint's model if one is named, else the local model if its packages
    are installed, else the lexical one, to which the texts of `fit_on` tell how rare words are.

    Raises:
        ConfigurationError: What is named is not set or not installed; the text names the remedy.
    """
    match settings.embedding:
        case "endpoint":
            return _endpoint(settings, breakers)
        case "local":
            _require_local()
            return LocalEmbedder()
        case "lexical":
            return LexicalEmbedder(fit_on)
        case "auto":
            if settings.embedding_model is not None:
                return _endpoint(settings, breakers)
            return LocalEmbedder() if not _missing() else LexicalEmbedder(fit_on)


def _endpoint(settings: Settings, breakers: Breakers | None) -> EndpointEmbedder:
    if settings.embedding_model is None:
        raise ConfigurationError(
            "FLEET_EMBEDDING_MODEL is not set: name the endpoint's model for embeddings, or set "
            "FLEET_EMBEDDING to local or lexical."
        )
    own_key = settings.embedding_api_key
    if settings.embedding_base_url is not None and own_key is None:
        raise ConfigurationError(
            "FLEET_EMBEDDING_API_KEY is not set: FLEET_EMBEDDING_BASE_URL needs a key of its own "
            "(any word, where the endpoint asks for none)."
        )
    key = own_key or settings.openai_api_key
    if key is None:
        raise ConfigurationError(
            "OPENAI_API_KEY is not set: FLEET_EMBEDDING_MODEL is asked with it, unless "
            "FLEET_EMBEDDING_API_KEY is set."
        )
    return EndpointEmbedder(
        Address(
            name=_ENDPOINT,
            base_url=settings.embedding_base_url or settings.openai_base_url,
            api_key=key.get_secret_value(),
        ),
        settings.embedding_model,
        timeout_seconds=settings.embedding_timeout.total_seconds(),
        breakers=breakers or Breakers(),
    )


def _missing() -> list[str]:
    return [each for each in NEEDED if importlib.util.find_spec(each) is None]


def _require_local() -> None:
    missing = _missing()
    if missing:
        raise ConfigurationError(
            f"FLEET_EMBEDDING is local, and {', '.join(missing)} cannot be imported: "
            "pip install 'agent-fleet-workers[local-embeddings]', or set it to lexical."
        )
