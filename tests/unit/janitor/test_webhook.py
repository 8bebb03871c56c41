"""One signed POST: what it carries, how long it may take, where it goes, what its answers mean."""

import base64
import hmac
import socket
import threading
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from fleet_workers.janitor.webhook import Receipt, WebhookSender, sign, signing_key
from support.webhook_receiver import Receiver, raw_server, webhook_receiver

SECRET = "whsec_" + base64.b64encode(b"a key of 24 random bytes").decode()
ID = UUID("0199d0f0-0000-7000-8000-000000000001")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as receiver:
        yield receiver


def post(
    url: str, body: str = '{"a": 1}', *, timeout_seconds: float = 5, secret: str = SECRET
) -> Receipt:
    with WebhookSender(url, signing_key(secret), timeout_seconds=timeout_seconds) as sender:
        return sender.send(ID, body)


def test_the_signature_is_that_of_the_convention() -> None:
    # The example of the convention's own specification
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    delivery = "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert (
        sign(key, delivery=delivery, timestamp=1614265330, body=body)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_what_comes_in_can_be_verified(receiver: Receiver) -> None:
    assert post(receiver.url, '{"ü": "\ud800"}').is_taken
    (hook,) = receiver.hooks
    assert hook.id == str(ID)
    assert abs(int(hook.headers["webhook-timestamp"]) - time.time()) < 5
    signed = f"{hook.id}.{hook.headers['webhook-timestamp']}.".encode() + hook.body
    expected = hmac.digest(b"a key of 24 random bytes", signed, "sha256")
    assert hook.headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert hook.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, Receipt(is_taken=True)),
        (202, {}, Receipt(is_taken=True)),
        (204, {}, Receipt(is_taken=True)),
        (410, {}, Receipt(is_taken=False, is_final=True, error="answered 410 Gone")),
        (404, {}, Receipt(is_taken=False, error="answered 404 Not Found")),
        (500, {}, Receipt(is_taken=False, error="answered 500 Internal Server Error")),
        (
            429,
            {"Retry-After": "120"},
            Receipt(
                is_taken=False, error="answered 429 Too Many Requests", retry_after_seconds=120
            ),
        ),
        (
            503,
            {"Retry-After": "soon"},
            Receipt(is_taken=False, error="answered 503 Service Unavailable"),
        ),
        (799, {}, Receipt(is_taken=False, error="answered 799 unknown status")),
    ],
)
def test_what_an_answer_means(
    receiver: Receiver, status: int, headers: dict[str, str], expected: Receipt
) -> None:
    receiver.answer = lambda _: (status, headers)
    assert post(receiver.url) == expected


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    with webhook_receiver() as elsewhere:
        receiver.answer = lambda _: (status, {"Location": elsewhere.url})
        receipt = post(receiver.url)
        assert not receipt.is_taken
        assert str(status) in receipt.error
        assert elsewhere.hooks == []


def test_a_receiver_that_hangs_is_left_after_the_time_out(receiver: Receiver) -> None:
    let_go = threading.Event()
    receiver.answer = lambda _: (204, {}) if let_go.wait(5) else (500, {})
    begun = time.monotonic()
    receipt = post(receiver.url, timeout_seconds=0.5)
    let_go.set()
    assert receipt == Receipt(is_taken=False, error="no answer within 0.5 s")
    assert time.monotonic() - begun < 2


def test_a_receiver_that_drips_its_head_is_left_too() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            time.sleep(0.1)
            connection.sendall(f"X-{number}: y\r\n".encode())

    with raw_server(drip) as url:
        begun = time.monotonic()
        assert not post(url, timeout_seconds=0.6).is_taken
        assert time.monotonic() - begun < 2


def test_a_body_without_end_is_not_read() -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with raw_server(flood) as url:
        assert post(url, timeout_seconds=5).is_taken


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://no-such-host.invalid/", "https://127.0.0.1:1/"]
)
def test_a_receiver_that_is_not_there_is_an_error_and_no_exception(url: str) -> None:
    receipt = post(url)
    assert not receipt.is_taken
    assert not receipt.is_final
    assert receipt.error


def test_garbage_for_an_answer_is_an_error() -> None:
    def babble(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"\x00\xff not HTTP\r\n\r\n")

    with raw_server(babble) as url:
        receipt = post(url)
    assert not receipt.is_taken
    assert receipt.error


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_???", "whsec_abc"])
def test_a_secret_that_cannot_sign_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match=r"empty|base64"):
        signing_key(secret)


def test_the_same_id_is_sent_each_time_and_the_time_is_of_the_try(receiver: Receiver) -> None:
    key = signing_key(str(uuid4()))
    with WebhookSender(receiver.url, key) as sender:
        for _ in range(3):
            assert sender.send(ID, "{}").is_taken
    assert [each.id for each in receiver.hooks] == [str(ID)] * 3
