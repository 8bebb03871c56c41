"""The console: pages for the people who watch over the fleet. They work without JavaScript."""

from fastapi import APIRouter

from fleet_workers.web.console import pages, sign_in
from fleet_workers.web.console.rendering import STATIC_FOLDER, answer_console_error

console_router = APIRouter(include_in_schema=False)
console_router.include_router(sign_in.router)
console_router.include_router(pages.router)

__all__ = ["STATIC_FOLDER", "answer_console_error", "console_router"]
