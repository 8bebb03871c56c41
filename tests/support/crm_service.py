"""A small customer service over HTTP, and the OpenAPI document that describes it."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "CRM", "version": "1"},
    "paths": {
        "/customers/{customer_id}": {
            "parameters": [{"$ref": "#/components/parameters/CustomerId"}],
            "get": {
                "operationId": "getCustomer",
                "summary": "Look a customer up.",
                "parameters": [
                    {
                        "name": "fields",
                        "in": "query",
                        "schema": {"type": "array", "items": {"enum": ["name", "plan"]}},
                    },
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {
                                "schema": {"$ref": "#/components/schemas/Customer"}
                            }
                        }
                    }
                },
            },
        },
        "/tickets": {
            "post": {
                "operationId": "createTicket",
                "description": "Open a ticket.",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/NewTicket"}}
                    },
                },
                "responses": {
                    "201": {
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["id"],
                                    "properties": {"id": {"type": "string"}},
                                }
                            }
                        }
                    }
                },
            },
            "get": {"responses": {"200": {"description": "All"}}},
        },
        "/upload": {
            "post": {
                "operationId": "upload",
                "requestBody": {"content": {"multipart/form-data": {"schema": {}}}},
                "responses": {},
            }
        },
    },
    "components": {
        "parameters": {
            "CustomerId": {
                "name": "customer_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
            }
        },
        "schemas": {
            "Customer": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": {"type": "string"},
                    "plan": {"type": "string", "nullable": True},
                    "parent": {"$ref": "#/components/schemas/Customer"},
                },
            },
            "Kind": {"type": "string", "enum": ["question", "fault"]},
            "Part": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
                },
            },
            "NewTicket": {
                "allOf": [
                    {
                        "type": "object",
                        "properties": {"kind": {"$ref": "#/components/schemas/Kind"}},
                    },
                    {
                        "type": "object",
                        "required": ["id", "subject", "customer_id"],
                        "properties": {
                            "id": {"type": "string", "readOnly": True},
                            "subject": {"type": "string", "maxLength": 80},
                            "customer_id": {"type": "integer"},
                            "due": {"type": "string", "format": "date-time"},
                            "effort": {
                                "type": "number",
                                "minimum": 0,
                                "exclusiveMinimum": True,
                                "nullable": True,
                            },
                            "part": {"$ref": "#/components/schemas/Part"},
                            "json": {"type": "boolean"},
                        },
                    },
                ]
            },
        },
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as the service saw it; `path` is as it stood on the wire."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class Crm:
    """The service: what it saw, and what it answers next."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    status: int = 200
    kind: str = "application/json"
    answer: bytes = b"{}"
    drip_seconds: float = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that has had enough hangs up: expected here."""


@contextlib.contextmanager
def crm_service() -> Iterator[Crm]:
    """Serve until the block ends."""
    crm = Crm()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            parts = urlsplit(self.path)
            crm.seen.append(
                Seen(
                    method=self.command,
                    path=parts.path,
                    query=parse_qsl(parts.query),
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=json.loads(content) if content else None,
                )
            )
            self.send_response(crm.status)
            self.send_header("Content-Type", crm.kind)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", str(len(crm.answer)))
            self.end_headers()
            with contextlib.suppress(OSError):
                if not crm.drip_seconds:
                    self.wfile.write(crm.answer)
                    return
                for each in crm.answer:
                    self.wfile.write(bytes([each]))
                    time.sleep(crm.drip_seconds)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 http.server's names

        def log_message(self, *_words: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    crm.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield crm
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
