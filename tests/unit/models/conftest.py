"""Gateways to local endpoints."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from fleet_workers.models.asking import Asking
from fleet_workers.models.candidates import FALLBACK, MAIN, Candidate
from fleet_workers.models.capabilities import Capabilities
from fleet_workers.models.endpoint import Address
from fleet_workers.models.gateway import Gateway
from fleet_workers.resilience.breakers import Breakers
from unit.models.questions import PRICES

OpenGateway = Callable[..., Gateway]


@pytest.fixture
def gateway() -> Iterator[OpenGateway]:
    """Opens gateways: `gateway(url, other_url, models=…, asking options…)`."""
    opened: list[Gateway] = []

    def open_gateway(
        url: str,
        other: str | None = None,
        *,
        candidates: Mapping[str, list[Candidate]] | None = None,
        breakers: Breakers | None = None,
        **options: Any,
    ) -> Gateway:
        found = [Candidate(model="tested")]
        addresses = [Address(name=MAIN, base_url=url, api_key="k1")]
        if other is not None:
            found.append(Candidate(model="second", endpoint=FALLBACK))
            addresses.append(Address(name=FALLBACK, base_url=other, api_key="k2"))
        options.setdefault("capabilities", Capabilities())
        opened.append(
            Gateway(
                addresses=addresses,
                candidates=candidates or {"small": found},
                breakers=breakers or Breakers(),
                prices=PRICES,
                asking=Asking(**options),
            )
        )
        return opened[-1]

    yield open_gateway
    for each in opened:
        each.close()
