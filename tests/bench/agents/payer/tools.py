"""The payer's one tool. Its payments stand in a file outside the fleet, one a line."""

import os
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from fleet_workers.tools import ToolContext, tool

Pot = Annotated[str, Field(pattern=r"^pot_[0-9]+$", description="The pot's id")]


@tool(effect="write", repeat="idempotent", stakes="high", trusted=True)
def pay_out(
    context: ToolContext, pot_id: Pot, amount_usd: Annotated[Decimal, Field(gt=0)]
) -> dict[str, str]:
    """Pay out of a pot. Every call is kept, so that one too many would be seen."""
    line = f"{context.idempotency_key} {pot_id} {amount_usd}\n"
    file = os.open(context.environment["BENCH_PAYMENTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
    return {"pot_id": pot_id, "status": "paid"}
