"""The console: pages for the people who watch over the fleet. They work without JavaScript."""

from fastapi import APIRouter

from fleet_workers.web.console import (
    agents,
    inbox,
    letters,
    overview,
    people,
    pools,
    quality,
    replays,
    review,
    review_decisions,
    sign_in,
    single_sign_on,
    tasks,
)
from fleet_workers.web.console.rendering import STATIC_FOLDER, answer_console_error

console_router = APIRouter(include_in_schema=False)
console_router.include_router(sign_in.router)
console_router.include_router(single_sign_on.router)
for each in (
    overview,
    inbox,
    review,
    review_decisions,
    tasks,
    replays,
    letters,
    agents,
    pools,
    quality,
    people,
):
    console_router.include_router(each.router)

__all__ = ["STATIC_FOLDER", "answer_console_error", "console_router"]
