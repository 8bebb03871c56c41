"""Connections to the store notice when the other side is gone without a word."""

from sqlalchemy import text
from sqlalchemy.engine import make_url

from fleet_workers.store.engine import open_engine
from support.databases import temporary_database


def test_both_sides_of_a_connection_ask_whether_the_other_is_there() -> None:
    with temporary_database(migrated=False) as url:
        over_tcp = make_url(url)
        assert over_tcp.host
        engine = open_engine(url, connections=1, application="tests")
        with engine.connect() as connection:
            shown = {
                name: connection.execute(text(f"SHOW tcp_keepalives_{name}")).scalar()
                for name in ("idle", "interval", "count")
            }
            driver = connection.connection.driver_connection
            assert driver is not None
            ours = driver.info.get_parameters()
        engine.dispose()
    assert shown == {"idle": "10", "interval": "5", "count": "3"}
    assert {name: ours[f"keepalives_{name}"] for name in shown} == shown
