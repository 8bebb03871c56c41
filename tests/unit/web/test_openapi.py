"""Whatever is sent, the API answers as /openapi.json says: never a 500, never in another form.

`FUZZ_EXAMPLES=80 .venv/bin/pytest tests/unit/web/test_openapi.py` looks longer.
"""

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.populated import populate
from support.web_server import Site

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
"""Requests that fit, and as many that do not, for each operation and key."""

KEYS = {
    "fleet": ("admin", "*"),
    "operator": ("operator", "acme"),
    "producer": ("producer", "acme"),
}
LEAST_DONE = {"fleet": 25, "operator": 20, "producer": 10}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
HOSTILE = ("", " ", "\0", "a\0b", "\u202e", "\ufffe", "'; --", "%s{0}", "x" * 5000, "\uff11", "🤷")
# What a random text would never hit, so that requests get further than to "unknown".
KNOWN: Mapping[str, tuple[Any, ...]] = {
    "agent": ("billing", "auto", "onboarding"),
    "tenant": ("acme", "globex"),
    "role": ("viewer", "reviewer", "producer", "admin"),
    "rights": (None, [], ["submit"], ["read_desk", "decide"]),
    "email": ("ann@acme.test", "eve@globex.test"),
    "password": (None, "four plain words here", "short"),
    "person": ("eve@acme.test", "eve@globex.test"),
    "group": ("first", "second"),
    "groups": (["first"], [], None),
    "cause": ("unavailable",),
    "filter": (None, {}, {"agent": "billing"}),
    "dry_run": (False,),
    "arguments": (None, {"payment_id": "pay_3041", "amount_usd": 9, "reason": "twice"}),
    "wait_seconds": (0.01,),
    "cron": ("30 8 * * MON-FRI", "* * * * *", "0 3 30 2 *"),
    "zone": ("UTC", "Europe/Berlin"),
    "task": ({"agent": "billing", "input": "x"}, {"input": "x", "data": {"n": 1}}),
}
NAMES = {
    "/v1/agents/{name}": ("billing", "auto", "onboarding"),
    "/v1/tenants/{name}": ("acme", "globex", "*"),
    "/v1/tools/{name}": ("refund_payment", "list_invoices"),
}


class Fuzzer:
    """Sends what a schema's operations may be sent, with one key, and looks at the answers."""

    def __init__(self, site: Site, who: str) -> None:
        role, tenant = KEYS[who]
        self._url = site.url
        self._headers = {"Authorization": f"Bearer {site.key(role, tenant)}"}
        self._people = [populate(site, each) for each in ("acme", "globex")]
        self.answers: Counter[tuple[str, int]] = Counter()
        self.faults: dict[str, str] = {}

    def fuzz(self, operation: APIOperation, mode: GenerationMode) -> None:
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
        def send(case: Case, data: st.DataObject) -> None:
            self._steer(case, data)
            self._send(case)

        send()

    def _steer(self, case: Case, data: st.DataObject) -> None:
        if case.operation.path.endswith("/events"):
            self._let_end(case)
        for name in case.path_parameters or {}:
            if data.draw(st.integers(0, 4)):
                case.path_parameters[name] = data.draw(st.sampled_from(self._known(case, name)))
        for said in (case.query, case.body):
            if isinstance(said, dict):
                self._steer_fields(said, data)

    def _steer_fields(self, said: dict[str, Any], data: st.DataObject) -> None:
        for name, value in list(said.items()):
            if name in KNOWN and data.draw(st.integers(0, 4)):
                said[name] = data.draw(st.sampled_from(KNOWN[name]))
            elif name == "ids":
                said[name] = [str(each.letter_id[0]) for each in self._people]
            elif isinstance(value, str) and not data.draw(st.integers(0, 4)):
                said[name] = data.draw(st.sampled_from(HOSTILE))
        # Only a wait that a test can wait for, and streams that end at once.
        if isinstance(said.get("wait_seconds"), int | float) and 1 < said["wait_seconds"] <= 60:
            said["wait_seconds"] = 0.01

    def _let_end(self, case: Case) -> None:
        """A stream goes on for minutes unless told otherwise; what is wrong stays wrong."""
        query = case.query if isinstance(case.query, dict) else {}
        seconds = query.get("seconds", 1)
        if isinstance(seconds, int | float) and 0.1 < seconds <= 900:
            case.query = {**query, "seconds": 0.1}

    def _known(self, case: Case, name: str) -> list[str]:
        for prefix, names in NAMES.items():
            if case.operation.path.startswith(prefix):
                return list(names)
        return [str(each) for population in self._people for each in population.of(name)]

    def _send(self, case: Case) -> None:
        answer = case.call(base_url=self._url, headers=self._headers, timeout=30)
        label = case.operation.label
        self.answers[label, answer.status_code] += 1
        # "Not implemented" is what a site without a model promises for dry runs.
        checks = CHECKS if answer.status_code != httpx2.codes.NOT_IMPLEMENTED else CHECKS[1:]
        try:
            case.validate_response(answer, checks=checks)
        except Exception as fault:  # noqa: BLE001 one fault shall not hide the others
            self.faults.setdefault(f"{label} {answer.status_code}", str(fault))


@pytest.mark.slow
@pytest.mark.timeout(300 + 20 * EXAMPLES)
@pytest.mark.parametrize("who", KEYS)
def test_every_answer_is_as_documented(site: Site, who: str) -> None:
    document = httpx2.get(f"{site.url}/openapi.json", timeout=60).json()
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig())
    operations = [each.ok() for each in schema.get_all_operations()]
    fuzzer = Fuzzer(site, who)
    for operation in operations:
        fuzzer.fuzz(operation, GenerationMode.POSITIVE)
        if operation.path.startswith("/v1/"):  # the others take nothing that could be wrong
            fuzzer.fuzz(operation, GenerationMode.NEGATIVE)
    assert not fuzzer.faults, "\n\n".join(fuzzer.faults.values())
    asked = {label for label, _ in fuzzer.answers}
    assert asked == {operation.label for operation in operations}
    done = {label for label, status in fuzzer.answers if status < 300}
    assert len(done) > LEAST_DONE[who], f"hardly anything was ever accepted: {sorted(done)}"
