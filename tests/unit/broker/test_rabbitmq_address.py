"""pika connects to the virtual host that Celery connects to."""

import pika
import pytest
from pika.exceptions import AMQPError

from fleet_workers.broker import rabbitmq


@pytest.mark.parametrize(
    ("url", "virtual_host"),
    [
        ("amqp://guest:guest@mq:5672//", "/"),
        ("amqp://guest:guest@mq:5672/", "/"),
        ("amqp://guest:guest@mq:5672", "/"),
        ("amqp://guest:guest@mq:5672/%2F", "/"),
        ("pyamqp://guest:guest@mq:5672/fleet", "fleet"),
    ],
)
def test_the_virtual_host_is_celerys(
    url: str, virtual_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[pika.URLParameters] = []

    def refuse(parameters: pika.URLParameters) -> None:
        asked.append(parameters)
        raise AMQPError

    monkeypatch.setattr(pika, "BlockingConnection", refuse)
    with pytest.raises(AMQPError):
        rabbitmq.connect(url, timeout_seconds=1)
    assert [each.virtual_host for each in asked] == [virtual_host]
