"""Agents: each is a folder with agent.toml, prompts, tools and golden examples."""

from fleet_workers.agents.catalogue import AgentCatalogue, load_catalogue
from fleet_workers.agents.release import AgentRelease, load_release

__all__ = ["AgentCatalogue", "AgentRelease", "load_catalogue", "load_release"]
