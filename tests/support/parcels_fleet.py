"""A fleet that works for the parcels agent after scripts."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fleet_workers.models.messages import Message
from fleet_workers.testing import Reply, ScriptedModel, call
from support.bench import Bench
from support.fleet_processes import running_fleet
from support.json_service import json_service
from support.parcel_shop import ParcelShop
from support.stacks import Stack

AGENTS = Path(__file__).parent / "agents"
_KEY = re.compile(r"\[([a-z0-9-]+)\]")


def script_key(messages: list[Message]) -> str:
    """The last word in square brackets of what the customer said last."""
    said = next(each["content"] for each in reversed(messages) if each["role"] == "user")
    found = _KEY.findall(said)
    return str(found[-1]) if found else ""


@contextmanager
def open_bench(
    stack: Stack,
    folder: Path,
    *,
    serves: tuple[str, ...] = ("parcels", "auto"),
    janitors: int = 1,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Bench]:
    """Web, janitors, and one worker, for parcels and triage unless told otherwise.

    `environment` is what all of them are told besides.
    """
    for name in ("parcels", "frail"):
        copy = folder / "agents" / name
        shutil.copytree(AGENTS / "parcels", copy, ignore=shutil.ignore_patterns("__pycache__"))
        manifest = copy / "agent.toml"
        manifest.write_text(manifest.read_text().replace('name = "parcels"', f'name = "{name}"'))
    shop = ParcelShop()
    scripts: dict[str, list[Reply]] = {}
    model = ScriptedModel(
        scripts=scripts, key=script_key, triage=call("send_to_parcels", confidence=0.9)
    )
    with json_service(shop.answer) as shop_url, model.serve() as server:
        told = {
            "FLEET_AGENTS_PATH": str(folder / "agents"),
            "PARCELS_URL": shop_url,
            "OPENAI_BASE_URL": server.url,
            **(environment or {}),
        }
        with running_fleet(stack, folder, told) as fleet:
            worker = fleet.start_worker(*serves)
            fleet.start_web()
            for _ in range(janitors):
                fleet.start_janitor()
            fleet.wait_ready()
            yield Bench(fleet=fleet, shop=shop, worker=worker, shop_url=shop_url, scripts=scripts)
