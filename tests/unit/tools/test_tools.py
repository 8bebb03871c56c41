"""Declaring tools, and calling them through the runtime against a real local server."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import (
    ConfigurationError,
    LeaseLost,
    PermanentError,
    TimedOut,
    TooEarly,
    Unavailable,
)
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.tools import Tool, ToolContext, tool
from fleet_workers.tools.repeat import Repeat
from fleet_workers.tools.runtime import ToolRuntime


class Refund(BaseModel):
    id: str
    amount_usd: Decimal


@tool(effect="write", repeat="idempotent")
def refund(
    context: ToolContext,
    payment_id: Annotated[str, Field(pattern="^pay_[0-9]+$", description="The payment")],
    amount_usd: Decimal,
) -> Refund:
    """Pay a payment back."""
    return Refund(id=f"{payment_id}/{context.idempotency_key}", amount_usd=amount_usd)


@tool(effect="read", timeout=timedelta(seconds=0.5))
def fetch(context: ToolContext, path: str) -> Any:
    """Fetch a page."""
    response = context.http.get(context.environment["BASE_URL"] + path)
    response.raise_for_status()
    return response.json()


@tool(effect="read")
def broken(context: ToolContext) -> dict[str, int]:
    """A tool with a bug."""
    return {"x": "not a number"}  # type: ignore[dict-item]


def reconcile(context: ToolContext) -> str | None:
    return "found" if context.customer == "c1" else None


@tool(effect="write", repeat="reconcile", reconciler=reconcile)
def order(context: ToolContext) -> str:
    """Order something."""
    return "ordered"


class Pages(BaseHTTPRequestHandler):
    hits: list[str] = []  # noqa: RUF012 one list for the whole test server

    def do_GET(self) -> None:
        self.hits.append(self.path)
        if self.path == "/slow":
            sleep(2)
        status = int(self.path[1:]) if self.path[1:].isdigit() else 200
        if self.path == "/flaky" and self.hits.count("/flaky") == 1:
            status = 503
        body = b"not json" if self.path == "/garbage" else b'{"ok": true}'
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def base_url() -> Iterator[str]:
    Pages.hits.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def call(
    each: Tool,
    base_url: str = "",
    *,
    repeat: Repeat | None = None,
    fence: Callable[[], None] = lambda: None,
    **arguments: Any,
) -> object:
    runtime = ToolRuntime(
        breakers=Breakers(), environment={"BASE_URL": base_url, "SECRET": "hidden"}
    )
    envelope = build_envelope(
        tenant="acme", agent="billing", input="x", customer=arguments.pop("customer", None)
    )
    try:
        return runtime.call(
            each,
            arguments,
            envelope=envelope,
            agent="billing",
            key="k1",
            environment=("BASE_URL",),
            repeat=repeat,
            fence=fence,
        )
    finally:
        runtime.close()


def test_a_function_becomes_a_schema_without_its_context() -> None:
    schema = refund.schema()["function"]
    assert schema["name"] == "refund"
    assert schema["description"] == "Pay a payment back."
    assert set(schema["parameters"]["properties"]) == {"payment_id", "amount_usd"}
    assert schema["parameters"]["required"] == ["payment_id", "amount_usd"]
    assert schema["parameters"]["additionalProperties"] is False


def test_arguments_are_validated_and_the_result_is_ready_for_json() -> None:
    assert call(refund, payment_id="pay_1", amount_usd="5.00") == {
        "id": "pay_1/k1",
        "amount_usd": "5.00",
    }
    with pytest.raises(ValueError, match=r"payment_id.*amount_usd"):
        refund.parse_arguments({"payment_id": "x", "amount_usd": "much"})
    with pytest.raises(ValueError, match="customer"):
        refund.parse_arguments({"payment_id": "pay_1", "amount_usd": 5, "customer": "other"})


def test_a_write_must_say_how_a_repeat_is_made_safe() -> None:
    def pay(context: ToolContext) -> None:
        """Pay."""

    def undocumented(context: ToolContext) -> None:
        pass

    def without_context(amount: int) -> None:
        """Pay."""

    with pytest.raises(ConfigurationError, match="repeat="):
        tool(effect="write")(pay)
    with pytest.raises(ConfigurationError, match="docstring"):
        tool(effect="read")(undocumented)
    with pytest.raises(ConfigurationError, match="ToolContext"):
        tool(effect="read")(without_context)
    with pytest.raises(ConfigurationError, match="reconciler"):
        tool(effect="write", repeat="reconcile")(pay)


def test_a_blip_is_retried_in_place(base_url: str) -> None:
    assert call(fetch, base_url, path="/flaky") == {"ok": True}
    assert Pages.hits.count("/flaky") == 2


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/404", PermanentError),
        ("/500", Unavailable),
        ("/429", Unavailable),
        ("/slow", TimedOut),
        ("/garbage", PermanentError),
    ],
)
def test_failures_are_put_into_their_class(
    base_url: str, path: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="fetch"):
        call(fetch, base_url, path=path)


def test_a_server_that_asks_for_time_is_not_pressed(base_url: str) -> None:
    with pytest.raises(Unavailable) as caught:
        call(fetch, base_url, path="/429")
    assert caught.value.retry_after_seconds == 7
    assert Pages.hits.count("/429") == 1


def test_a_result_of_another_shape_is_an_error_of_the_tool() -> None:
    with pytest.raises(PermanentError, match="another shape"):
        call(broken)


def test_a_resumed_write_is_looked_up_before_it_is_repeated() -> None:
    asked: list[str] = []
    late = Repeat(begun_seconds_ago=60, again=lambda: asked.append("again"))
    assert call(order, repeat=late, customer="c1") == "found"
    assert asked == []
    assert call(order, repeat=late, customer="c2") == "ordered"
    assert asked == ["again"]


def test_a_write_that_may_still_be_under_way_is_not_repeated_yet() -> None:
    early = Repeat(begun_seconds_ago=3, again=lambda: pytest.fail("it was asked again"))
    assert call(order, repeat=early, customer="c1") == "found"
    with pytest.raises(TooEarly) as raised:
        call(order, repeat=early, customer="c2")
    assert raised.value.retry_after_seconds == pytest.approx(12)
    assert not raised.value.counts_attempt
    assert call(order, customer="c1") == "ordered"


@tool(effect="write", repeat="idempotent")
def look_then_write(context: ToolContext) -> str:
    """Look something up, then write."""
    for path in ("/look", "/write"):
        context.http.get(context.environment["BASE_URL"] + path).raise_for_status()
    return "written"


def test_a_worker_that_loses_its_task_inside_a_tool_sends_no_further_request(base_url: str) -> None:
    looks = iter([None, None])

    def fence() -> None:
        if next(looks, "lost") == "lost":
            raise LeaseLost("another worker holds the task")

    with pytest.raises(LeaseLost):
        call(look_then_write, base_url, fence=fence)
    assert "/look" in Pages.hits
    assert "/write" not in Pages.hits
    assert call(look_then_write, base_url) == "written"
