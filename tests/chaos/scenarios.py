"""What chaos tasks ask for: texts that name a script, a kill point, and the effects intended."""

import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_workers.testing import calls
from fleet_workers.testing.replies import Says, answer, call

TENANT = "acme"
_TAG = re.compile(r"\[(task|do|pay|kill|stall):([a-z0-9_,]+)\]")
_OPENINGS = (
    "as the customer asked",
    "because they wrote to us",
    "goodwill after a complaint",
    "following the request",
    "since it was wrong",
    "to put things right",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A sort of task: its agent, the writes it intends, and whether a crash may end in review."""

    agent: str
    effects: Mapping[str, int]
    may_be_in_doubt: bool = False
    needs_approval: bool = False


SCRIPTS: Mapping[str, Script] = {
    "refund": Script(agent="billing", effects={"refund_payment": 1}),
    "both": Script(agent="billing", effects={"refund_payment": 1, "apply_credit": 1}),
    "chain": Script(agent="billing", effects={"refund_payment": 1, "apply_credit": 1}),
    "incident": Script(agent="clerk", effects={"open_incident": 1}),
    "gift": Script(agent="clerk", effects={"apply_credit": 1}, may_be_in_doubt=True),
    "bonus": Script(agent="clerk", effects={"apply_credit": 1}, needs_approval=True),
}
"""refund, both and chain write idempotently, incident is reconciled, gift is not repeatable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosTask:
    """One task with what is done to its worker; `kill` and `stall` name points, or are empty."""

    ref: str
    script_name: str
    customer: str
    payment: str
    kill: tuple[str, ...] = ()
    stall: str = ""
    session_id: str | None = None
    envelope: TaskEnvelope = field(init=False)

    def __post_init__(self) -> None:
        tags = f"[task:{self.ref}] [do:{self.script_name}] [pay:{self.payment}]"
        if self.kill:
            tags += f" [kill:{','.join(self.kill)}]"
        if self.stall:
            tags += f" [stall:{self.stall}]"
        envelope = build_envelope(
            tenant=TENANT,
            agent=self.script.agent,
            input=f"Please see to my case. {tags}",
            customer=self.customer,
            session_id=self.session_id,
            idempotency_key=f"chaos-{self.ref}",
        )
        object.__setattr__(self, "envelope", envelope)

    @property
    def script(self) -> Script:
        return SCRIPTS[self.script_name]

    @property
    def id(self) -> UUID:
        return self.envelope.id


def read_tags(text: str) -> dict[str, str]:
    """The tags of a task's text: task, do, pay, kill, stall."""
    return dict(_TAG.findall(text))


def turn_of(messages: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], int]:
    """Whose conversation a model is shown, and how many replies it holds since the last request."""
    replies = 0
    for message in reversed(messages):
        if message["role"] == "user":
            return read_tags(str(message["content"])), replies
        replies += message["role"] == "assistant"
    return {}, replies


def reply_for(tags: Mapping[str, str], replies: int, asked_before: int) -> Says:
    """The model's next reply, worded anew each time that the same point is asked again."""
    opening = _OPENINGS[asked_before % len(_OPENINGS)]
    reason = f"{opening}, version {asked_before} [task:{tags['task']}]"
    refund = call("refund_payment", payment_id=tags["pay"], amount_usd="0.01", reason=reason)
    credit = call("apply_credit", amount_usd="0.01", reason=reason)
    lines: Mapping[str, tuple[Says, ...]] = {
        "refund": (call("list_payments"), refund),
        "both": (calls(refund, credit),),
        "chain": (refund, call("get_subscription"), credit),
        "incident": (call("open_incident", title=reason),),
        "gift": (call("give_gift", reason=reason),),
        "bonus": (call("give_bonus", reason=reason),),
    }
    script = lines[tags["do"]]
    return script[replies] if replies < len(script) else answer("It is done.")


def intended_of(effect: Mapping[str, Any]) -> str | None:
    """The task's reference in one of the business's recorded asks."""
    found = read_tags(json.dumps(effect["arguments"]))
    return found.get("task")


def task_stream(
    *,
    prefix: str,
    points: Sequence[str],
    customers: Sequence[tuple[str, str]],
    seed: int,
) -> Iterator[ChaosTask]:
    """Tasks without end: two that kill their worker, each at the next point, then one that does not.

    Every point meets every script that reaches it, in an order that the seed decides.
    """
    order = random.Random(seed)
    names = [name for name, script in SCRIPTS.items() if not script.needs_approval]
    pairs = [(name, point) for name in names for point in points]
    order.shuffle(pairs)
    for number, (name, point) in enumerate(itertools.cycle(pairs)):
        customer, payment = order.choice(customers)
        kill = () if number % 3 == 2 else (point,)  # noqa: PLR2004 two of three
        yield ChaosTask(
            ref=f"{prefix}{number:04d}",
            script_name=name,
            customer=customer,
            payment=payment,
            kill=kill,
        )
