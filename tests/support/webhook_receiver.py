"""An outside system that takes webhooks: what came in, and what it answers, is up to the test."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Hook:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """`answer` takes a request and gives status and headers; it may take its time."""

    url: str = ""
    answer: Callable[[Hook], tuple[int, dict[str, str]]] = lambda _: (204, {})
    hooks: list[Hook] = field(default_factory=list)
    most_at_once: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _under_way: dict[str, int] = field(default_factory=dict)

    def take(self, hook: Hook) -> tuple[int, dict[str, str]]:
        with self.lock:
            self.hooks.append(hook)
            name = hook.headers.get("webhook-id", "")
            self._under_way[name] = self._under_way.get(name, 0) + 1
            self.most_at_once[name] = max(self.most_at_once.get(name, 0), self._under_way[name])
        try:
            return self.answer(hook)
        finally:
            with self.lock:
                self._under_way[name] -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever waits too long hangs up: expected here."""


@contextlib.contextmanager
def webhook_receiver() -> Iterator[Receiver]:
    """Serve on a loopback port until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            hook = Hook(
                path=self.path, headers={k.lower(): v for k, v in self.headers.items()}, body=body
            )
            status, headers = receiver.take(hook)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_words: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def raw_server(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """Let a function speak on the first connection, whatever it says; gives the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                speak(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(10)
