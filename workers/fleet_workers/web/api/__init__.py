"""The HTTP API, one file a resource."""

from fastapi import APIRouter

from fleet_workers.web.api import (
    agents,
    dead_letters,
    erasures,
    events,
    feedback,
    keys,
    operations,
    pauses,
    people,
    reviews,
    schedules,
    submit,
    tasks,
    tools,
)

ROUTERS: tuple[APIRouter, ...] = (
    submit.router,
    tasks.router,
    events.router,
    feedback.router,
    reviews.router,
    dead_letters.router,
    agents.router,
    pauses.router,
    schedules.router,
    tools.router,
    keys.router,
    erasures.router,
    people.router,
    operations.router,
)
