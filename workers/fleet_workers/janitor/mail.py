"""Sends one e-mail over the SMTP server that the desk's file names."""

import smtplib
import ssl
from collections.abc import Sequence
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from fleet_workers.desk_file import MailSection
from fleet_workers.janitor.webhook import TAKEN, Receipt
from fleet_workers.store.deliveries import Delivery

TIMEOUT_SECONDS: Final = 10.0
_SUBJECT_CHARACTERS: Final = 200
_REFUSED_FOR_GOOD: Final = 500  # SMTP's own division: 4xx may succeed later, 5xx will not


class MailSender:
    """Opens a connection for each mail: they are few, and servers hang up on idle ones."""

    def __init__(
        self,
        mail: MailSection,
        *,
        password: str | None,
        trust: ssl.SSLContext | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._mail = mail
        self._password = password
        self._trust = trust
        self._timeout_seconds = timeout_seconds

    def send(self, taken: Delivery) -> Receipt:
        """Send a delivery's mail once; whatever goes wrong is in the receipt.

        It counts as taken where one of its addresses was: to send again would tell that one twice.
        """
        try:
            message = mail_of(taken, self._mail)
        except (KeyError, TypeError, ValueError, MessageError) as error:
            return Receipt(is_taken=False, is_final=True, error=f"no mail can be made: {error!r}")
        try:
            with self._connection() as server:
                if self._mail.user is not None and self._password is not None:
                    server.login(self._mail.user, self._password)
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            final = all(code >= _REFUSED_FOR_GOOD for code in codes)
            return Receipt(is_taken=False, is_final=final, error=f"addresses refused: {codes}")
        except smtplib.SMTPResponseException as error:
            return Receipt(is_taken=False, error=f"answered {error.smtp_code} {_said(error)}")
        except (smtplib.SMTPException, OSError) as error:
            said = f"{type(error).__name__}: {error}"
            return Receipt(is_taken=False, error=said.rstrip(": "))
        return TAKEN

    def _connection(self) -> smtplib.SMTP:
        mail = self._mail
        if mail.encryption == "tls":
            return smtplib.SMTP_SSL(
                mail.host, mail.port, timeout=self._timeout_seconds, context=self._context()
            )
        server = smtplib.SMTP(mail.host, mail.port, timeout=self._timeout_seconds)
        if mail.encryption == "starttls":
            try:
                server.starttls(context=self._context())
            except BaseException:
                server.close()
                raise
        return server

    def _context(self) -> ssl.SSLContext:
        return self._trust or ssl.create_default_context()


def mail_of(taken: Delivery, mail: MailSection) -> EmailMessage:
    """The message of a delivery. Its Message-ID is the delivery's, so that a repeat shows as one.

    Raises:
        KeyError, TypeError, ValueError: The delivery holds no mail.
    """
    message = EmailMessage()
    message["From"] = mail.sender
    message["To"] = ", ".join(_addresses(taken.body["to"]))
    message["Subject"] = " ".join(str(taken.body["subject"]).split())[:_SUBJECT_CHARACTERS]
    message["Date"] = format_datetime(taken.created_at)
    domain = mail.sender.rpartition("@")[2]
    message["Message-ID"] = f"<{taken.id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer by machines
    message.set_content(str(taken.body["text"]))
    return message


def _addresses(value: object) -> Sequence[str]:
    if not isinstance(value, list) or not value:
        raise ValueError("it names no address")
    return [str(each) for each in value]


def _said(error: smtplib.SMTPResponseException) -> str:
    said = error.smtp_error
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
