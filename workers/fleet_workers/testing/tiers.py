"""A chat model for tests that asks another one in each tier."""

from collections.abc import Mapping

from fleet_contracts.errors import ConfigurationError
from fleet_workers.models.candidates import TIERS
from fleet_workers.models.messages import ChatModel, ChatReply, ChatRequest


class ByTier:
    """Asks the model of the request's tier; a tier without one is served by the one below.

    Raises:
        ConfigurationError: The small tier has none, or a name is no tier's.
    """

    def __init__(self, models: Mapping[str, ChatModel]) -> None:
        unknown = [name for name in models if name not in TIERS]
        if unknown or "small" not in models:
            raise ConfigurationError(
                f"Give a model for small, and for others of {', '.join(TIERS)} as needed: "
                f"there are models for {', '.join(models) or 'none'}."
            )
        self._models = models
        served_by = "small"
        self.first_models: dict[str, str] = {}
        for tier in TIERS:
            served_by = tier if tier in models else served_by
            self.first_models[tier] = served_by

    def complete(self, request: ChatRequest) -> ChatReply:
        """Ask the model of the request's tier; its errors are its own."""
        return self._models[self.first_models[request.tier]].complete(request)
