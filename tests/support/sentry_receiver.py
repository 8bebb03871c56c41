"""What Sentry does on its side: takes envelopes over HTTP, and keeps the events in them."""

import contextlib
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.loopback import served


@dataclass
class SentryReceiver:
    """`answer` gives status and body, and may take its time."""

    dsn: str = ""
    answer: Callable[[], tuple[int, bytes]] = lambda: (200, b"{}")
    events: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        self.raw.append(body)
        lines = body.split(b"\n")
        place = 1  # the first line is the envelope's own
        while place + 1 < len(lines):
            if json.loads(lines[place]).get("type") == "event":
                self.events.append(json.loads(lines[place + 1]))
            place += 2


@contextlib.contextmanager
def sentry_receiver() -> Iterator[SentryReceiver]:
    """Take envelopes until the block ends."""
    receiver = SentryReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.take(body)
            status, content = receiver.answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: Any) -> None:
            pass

    with served(Handler) as port:
        receiver.dsn = f"http://key@127.0.0.1:{port}/1"
        yield receiver
