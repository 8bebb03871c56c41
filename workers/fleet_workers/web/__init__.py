"""The web process: the HTTP API for producers and operators, and the console for people."""

from fleet_workers.web.application import create_app
from fleet_workers.web.resources import ConsoleSettings, WebResources

__all__ = ["ConsoleSettings", "WebResources", "create_app"]
