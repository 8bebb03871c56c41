"""Why a dead letter cannot be replayed or discarded. They stand in the fleet's tree.

InvalidInput
├── UnknownDeadLetter   no dead letter of that id in the caller's tenant
├── AlreadySettled      it was replayed or discarded before
├── NotDead             its task is not dead
└── Overdue             its task's deadline has passed
"""

from fleet_contracts.errors import InvalidInput


class UnknownDeadLetter(InvalidInput):
    """No dead letter of that id exists in the caller's tenant."""

    code = "unknown_dead_letter"


class AlreadySettled(InvalidInput):
    """The dead letter was replayed or discarded before."""

    code = "already_settled"


class NotDead(InvalidInput):
    """The task is open or has ended, so there is nothing to replay."""

    code = "not_dead"


class Overdue(InvalidInput):
    """The task's deadline has passed: it would expire instead of running."""

    code = "overdue"
