"""All checks of a fleet, in the order in which they are read."""

from collections.abc import Mapping

from fleet_workers.doctor.broker import broker_check
from fleet_workers.doctor.finding import Check
from fleet_workers.doctor.fleet import fleet_checks, installed_agents
from fleet_workers.doctor.machine import machine_checks
from fleet_workers.doctor.memory import memory_check
from fleet_workers.doctor.models import model_checks
from fleet_workers.doctor.outside import outside_checks
from fleet_workers.doctor.store import store_check
from fleet_workers.settings import Settings


def all_checks(settings: Settings, environment: Mapping[str, str]) -> list[Check]:
    """The checks; `environment` is what processes of this fleet are started with."""
    return [
        *machine_checks(environment),
        store_check(settings),
        broker_check(settings, installed_agents(settings)),
        memory_check(settings),
        *model_checks(settings),
        *fleet_checks(settings),
        *outside_checks(settings, environment),
    ]
