"""The HTTP API, one file a resource."""

from fastapi import APIRouter

from fleet_workers.web.api import (
    agents,
    dead_letters,
    operations,
    pauses,
    reviews,
    submit,
    tasks,
    tools,
)

ROUTERS: tuple[APIRouter, ...] = (
    submit.router,
    tasks.router,
    reviews.router,
    dead_letters.router,
    agents.router,
    pauses.router,
    tools.router,
    operations.router,
)
