"""Who may send which forms of the console."""

from typing import Annotated

from fastapi import Depends

from fleet_workers.store.accounts import KeyHolder
from fleet_workers.web.access import Right
from fleet_workers.web.console.sessions import visitor_who

DeskWorker = Annotated[KeyHolder, Depends(visitor_who(Right.DECIDE))]
"""Somebody who may decide reviews."""

FleetOperator = Annotated[KeyHolder, Depends(visitor_who(Right.OPERATE))]
"""Somebody who may pause agents, switch tools and replay dead letters."""
