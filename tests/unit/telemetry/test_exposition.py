"""Where a process serves its metrics, and how Prometheus is told."""

import json
import socket
from pathlib import Path

import httpx2
import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.settings import Settings
from fleet_workers.telemetry import meters
from fleet_workers.telemetry.exposition import noted_target, served_meters
from fleet_workers.telemetry.meters import MOST_NAMES, OTHER, bounded
from support.ports import free_port


def test_nothing_is_served_where_nobody_asks(tmp_path: Path) -> None:
    with served_meters(Settings(), "worker"):
        assert list(tmp_path.iterdir()) == []


def test_metrics_are_served_at_the_port(tmp_path: Path) -> None:
    port = free_port()
    meters.CHORES_FAILED.labels("of_this_test").inc()
    with served_meters(Settings(metrics_port=port), "janitor"):
        text = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
    assert 'fleet_janitor_chores_failed_total{chore="of_this_test"} 1.0' in text
    assert 'fleet_build_info{role="janitor"' in text
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{port}/metrics")


def test_a_free_port_is_noted_for_prometheus_and_forgotten_at_the_end(tmp_path: Path) -> None:
    settings = Settings(
        metrics_targets=tmp_path / "new" / "folder", ready_file=Path("pool_billing")
    )
    file = tmp_path / "new" / "folder" / "pool_billing.json"
    with served_meters(settings, "worker"):
        [target] = json.loads(file.read_text())
        assert target["labels"] == {"job": "fleet-worker", "process": "pool_billing"}
        [address] = target["targets"]
        assert "fleet_worker_slots" in httpx2.get(f"http://{address}/metrics").text
    assert not file.exists()


def test_an_address_for_all_networks_is_noted_as_one_that_can_be_asked(tmp_path: Path) -> None:
    with noted_target(Settings(metrics_targets=tmp_path), "web", "0.0.0.0", 8080):  # noqa: S104 it is only noted
        [file] = tmp_path.glob("web-*.json")
        assert json.loads(file.read_text())[0]["targets"] == ["127.0.0.1:8080"]


def test_a_port_that_is_taken_is_told_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigurationError, match="FLEET_METRICS_PORT of its own"),
            served_meters(Settings(metrics_port=port), "worker"),
        ):
            pass


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    settings = Settings(metrics_targets=tmp_path / "file")
    with (
        pytest.raises(ConfigurationError, match="FLEET_METRICS_TARGETS"),
        served_meters(settings, "worker"),
    ):
        pass


def test_clients_that_hang_or_send_garbage_keep_nobody_waiting() -> None:
    port = free_port()
    with served_meters(Settings(metrics_port=port), "worker"):
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        try:
            silent[0].sendall(b"\x00\xff\r\n\r\n" * 100)
            silent[1].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
            answer = httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=5)
        finally:
            for each in silent:
                each.close()
    assert answer.status_code == 200


def test_labels_are_bounded_whatever_others_send() -> None:
    names = {bounded("of_this_test", f"name {number}") for number in range(MOST_NAMES + 50)}
    assert len(names) == MOST_NAMES + 1
    assert bounded("of_this_test", "name 3") == "name 3"
    assert bounded("of_this_test", "one more") == OTHER
