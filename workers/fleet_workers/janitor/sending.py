"""Opens what sends a delivery over its channel: a webhook, or mail."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection, Engine

from fleet_workers.desk_file import MailSection, WebhookSection
from fleet_workers.janitor.deliver import Send
from fleet_workers.janitor.event_clerk import is_of_task, task_body
from fleet_workers.janitor.mail import MailSender
from fleet_workers.janitor.webhook import Receipt, WebhookSender
from fleet_workers.review.deliveries import webhook_body
from fleet_workers.store.deliveries import Delivery
from fleet_workers.store.engine import store_errors

OpenSend = Callable[[], AbstractContextManager[Send]]


def webhook_sender(
    engine: Engine, hook: WebhookSection, *, key: bytes, base_url: str | None
) -> OpenSend:
    """What sends to a webhook of the desk's file, signed with `key`; opened by its courier."""

    @contextmanager
    def open_sender() -> Iterator[Send]:
        with WebhookSender(hook.url, key) as sender:

            def send(taken: Delivery) -> Receipt:
                with store_errors(), engine.connect() as connection:
                    body = _body(connection, taken, hook, base_url)
                if body is None:
                    return Receipt(is_taken=False, is_final=True, error="what it tells of is gone")
                return sender.send(taken.id, body)

            yield send

    return open_sender


def _body(
    connection: Connection, taken: Delivery, hook: WebhookSection, base_url: str | None
) -> str | None:
    if is_of_task(taken):
        return task_body(connection, taken, hook)
    return webhook_body(connection, taken, hook, base_url=base_url)


def mail_sender(mail: MailSection, *, password: str | None) -> OpenSend:
    """What sends by the SMTP server of the desk's file."""

    @contextmanager
    def open_sender() -> Iterator[Send]:
        yield MailSender(mail, password=password).send

    return open_sender
