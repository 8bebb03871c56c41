"""Serves a script as an OpenAI-compatible endpoint on a loopback port."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from fleet_contracts.errors import ConfigurationError, FleetError, TransientError
from fleet_workers.models.messages import ChatRequest
from fleet_workers.testing.replies import Babbles, Fails, Reply, Says, Stalls


class Script(Protocol):
    """What `ScriptedModel` offers to its server."""

    def next_line(self, request: ChatRequest) -> tuple[Reply, int]:
        """The line that a request meets now, and the number of replies before it."""
        ...


class ScriptedServer:
    """A running endpoint. `url` is its base URL, for OPENAI_BASE_URL."""

    def __init__(self, script: Script, *, delay_seconds: float, port: int) -> None:
        self._script = script
        self._delay_seconds = delay_seconds
        self._lock = threading.Lock()
        self._calls = 0
        self._http = _Http(("127.0.0.1", port), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def calls(self) -> int:
        """Chat requests so far, failed ones included."""
        return self._calls

    def run(self) -> None:
        """Serve until `stop`."""
        self._http.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        """Stop and close all connections."""
        self._http.shutdown()
        self._http.server_close()

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for one chat request."""
        with self._lock:
            self._calls += 1
        time.sleep(self._delay_seconds)
        request = ChatRequest(messages=body["messages"], tools=body.get("tools") or [])
        try:
            line, step = self._script.next_line(request)
            while isinstance(line, Stalls):
                time.sleep(line.seconds)
                line, step = self._script.next_line(request)
        except FleetError as error:
            return _refusal(error)
        match line:
            case Fails():
                return _refusal(line.error)
            case Babbles():
                return 200, {"Content-Type": "application/json"}, line.text.encode()
            case Says():
                return _json(200, _completion(line, step, str(body.get("model", "scripted"))))


@contextmanager
def serve_script(script: Script, *, delay_seconds: float, port: int) -> Iterator[ScriptedServer]:
    """Serve until the block ends."""
    server = ScriptedServer(script, delay_seconds=delay_seconds, port=port)
    thread = threading.Thread(target=server.run, name="scripted model", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True  # idle keep-alive connections must not hold up the end
    request_queue_size = 256  # a pool of workers connects all at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up on a stalled call is an expected end."""


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # headers and body leave in one packet

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = json.loads(self.rfile.read(length))
            if self.path.endswith("/chat/completions"):
                self._send(*server.reply(body))
            else:
                self._send(*_json(404, _error("Only /chat/completions is served here.")))

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 the base's name
            """Stay silent."""

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _refusal(error: FleetError) -> tuple[int, dict[str, str], bytes]:
    if isinstance(error, TransientError):
        status, headers, body = _json(503, _error(str(error)))
        if error.retry_after_seconds is not None:
            headers["Retry-After"] = str(error.retry_after_seconds)
        return status, headers, body
    return _json(401 if isinstance(error, ConfigurationError) else 400, _error(str(error)))


def _error(text: str) -> dict[str, Any]:
    return {"error": {"message": text, "type": "scripted", "code": None, "param": None}}


def _json(status: int, content: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()


def _completion(line: Says, step: int, model: str) -> dict[str, Any]:
    tool_calls = [
        {
            "id": f"call_{step}_{index}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for index, (name, arguments) in enumerate(line.calls)
    ]
    message = {"role": "assistant", "content": line.text, "tool_calls": tool_calls or None}
    return {
        "id": f"chatcmpl-scripted-{step}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if tool_calls else "stop",
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
