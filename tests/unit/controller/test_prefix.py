"""What a model is sent grows at its end only, byte for byte: providers' prefix caches hit."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest

from fleet_contracts.envelope import build_envelope
from fleet_workers.controller.conversation import head_text
from fleet_workers.controller.situation import Situation
from fleet_workers.models.asking import Asking
from fleet_workers.models.candidates import MAIN, Candidate
from fleet_workers.models.capabilities import Capabilities
from fleet_workers.models.endpoint import Address
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.prices import load_prices
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.testing import run_agent
from support.model_endpoint import Body, Told, completion, model_endpoint, told
from support.parcels import RELEASE, TEXT, TRACKED


def call(name: str, **arguments: Any) -> Told:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return told(completion(None, tool_calls=[{"id": f"c{len(arguments)}", "function": function}]))


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_each_turn_repeats_the_one_before_byte_for_byte(api: str) -> None:
    def answer(_path: str, body: Body) -> Told:
        turn = sum(
            each.get("role") == "tool" or each.get("type") == "function_call_output"
            for each in body.get("messages", body.get("input"))
        )
        name = "answer" if turn == 3 else "track_parcel"
        arguments = {"text": "Lyon.", "confidence": 0.9} if turn == 3 else {"order_id": "ord_7"}
        if api == "chat":
            return call(name, **arguments)
        item = {"type": "function_call", "call_id": f"c{turn}", "name": name}
        return told({"output": [{**item, "arguments": json.dumps(arguments)}]})

    with model_endpoint(answer) as endpoint:
        gateway = Gateway(
            addresses=[Address(name=MAIN, base_url=endpoint.url, api_key="k")],
            candidates={"small": [Candidate(model="m")]},
            breakers=Breakers(),
            prices=load_prices(None),
            asking=Asking(capabilities=Capabilities(), api=api),  # type: ignore[arg-type]
        )
        text = f"{TEXT} Write to ann@example.org, or +44 20 7946 0000."
        run_agent(RELEASE, text, model=gateway, tools={"track_parcel": TRACKED})
        gateway.close()
    raw = endpoint.asked.raw
    assert len(raw) == 4
    for before, after in pairwise(raw):
        assert before.endswith(b"]}")
        assert after.startswith(before[: -len(b"]}")] + b",")


def test_another_customer_shares_all_of_the_instructions_and_tools() -> None:
    heads = set()
    for customer in ("c1", "c2", None):
        envelope = build_envelope(tenant="a", agent=RELEASE.name, input="x", customer=customer)
        situation = Situation(release=RELEASE, envelope=envelope, steps=())
        heads.add(head_text(situation.release))
    assert len(heads) == 1


PRINT_HEADS = """
from fleet_workers.agents import load_catalogue
from fleet_workers.controller.conversation import head_text
catalogue = load_catalogue(())
for name in catalogue.names:
    print(head_text(catalogue.get(name)))
"""


def test_every_process_says_the_same_first() -> None:
    said = {
        subprocess.run(
            (sys.executable, "-c", PRINT_HEADS),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
    assert len(said.pop()) > 1000
