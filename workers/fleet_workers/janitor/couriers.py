"""Sets a courier to each channel that the desk's file names."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Engine

from fleet_contracts.errors import ConfigurationError
from fleet_workers.desk_file import DeskFile, MailSection, WebhookSection
from fleet_workers.janitor.deliver import MAIL_LOAN, Courier
from fleet_workers.janitor.sending import mail_sender, webhook_sender
from fleet_workers.janitor.webhook import signing_key
from fleet_workers.review.deliveries import MAIL_CHANNEL, webhook_channel


@contextmanager
def couriers_at_work(
    engine: Engine, desk: DeskFile, environment: Mapping[str, str]
) -> Iterator[None]:
    """Let all couriers of the file send until the block ends.

    Raises:
        ConfigurationError: A secret that the file names is not set, or cannot sign.
    """
    started = couriers(engine, desk, environment)
    for each in started:
        each.start()
    try:
        yield
    finally:
        for each in started:
            each.let_go()
        for each in started:
            each.stop()


def couriers(engine: Engine, desk: DeskFile, environment: Mapping[str, str]) -> list[Courier]:
    """Couriers for each webhook, and one for mail; `environment` holds their secrets.

    Raises:
        ConfigurationError: As above.
    """
    found = [
        Courier(
            engine,
            webhook_channel(hook.name),
            webhook_sender(engine, hook, key=_key(hook, environment), base_url=desk.public_url),
        )
        for hook in desk.webhooks
        for _ in range(hook.at_once)
    ]
    if desk.mail is not None:
        send = mail_sender(desk.mail, password=_password(desk.mail, environment))
        found.append(Courier(engine, MAIL_CHANNEL, send, loan=MAIL_LOAN))
    return found


def _key(hook: WebhookSection, environment: Mapping[str, str]) -> bytes:
    try:
        return signing_key(environment.get(hook.secret, ""))
    except ValueError as error:
        raise ConfigurationError(
            f"webhooks.{hook.name}: the variable {hook.secret} holds no secret to sign with "
            f"({error}). Set it for the janitor: `whsec_` and base64, or any long text."
        ) from error


def _password(mail: MailSection, environment: Mapping[str, str]) -> str | None:
    if mail.password is None:
        return None
    if mail.password not in environment:
        raise ConfigurationError(
            f"mail: the variable {mail.password} is not set. Set it for the janitor, or leave "
            "password out where the server asks for none."
        )
    return environment[mail.password]
