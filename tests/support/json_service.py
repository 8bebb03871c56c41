"""A small HTTP service on a loopback port inside the test process: one function answers all."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.loopback import served

Answer = Callable[[str, dict[str, Any], Mapping[str, str]], tuple[int, Any]]
"""Takes path, JSON body and headers; gives status and JSON-ready value."""


@contextlib.contextmanager
def json_service(answer: Answer) -> Iterator[str]:
    """Serve POST requests until the block ends; gives the base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            status, value = answer(self.path.strip("/"), body, self.headers)
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: Any) -> None:
            pass

    with served(Handler) as port:
        yield f"http://127.0.0.1:{port}"
