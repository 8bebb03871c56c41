"""A local model behind OpenAI's API that plans by rules. See `create_app`."""

from fleet_workers.embedded.offline_model.server import create_app

__all__ = ["create_app"]
