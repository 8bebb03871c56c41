"""Asks each model one short question, so that an operator need not wait for a task to try it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from pydantic import BaseModel, ConfigDict

from fleet_contracts.errors import FleetError
from fleet_workers.models.asking import Asking
from fleet_workers.models.candidates import Candidate
from fleet_workers.models.control import CONTROL_SCHEMAS
from fleet_workers.models.endpoint import Address
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.messages import ChatRequest
from fleet_workers.models.prices import PriceList
from fleet_workers.resilience.breakers import Breakers

_WAIT_SECONDS: Final = 30.0
_QUESTION: Final = "This is a trial. Answer with the text: ready."


class Probe(BaseModel):
    """What came of it. `fault` is None where the model answered."""

    model_config = ConfigDict(frozen=True)

    model: str
    fault: str | None = None
    seconds: float | None = None
    calls_tools: bool | None = None
    cost_usd: Decimal | None = None


def probe(
    candidates: Sequence[Candidate],
    *,
    addresses: Sequence[Address],
    prices: PriceList,
    asking: Asking,
) -> list[Probe]:
    """Ask each for a tool call, as agents do; what it lacks is learned by `asking`.

    No breaker of the fleet hears of it, and no ledger: what it costs stands in the result.
    """
    return [_probe(each, addresses, prices, asking) for each in candidates]


def _probe(
    candidate: Candidate, addresses: Sequence[Address], prices: PriceList, asking: Asking
) -> Probe:
    gateway = Gateway(
        addresses=addresses,
        candidates={"small": [candidate]},
        breakers=Breakers(),
        prices=prices,
        asking=asking,
    )
    request = ChatRequest(
        messages=[{"role": "user", "content": _QUESTION}],
        tools=[*CONTROL_SCHEMAS],
        timeout_seconds=_WAIT_SECONDS,
    )
    try:
        reply = gateway.complete(request)
    except FleetError as error:
        return Probe(model=str(candidate), fault=str(error))
    finally:
        gateway.close()
    return Probe(
        model=str(candidate),
        seconds=round(reply.duration_seconds, 3),
        calls_tools=bool(reply.tool_calls),
        cost_usd=reply.cost_usd,
    )
