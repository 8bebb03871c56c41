"""A local OpenAI-compatible endpoint whose every byte a test decides; it keeps what it got."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is answered. `parts` are sent one after another with `pause` seconds between them.

    Without `ends`, the connection is cut after the last part, before the reply's stated end.
    """

    parts: Sequence[bytes]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    wait: float = 0.0
    pause: float = 0.0
    ends: bool = True


@dataclass
class Asked:
    """What the endpoint was asked: path and body, in order."""

    paths: list[str] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.bodies)


@dataclass(frozen=True, kw_only=True)
class ModelEndpoint:
    """A running endpoint."""

    url: str
    asked: Asked


def told(content: object, status: int = 200, **headers: str) -> Told:
    """A reply in JSON; underscores in the headers' names stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Told(
        parts=[json.dumps(content).encode()],
        status=status,
        headers={"Content-Type": "application/json", **named},
    )


def refused(message: str, status: int = 400, *, param: str | None = None, **headers: str) -> Told:
    """An error in OpenAI's form."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return told({"error": error}, status, **headers)


def streamed(
    events: Sequence[object], *, done: bool = True, pause: float = 0.0, ends: bool = True
) -> Told:
    """Server-sent events."""
    parts = [f"data: {json.dumps(each)}\n\n".encode() for each in events]
    return Told(
        parts=[*parts, b"data: [DONE]\n\n"] if done else parts,
        headers={"Content-Type": "text/event-stream"},
        pause=pause,
        ends=ends,
    )


def usage(prompt: int = 100, completion: int = 10, cached: int | None = None) -> Body:
    """Usage as chat completions tell it."""
    found: Body = {"prompt_tokens": prompt, "completion_tokens": completion}
    return found if cached is None else found | {"prompt_tokens_details": {"cached_tokens": cached}}


def completion(text: str | None = "Hello.", **changes: Any) -> Body:
    """A chat completion; `changes` are fields of it, `finish_reason` and `tool_calls` included."""
    message: Body = {"role": "assistant", "content": text}
    if "tool_calls" in changes:
        message["tool_calls"] = changes.pop("tool_calls")
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": changes.pop("finish_reason", "stop"),
    }
    return {"model": "tested-1", "choices": [choice], "usage": usage(), **changes}


def chunk(delta: Body, finish_reason: str | None = None) -> Body:
    """A chunk of a streamed chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"model": "tested-1", "choices": [choice]}


Answering = Callable[[str, Body], Told]


@contextmanager
def model_endpoint(answering: Answering | Sequence[Told]) -> Iterator[ModelEndpoint]:
    """Serve until the block ends; of a sequence the last reply is given again and again."""
    asked = Asked()
    answer = answering if callable(answering) else _in_order(answering)
    server = _Server(("127.0.0.1", 0), _handler(answer, asked))
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield ModelEndpoint(url=f"http://127.0.0.1:{server.server_address[1]}/v1", asked=asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _in_order(replies: Sequence[Told]) -> Answering:
    left = list(replies)
    return lambda _path, _body: left.pop(0) if len(left) > 1 else left[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is an expected end."""


def _handler(answer: Answering, asked: Asked) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            path, body = self.path.removeprefix("/v1"), json.loads(raw)
            asked.paths.append(path)
            asked.bodies.append(body)
            asked.raw.append(raw)
            asked.connections.add(self.client_address)
            reply = answer(path, body)
            time.sleep(reply.wait)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            size = sum(map(len, reply.parts)) + (0 if reply.ends else 1)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            for part in reply.parts:
                self.wfile.write(part)
                time.sleep(reply.pause)
            self.close_connection = not reply.ends

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 the base's name
            """Stay silent."""

    return Handler
