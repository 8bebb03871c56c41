"""A local endpoint with a Batch API: what is sent there is answered when a test lets it be."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.batch_model import BatchModel
from support.model_endpoint import Body


@dataclass
class Batches:
    """What was sent, and what is told of it; `refuse` is a status for all of the Batch API."""

    model: BatchModel = field(default_factory=BatchModel)
    url: str = ""
    asked_at_once: list[Body] = field(default_factory=list)
    files: dict[str, list[Body]] = field(default_factory=dict)
    batches: dict[str, Body] = field(default_factory=dict)
    refuse: int | None = None
    cut_after: str | None = None
    """A path after whose work the connection is cut, as if the answer had been lost."""

    @property
    def questions(self) -> list[str]:
        """Keys of all that was sent, in order."""
        sent = [self.files[each["input_file_id"]] for each in self.batches.values()]
        return [line["custom_id"] for lines in sent for line in lines]

    def finish(self, status: str = "completed", *, answered: int | None = None) -> None:
        """End all batches; only so many of each have an answer."""
        for batch in self.batches.values():
            if batch["status"] != "in_progress":
                continue
            lines = self.files[batch["input_file_id"]]
            output = f"file-{len(self.files)}"
            told = [self._answer(line) for line in lines[:answered]]
            self.files[output] = told
            batch |= {"status": status, "output_file_id": output, "error_file_id": None}

    def _answer(self, line: Body) -> Body:
        body = json.loads(self.model("", line["body"]).parts[0])
        return {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}}

    def handle(self, method: str, path: str, raw: bytes) -> tuple[int, Any]:
        """Status and JSON, or text, for a request."""
        if path == "/chat/completions":
            body = json.loads(raw)
            self.asked_at_once.append(body)
            return 200, json.loads(self.model("", body).parts[0])
        if self.refuse is not None:
            return self.refuse, {"error": {"message": "Not here."}}
        if method == "POST":
            return 200, self._take_file(raw) if path == "/files" else self._take_batch(raw)
        match path.strip("/").split("/"):
            case ["batches"]:
                told: Any = {"data": list(self.batches.values())}
            case ["batches", name]:
                told = self.batches.get(name)
            case ["files", name, "content"]:
                told = "\n".join(json.dumps(each) for each in self.files[name])
            case _:
                told = None
        return (200, told) if told is not None else (404, {"error": {"message": "Not here."}})

    def _take_file(self, raw: bytes) -> Body:
        lines = [each for each in raw.splitlines() if each.startswith(b'{"custom_id"')]
        name = f"file-{len(self.files)}"
        self.files[name] = [json.loads(each) for each in lines]
        return {"id": name, "object": "file"}

    def _take_batch(self, raw: bytes) -> Body:
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {**json.loads(raw), "id": name, "status": "in_progress"}
        return self.batches[name]


@contextmanager
def batch_endpoint(model: BatchModel | None = None) -> Iterator[Batches]:
    """Serve until the block ends."""
    found = Batches(model=model or BatchModel())
    server = _Server(("127.0.0.1", 0), _handler(found))
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is an expected end."""


def _handler(batches: Batches) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer("GET", b"")

        def do_POST(self) -> None:
            self._answer("POST", self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 the base's name
            """Stay silent."""

        def _answer(self, method: str, raw: bytes) -> None:
            path = self.path.removeprefix("/v1").partition("?")[0]
            status, told = batches.handle(method, path, raw)
            if path == batches.cut_after:
                batches.cut_after = None
                self.close_connection = True
                return
            content = told.encode() if isinstance(told, str) else json.dumps(told).encode()
            self.send_response(status)
            kind = "text/plain" if isinstance(told, str) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
