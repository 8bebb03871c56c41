"""Notices by mail, to a real SMTP server on this machine."""

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from fleet_contracts.errors import ConfigurationError
from fleet_workers.desk_file import DeskFile, MailSection
from fleet_workers.janitor.couriers import couriers
from fleet_workers.janitor.mail import MailSender, mail_of
from fleet_workers.store.deliveries import Delivery
from fleet_workers.store.engine import open_engine
from support.ports import free_port

WORDS = "3 reviews wait.\n\n- acme, Rückfragen: 3 waiting\n.\nFrom here\n" + "ä" * 2000 + "\n"


class Inbox:
    """What came in; `refusal` is what the server says to a recipient or to the mail."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Any] = []
        self.refusals: dict[str, str] = {}
        self.data_answer = "250 OK"

    async def handle_RCPT(  # noqa: N802 the library's own name and form
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 as above
        if self.data_answer.startswith("250"):
            message = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(message, EmailMessage)
            self.mails.append(message)
            self.envelopes.append(envelope)
        return self.data_answer


@contextmanager
def mail_server(**options: Any) -> Iterator[tuple[Inbox, int]]:
    inbox = Inbox()
    port = free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield inbox, port
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout",
         folder / "key.pem", "-out", folder / "cert.pem", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return folder


def section(port: int, **values: Any) -> MailSection:
    return MailSection.model_validate(
        {
            "host": "127.0.0.1",
            "port": port,
            "sender": "fleet@acme.example",
            "encryption": "none",
            **values,
        }
    )


def delivery(**body: Any) -> Delivery:
    return Delivery(
        id=UUID(int=7),
        key="k",
        tenant=None,
        channel="mail",
        event="notice",
        body={"to": ["a@x.example", "b@x.example"], "subject": "S", "text": WORDS, **body},
        created_at=datetime(2026, 3, 4, 12, tzinfo=UTC),
        tries=1,
    )


def test_a_notice_arrives_as_it_was_written() -> None:
    with mail_server() as (inbox, port):
        assert MailSender(section(port), password=None).send(delivery()).is_taken
    (mail,) = inbox.mails
    assert mail.get_content().replace("\r\n", "\n") == WORDS
    assert mail["To"] == "a@x.example, b@x.example"
    assert mail["From"] == "fleet@acme.example"
    assert mail["Message-ID"] == f"<{UUID(int=7)}@acme.example>"
    assert mail["Date"] == "Wed, 04 Mar 2026 12:00:00 +0000"
    assert inbox.envelopes[0].rcpt_tos == ["a@x.example", "b@x.example"]


def test_no_header_can_be_smuggled_in() -> None:
    subject = "Hello\r\nBcc: eve@else.example\r\n\r\n<script>\x00 ä" + "x" * 5000
    with mail_server() as (inbox, port):
        assert MailSender(section(port), password=None).send(delivery(subject=subject)).is_taken
    (mail,) = inbox.mails
    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("Hello Bcc: eve@else.example <script>")
    assert len(mail["Subject"]) <= 200


def test_the_connection_is_encrypted_before_the_password_is_sent(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    trust = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    seen: list[Any] = []

    def check(_server: Any, session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        seen.append((data.login, data.password, session.ssl is not None))
        return AuthResult(success=data.password == b"right", handled=False)

    options: dict[str, Any] = {"authenticator": check, "auth_required": True}
    with mail_server(tls_context=context, require_starttls=True, **options) as (inbox, port):
        mail = section(port, encryption="starttls", user="fleet")
        assert MailSender(mail, password="right", trust=trust).send(delivery()).is_taken
        refused = MailSender(mail, password="wrong", trust=trust).send(delivery())
        # A certificate that nobody vouches for gets neither password nor mail
        doubtful = MailSender(mail, password="right").send(delivery())
    assert set(seen) == {(b"fleet", b"right", True), (b"fleet", b"wrong", True)}
    assert len(inbox.mails) == 1
    assert "535" in refused.error
    assert not refused.is_final
    assert "CERTIFICATE_VERIFY_FAILED" in doubtful.error


def test_tls_from_the_first_byte_works_too(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    trust = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    with mail_server(ssl_context=context) as (inbox, port):
        mail = section(port, encryption="tls")
        assert MailSender(mail, password=None, trust=trust).send(delivery()).is_taken
    assert len(inbox.mails) == 1


def test_a_server_without_encryption_gets_nothing_where_it_is_asked_for() -> None:
    with mail_server() as (inbox, port):
        receipt = MailSender(section(port, encryption="starttls"), password=None).send(delivery())
    assert not receipt.is_taken
    assert "STARTTLS" in receipt.error
    assert inbox.mails == []


@pytest.mark.parametrize(
    ("refusals", "taken", "final"),
    [
        ({"a@x.example": "550 no such box"}, True, False),
        ({"a@x.example": "550 no", "b@x.example": "550 no"}, False, True),
        ({"a@x.example": "450 later", "b@x.example": "550 no"}, False, False),
    ],
)
def test_refused_addresses(refusals: dict[str, str], taken: bool, final: bool) -> None:
    with mail_server() as (inbox, port):
        inbox.refusals = refusals
        receipt = MailSender(section(port), password=None).send(delivery())
    assert (receipt.is_taken, receipt.is_final) == (taken, final)


def test_a_server_that_wants_it_later_is_asked_later() -> None:
    with mail_server() as (inbox, port):
        inbox.data_answer = "451 busy"
        receipt = MailSender(section(port), password=None).send(delivery())
    assert receipt.error == "answered 451 busy"
    assert not receipt.is_final


def test_a_server_that_is_away_or_silent_is_an_error_and_no_exception() -> None:
    assert "ConnectionRefused" in MailSender(section(1), password=None).send(delivery()).error
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mail = section(silent.getsockname()[1])
        receipt = MailSender(mail, password=None, timeout_seconds=0.3).send(delivery())
    assert not receipt.is_taken
    assert not receipt.is_final
    assert "timed out" in receipt.error


@pytest.mark.parametrize("body", [{"to": []}, {"to": "a@x"}, {"to": None}, {"to": ["a b\nc"]}])
def test_what_is_no_mail_is_given_up(body: dict[str, Any]) -> None:
    receipt = MailSender(section(1), password=None).send(delivery(**body))
    assert receipt.is_final
    json.dumps(receipt.error)


def test_every_address_stands_in_one_mail() -> None:
    mail = mail_of(delivery(to=[f"p{n}@x.example" for n in range(50)]), section(1))
    assert len(mail["To"].addresses) == 50


@pytest.mark.parametrize(
    ("secret", "found"),
    [({}, "webhooks.desk: the variable DESK_SECRET"), ({"DESK_SECRET": "x"}, "MAIL_PASSWORD")],
)
def test_a_secret_that_is_not_set_is_told_at_the_start(secret: dict[str, str], found: str) -> None:
    desk = DeskFile.model_validate(
        {
            "webhooks": [{"name": "desk", "url": "http://x.example/", "secret": "DESK_SECRET"}],
            "mail": {"host": "x", "sender": "a@b", "user": "u", "password": "MAIL_PASSWORD"},
        }
    )
    engine = open_engine("postgresql+psycopg://x@127.0.0.1:1/x", connections=1, application="t")
    with pytest.raises(ConfigurationError, match=found):
        couriers(engine, desk, secret)
    assert len(couriers(engine, desk, {"DESK_SECRET": "x", "MAIL_PASSWORD": "y"})) == 2
