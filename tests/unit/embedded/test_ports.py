import socket
from pathlib import Path

from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.ports import LOOPBACK, PortBook, is_free


def test_a_port_is_the_same_at_the_next_start(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path)
    book = PortBook(folder)
    ports = {name: book.port(name) for name in ("web", "flower", "web")}
    assert len(set(ports.values())) == 2
    again = PortBook(folder)
    assert {name: again.port(name) for name in ports} == ports


def test_a_port_that_somebody_took_is_replaced_for_good(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path)
    port = PortBook(folder).port("web")
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)
        other = PortBook(folder).port("web")
    assert other != port
    assert PortBook(folder).port("web") == other


def test_a_damaged_memory_of_ports_is_no_obstacle(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path)
    (tmp_path / "ports.json").write_text('{"web": 99999, "flower": "x"')
    assert is_free(PortBook(folder).port("web"))
    (tmp_path / "ports.json").write_text('{"web": 99999, "flower": "x"}')
    assert is_free(PortBook(folder).port("web"))
