"""The stacks, and on each a fleet that works for the parcels agent after scripts."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.bench import Bench
from support.parcels_fleet import open_bench
from support.stacks import Stack, open_stack


@pytest.fixture(scope="session")
def opened_stacks() -> Iterator[dict[str, Any]]:
    """Stacks by name; each opens once a session, when a test first asks for it."""
    opened: dict[str, Any] = {}
    yield opened
    for context, _ in opened.values():
        context.__exit__(None, None, None)


def _open(opened: dict[str, Any], name: str) -> Stack:
    if name not in opened:
        context = open_stack(name)
        opened[name] = (context, context.__enter__())
    stack: Stack = opened[name][1]
    return stack


@pytest.fixture(scope="session", params=["embedded", "rabbitmq"])
def stack(request: pytest.FixtureRequest, opened_stacks: dict[str, Any]) -> Stack:
    return _open(opened_stacks, request.param)


@pytest.fixture(scope="session")
def rabbitmq_stack(opened_stacks: dict[str, Any]) -> Stack:
    return _open(opened_stacks, "rabbitmq")


@pytest.fixture(scope="session")
def embedded_stack(opened_stacks: dict[str, Any]) -> Stack:
    return _open(opened_stacks, "embedded")


@pytest.fixture(scope="session")
def bench(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Web, janitor, and one worker for parcels and triage."""
    with open_bench(stack, tmp_path_factory.mktemp(f"fleet_{stack.name}")) as opened:
        yield opened
