"""Faults happen as often as they were asked for, and a repeat with the key makes good."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from support.business_server import client_of

CREDIT = {"amount_usd": "5.00", "reason": "outage"}
KEY = {"Idempotency-Key": "key"}


def outcomes(url: str) -> list[str]:
    return [each["outcome"] for each in httpx2.get(f"{url}/effects").json()["effects"]]


def test_an_error_comes_as_often_as_asked_for_and_only_there(url: str) -> None:
    fault = {"path_prefix": "/credits", "kind": "error", "times": 2, "status": 502}
    with client_of(url) as client:
        assert client.post("/faults", json=fault).status_code == 201
        assert client.get("/plans").status_code == 200
        assert [client.get("/credits").status_code for _ in range(3)] == [502, 502, 200]


def test_an_answer_that_is_lost_after_the_work_is_given_again_under_the_key(url: str) -> None:
    with client_of(url) as client:
        client.post("/faults", json={"path_prefix": "/credits", "kind": "drop_after"})
        with pytest.raises(httpx2.TransportError):
            client.post("/credits", json=CREDIT, headers=KEY)
        again = client.post("/credits", json=CREDIT, headers=KEY)

        assert again.status_code == 201
        assert client.get("/credits").json()["balance_usd"] == "5.00"
    assert outcomes(url) == ["applied", "replayed"]


def test_work_may_be_done_though_the_answer_says_500(url: str) -> None:
    with client_of(url) as client:
        client.post(
            "/faults", json={"path_prefix": "/credits", "kind": "drop_after", "status": 500}
        )
        assert client.post("/credits", json=CREDIT, headers=KEY).status_code == 500

    assert outcomes(url) == ["applied"]


def test_a_stalled_request_is_worked_though_the_caller_has_left(url: str) -> None:
    with client_of(url) as client:
        client.post("/faults", json={"path_prefix": "/credits", "kind": "stall", "seconds": 0.5})
        with pytest.raises(httpx2.ReadTimeout):
            client.post("/credits", json=CREDIT, headers=KEY, timeout=0.1)
        until = time.monotonic() + 5
        while not outcomes(url) and time.monotonic() < until:
            time.sleep(0.05)

    assert outcomes(url) == ["applied"]


def test_stalled_callers_hold_up_nobody_else(url: str) -> None:
    with client_of(url) as client, ThreadPoolExecutor(60) as pool:
        client.post(
            "/faults",
            json={"path_prefix": "/invoices", "kind": "stall", "seconds": 1.5, "times": 60},
        )
        stalled = [pool.submit(client.get, "/invoices", timeout=30) for _ in range(60)]
        time.sleep(0.3)
        with client_of(url) as other:
            started = time.monotonic()
            assert other.get("/payments").status_code == 200
            assert time.monotonic() - started < 1
        assert {each.result().status_code for each in stalled} == {200}


def test_garbage_is_no_json_and_does_nothing(url: str) -> None:
    with client_of(url) as client:
        client.post("/faults", json={"path_prefix": "/credits", "kind": "garbage"})
        answer = client.post("/credits", json=CREDIT, headers=KEY)

    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()
    assert outcomes(url) == []


def test_faults_can_be_limited_to_a_method_listed_and_cleared(url: str) -> None:
    fault = {"path_prefix": "/", "kind": "error", "times": None, "method": "POST"}
    with client_of(url) as client:
        client.post("/faults", json=fault)
        assert client.get("/credits").status_code == 200
        assert client.post("/credits", json=CREDIT).status_code == 503
        assert len(client.get("/faults").json()["faults"]) == 1
        assert client.delete("/faults").status_code == 204
        assert client.post("/credits", json=CREDIT).status_code == 201


def test_an_unknown_kind_of_fault_is_refused(url: str) -> None:
    with client_of(url) as client:
        answer = client.post("/faults", json={"kind": "explode"})

    assert answer.status_code == 422
    assert "drop_after" in answer.json()["detail"]
