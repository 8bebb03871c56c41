"""A service with OpenTelemetry of its own that hands tasks to the fleet, as a program.

Reads a JSON list of `{"text": …, "agent": …, "over_broker": …}` and prints the task ids as JSON.
The fleet's address and the collector's come from the environment.
"""

import json
import os
import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from fleet_client import FleetClient


def main() -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    api_url, api_key = os.environ["FLEET_API_URL"], os.environ["FLEET_API_KEY"]
    broker_url = os.environ["FLEET_BROKER_URL"]
    ids = []
    with (
        FleetClient(None, api_url, api_key, "acme") as over_http,
        FleetClient(broker_url, api_url, api_key, "acme") as over_broker,
    ):
        for each in json.load(sys.stdin):
            client = over_broker if each.pop("over_broker") else over_http
            with trace.get_tracer("shop").start_as_current_span("checkout"):
                ids.append(str(client.submit(each.pop("text"), **each).id))
    provider.shutdown()
    print(json.dumps(ids))  # noqa: T201 its output


if __name__ == "__main__":
    main()
