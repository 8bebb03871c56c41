"""A collector inside the test process: takes spans over OTLP as protobuf, and keeps them."""

import contextlib
import gzip
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from support.loopback import served


@dataclass(frozen=True, kw_only=True)
class TakenSpan:
    """A span as it came. Ids are hexadecimal; `parent` and `error` are empty where there is none.

    `links` are span ids, `events` names with attributes.
    """

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    service: str
    attributes: dict[str, Any]
    links: list[str]
    events: list[tuple[str, dict[str, Any]]]
    error: str
    seconds: float


_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")


@dataclass
class Collector:
    """`answer` gives the status for a request and may take its time."""

    url: str = ""
    answer: Callable[[], int] = lambda: 200
    spans: dict[str, TakenSpan] = field(default_factory=dict)
    raw: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.lock:
            self.raw.append(body)
            for resource in request.resource_spans:
                service = _attributes(resource.resource.attributes).get("service.name", "")
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        # A span that two workers end is one span to every backend.
                        self.spans.setdefault(span.span_id.hex(), _taken(span, service))

    def trace_of(self, task_id: object) -> list[TakenSpan]:
        """All spans of the trace that tells of a task."""
        with self.lock:
            spans = list(self.spans.values())
        traces = {
            each.trace for each in spans if each.attributes.get("fleet.task.id") == str(task_id)
        }
        assert len(traces) <= 1, f"{task_id} is in {len(traces)} traces"
        return [each for each in spans if each.trace in traces]


def _taken(span: Any, service: str) -> TakenSpan:
    attributes = _attributes(span.attributes)
    return TakenSpan(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        kind=_KINDS[span.kind],
        service=service,
        attributes=attributes,
        links=[link.span_id.hex() for link in span.links],
        events=[(each.name, _attributes(each.attributes)) for each in span.events],
        error=attributes.get("error.type", "") if span.status.code == 2 else "",
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None


def assert_whole(spans: list[TakenSpan]) -> TakenSpan:
    """One root, and every other span under one that is there; gives the root."""
    ids = {each.id for each in spans}
    roots = [each for each in spans if not each.parent]
    orphans = [each.name for each in spans if each.parent and each.parent not in ids]
    assert not orphans, f"without their parent: {orphans}\n{drawn(spans)}"
    assert len(roots) == 1, f"roots: {[each.name for each in roots]}\n{drawn(spans)}"
    return roots[0]


def drawn(spans: list[TakenSpan]) -> str:
    """The trace as an indented list, for the words of a test that fails."""
    ids = {each.id for each in spans}

    def lines(parent: str, depth: int) -> list[str]:
        found = []
        for each in spans:
            if each.parent == parent or (not depth and each.parent not in ids and not parent):
                found += [f"{'  ' * depth}{each.name} {each.error}".rstrip()]
                found += lines(each.id, depth + 1)
        return found

    return "\n".join(lines("", 0))


@contextlib.contextmanager
def otlp_receiver() -> Iterator[Collector]:
    """Take spans until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status = collector.answer()
            if status == 200:
                zipped = self.headers.get("Content-Encoding") == "gzip"
                collector.take(gzip.decompress(body) if zipped else body)
            content = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: Any) -> None:
            pass

    with served(Handler) as port:
        collector.url = f"http://127.0.0.1:{port}"
        yield collector


def until_traced(
    collector: Collector, task_id: object, wanted: Callable[[list[TakenSpan]], bool]
) -> list[TakenSpan]:
    """Wait until a task's trace holds what is wanted; spans come some time after the work."""
    deadline = time.monotonic() + 30
    while True:
        spans = collector.trace_of(task_id)
        if wanted(spans):
            return spans
        assert time.monotonic() < deadline, f"spans of {task_id}:\n{drawn(spans)}"
        time.sleep(0.05)
