"""A fleet with the sandbox business whose reviews people decide in a browser."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx2
from playwright.sync_api import Browser, Page

from fleet_contracts.states import TaskState
from fleet_workers.models.messages import Message
from fleet_workers.store import reviews, views
from fleet_workers.store.accounts import add_key
from fleet_workers.testing import Reply, answer, call
from support.fleet_processes import Fleet
from support.stacks import Stack

_KEY = re.compile(r"\[([a-z0-9]+)\]")
_PATIENCE_SECONDS = 30.0
_CUSTOMER = "cus_acme_04"
_DESKTOP = {"width": 1280, "height": 900}


@dataclass(kw_only=True)
class Desk:
    """A running fleet with the sandbox business, whose model follows scripts."""

    fleet: Fleet
    business_url: str
    browser: Browser
    scripts: dict[str, list[Reply]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def stack(self) -> Stack:
        return self.fleet.stack

    def ask_for_credit(self, amount_usd: int = 60) -> UUID:
        """A task whose agent wants to give more credit than it may; gives it once it waits."""
        key = uuid4().hex[:12]
        self.scripts[key] = [
            call("apply_credit", amount_usd=amount_usd, reason="outage"),
            answer("It is done."),
        ]
        text = f"I want a credit of {amount_usd} dollars for the outage. [{key}]"
        with self.fleet.client() as client:
            task_id = client.submit(text, agent="billing", customer=_CUSTOMER).id
        self.wait_for(task_id, TaskState.IN_REVIEW)
        return task_id

    def wait_for(self, task_id: UUID, state: TaskState) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (found := self._state_of(task_id)) is not state:
            assert time.monotonic() < deadline, f"The task is {found}, not {state}."
            time.sleep(0.05)

    def review_of(self, task_id: UUID) -> str:
        with self.stack.engine.begin() as connection:
            return str(reviews.of_task(connection, task_id)[-1].id)

    def effects(self) -> list[str]:
        """The amounts of all credits in the business."""
        found = httpx2.get(f"{self.business_url}/effects").json()["effects"]
        return [f"{float(each['arguments']['amount_usd']):.2f}" for each in found]

    @contextmanager
    def person(self, name: str, role: str = "reviewer", **context: Any) -> Iterator[Page]:
        """A browser of its own, in which somebody has signed in."""
        with self.stack.engine.begin() as connection:
            key = add_key(connection, tenant="acme", role=role, label=name)
        opened = self.browser.new_context(
            base_url=self.fleet.api_url, **{"viewport": _DESKTOP, **context}
        )
        opened.set_default_timeout(10_000)
        page = opened.new_page()
        page.on("console", lambda said: self._note(said.type, said.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        try:
            page.goto("/console")
            page.locator("input[name=key]").fill(key)
            page.locator("input[name=key]").press("Enter")
            page.wait_for_url("**/console")
            yield page
        finally:
            opened.close()

    def _note(self, kind: str, text: str) -> None:
        # A refused form is answered with its status, which the browser tells of, too.
        if kind == "error" and "the server responded with a status of 4" not in text:
            self.faults.append(text)

    def _state_of(self, task_id: UUID) -> TaskState | None:
        with self.stack.engine.begin() as connection:
            view = views.view(connection, task_id, tenant=None)
        return view.state if view is not None else None


def script_key(messages: list[Message]) -> str:
    said = next(each["content"] for each in reversed(messages) if each["role"] == "user")
    found = _KEY.findall(said)
    return str(found[-1]) if found else ""
