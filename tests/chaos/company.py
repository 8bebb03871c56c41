"""The fleet that a campaign attacks: the business, the API, janitors and workers, on one ground."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx2

from chaos.ground import Ground
from chaos.points import MARKS_VARIABLE
from chaos.pool import Death, WorkerPool
from chaos.scenarios import SCRIPTS, TENANT
from fleet_workers.settings import Settings
from support.nursery import Nursery, wait_until
from support.ports import free_port

_HERE = Path(__file__).parent
_CLI = "fleet_workers.cli"
_BUSINESS = "chaos.slow_business"


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Running processes. `customers` are pairs of a customer and a payment that can be refunded."""

    api_url: str
    business_url: str
    customers: tuple[tuple[str, str], ...]
    pool: WorkerPool


@contextlib.contextmanager
def open_company(
    nursery: Nursery,
    ground: Ground,
    folder: Path,
    *,
    model_url: str,
    workers: int,
    slots: int,
    janitors: int,
    on_death: Callable[[Death], None],
) -> Iterator[Company]:
    """Start everything; workers can die at the points of `chaos.points`, marked in `folder`.

    No setting is changed: what is measured is what an operator gets.
    """
    api_url, business_url = _free_url(), _free_url()
    environment = _environment(ground, model_url=model_url, business_url=business_url)

    def start(name: str, module: str, *words: str) -> None:
        log = folder / f"{name}.log"
        nursery.start(name, module, words, log=log, environment=environment)

    database = str(folder / "business.db")
    start("business", _BUSINESS, "--port", _port(business_url), "--database", database)
    start("web", _CLI, "web", "--port", _port(api_url))
    for number in range(janitors):
        start(f"janitor_{number}", _CLI, "janitor")
    pool = WorkerPool(
        nursery,
        folder=folder,
        environment={
            **environment,
            MARKS_VARIABLE: str(folder / "marks"),
            "PYTHONPATH": str(_HERE / "apart"),
        },
        agents=sorted({each.agent for each in SCRIPTS.values()}),
        slots=slots,
        on_death=on_death,
    )
    try:
        pool.start(workers)
        for url in (f"{business_url}/healthz", f"{api_url}/readyz"):
            wait_until(partial(_answers, url), f"{url} to answer; see {folder}")
        yield Company(
            api_url=api_url,
            business_url=business_url,
            customers=tuple(_customers(business_url)),
            pool=pool,
        )
    finally:
        nursery.kill_all()


def shipped_seconds(name: str) -> float:
    """The default of a setting that is a time."""
    default: timedelta = Settings.model_fields[name].default
    return default.total_seconds()


def _environment(ground: Ground, *, model_url: str, business_url: str) -> Mapping[str, str]:
    inherited = {name: value for name, value in os.environ.items() if "FLEET_" not in name}
    return {
        **inherited,
        **ground.stack.environment(),
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": "any",
        "FLEET_MODEL_SMALL": "scripted",
        "FLEET_AGENTS_PATH": str(_HERE / "agents"),
        "FLEET_BUSINESS_URL": business_url,
    }


def _free_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


def _port(url: str) -> str:
    return url.rpartition(":")[2]


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2).is_success
    except httpx2.HTTPError:
        return False


def _customers(business_url: str) -> Iterator[tuple[str, str]]:
    """Customers of the tenant with an active subscription, each with a payment of theirs."""
    for number in range(1, 20):
        customer = f"cus_{TENANT}_{number:02d}"
        headers = {"X-Tenant": TENANT, "X-Customer": customer}
        with httpx2.Client(base_url=business_url, headers=headers, timeout=20) as desk:
            subscription = desk.get("/subscription")
            paid = desk.get("/payments")
        if not subscription.is_success or subscription.json()["status"] != "active":
            continue
        for payment in paid.json()["payments"]:
            if payment["status"] == "succeeded":
                yield customer, payment["payment_id"]
                break
