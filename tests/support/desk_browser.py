"""Reviewers who use the console without a browser: they read pages and send their forms."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from sqlalchemy import update

from fleet_contracts.states import TaskState
from fleet_workers.store import views
from fleet_workers.store.accounts import add_key
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.store.tables import reviews
from support.web_server import Site

INBOX = "/console/reviews"


@contextmanager
def reviewer(site: Site, name: str = "ann", *, tenant: str = "acme") -> Iterator[httpx2.Client]:
    """Somebody who decides, signed in with a key of that name."""
    with site.engine.begin() as connection:
        key = add_key(connection, tenant=tenant, role="reviewer", label=name)
    with httpx2.Client(base_url=site.url, follow_redirects=True, timeout=20) as browser:
        browser.post("/console/sign-in", data={"key": key})
        yield browser


def hidden_fields(html: str, action: str, ruling: str = "") -> dict[str, str]:
    """The hidden fields of a page's form with that address, and that ruling."""
    for form in re.findall(r"<form[^>]*>.*?</form>", html, re.DOTALL):
        fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form))
        if f'action="{action}"' in form and fields.get("ruling", "") == ruling:
            return fields
    raise AssertionError(f"The page has no form {action} {ruling}.")


def decide(
    browser: httpx2.Client, item: ReviewItem, form: str, *, of: str = "", **typed: str
) -> httpx2.Response:
    """Open an item and send one of its forms; `of` is a page that was opened before."""
    address = f"{INBOX}/{item.id}"
    page = of or browser.get(address).text
    fields = hidden_fields(page, f"{address}/decide", form)
    return browser.post(f"{address}/decide", data={**fields, **typed})


def task_state(site: Site, item: ReviewItem) -> TaskState:
    with site.engine.begin() as connection:
        view = views.view(connection, item.task_id, tenant=None)
    assert view is not None
    return view.state


def change(site: Site, item: ReviewItem, **values: Any) -> None:
    with site.engine.begin() as connection:
        connection.execute(update(reviews).where(reviews.c.id == item.id).values(**values))


def listed(html: str) -> list[str]:
    return re.findall(r'data-row="([^"]+)"', html)
