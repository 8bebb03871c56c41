"""A link that batches, over a gateway to a local endpoint."""

import json
from collections.abc import Callable

import pytest

from fleet_workers.models.batching.link import Batched
from fleet_workers.models.messages import ChatRequest
from unit.models.conftest import OpenGateway
from unit.models.questions import PRICES

OpenLink = Callable[..., Batched]


def most_tokens(request: ChatRequest) -> int:
    schema = request.answer_schema.schema if request.answer_schema else None
    return len(json.dumps([request.messages, request.tools, schema])) + 200


@pytest.fixture
def link(gateway: OpenGateway) -> OpenLink:
    """Opens links: `link(url, gateway's options…)`."""

    def open_link(url: str, *arguments: object, **options: object) -> Batched:
        opened = gateway(url, *arguments, **options)
        return Batched(opened, prices=PRICES, most_tokens=most_tokens)

    return open_link
