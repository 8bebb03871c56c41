"""What chaos tasks ask for: texts that name a script, a kill point, and the effects intended."""

import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.ids import task_id_for_key
from fleet_workers.testing import calls
from fleet_workers.testing.replies import Says, answer, call

TENANT = "acme"
_TAG = re.compile(r"\[(task|do|pay|kill|stall|poison):([a-z0-9_,]+)\]")
SLOW_POINT = "during_request"
SLOW_WORD = "please take your time"
"""In a write's text: the business does it `SLOW_SECONDS` after it was asked."""
SLOW_SECONDS = 6.0  # longer than a takeover, shorter than a tool's timeout
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
    """One task and what is done to its workers, each at the point named, or "" for nothing.

    `kill` kills one worker, `stall` stops one past its lease, `poison` kills every one.
    """

    ref: str
    script_name: str
    customer: str
    payment: str
    kill: str = ""
    stall: str = ""
    poison: str = ""
    session_id: str | None = None

    def __str__(self) -> str:
        harm = f"{self.kill}{self.stall and 'stall ' + self.stall}{self.poison and 'poison'}"
        return f"{self.ref} {self.script_name} {harm or 'unharmed'}"

    @property
    def script(self) -> Script:
        return SCRIPTS[self.script_name]

    @property
    def envelope(self) -> TaskEnvelope:
        """The same each time: the id follows from the idempotency key."""
        tags = {
            "task": self.ref,
            "do": self.script_name,
            "pay": self.payment,
            "kill": self.kill,
            "stall": self.stall,
            "poison": self.poison,
        }
        words = " ".join(f"[{name}:{value}]" for name, value in tags.items() if value)
        return build_envelope(
            tenant=TENANT,
            agent=self.script.agent,
            input=f"Please see to my case, it is about 0.01 USD. {words}",
            customer=self.customer,
            session_id=self.session_id,
            idempotency_key=f"chaos-{self.ref}",
        )

    @property
    def id(self) -> UUID:
        return task_id_of(self.ref)


def task_id_of(ref: str) -> UUID:
    """The task's id: it follows from its idempotency key."""
    return task_id_for_key(TENANT, f"chaos-{ref}")


def read_tags(text: str) -> dict[str, str]:
    """The tags of a task's text, by name."""
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
    pace = f", {SLOW_WORD}" if tags.get("kill", "").endswith(SLOW_POINT) else ""
    reason = f"{opening}, version {asked_before}{pace} [task:{tags['task']}]"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """The points at which the tasks of a stream kill, stall and poison their workers."""

    kill: Sequence[str]
    resumed: Sequence[str]
    stall: Sequence[str] = ()
    poison: Sequence[str] = ()


def task_stream(
    harm: Harm, *, prefix: str, customers: Sequence[tuple[str, str]], seed: int
) -> Iterator[ChaosTask]:
    """Tasks without end: three that harm their worker, then three unharmed ones of one session.

    Every kill point meets every script that reaches it, in an order that the seed decides. The
    stalls and the poison come once each, among the first.
    """
    order = random.Random(seed)
    names = [name for name, script in SCRIPTS.items() if not script.needs_approval]
    kills = [{"script_name": name, "kill": point} for name in names for point in harm.kill]
    kills += [{"script_name": "bonus", "kill": point} for point in harm.resumed] * 2
    order.shuffle(kills)
    # Whoever goes on with an incident after another has taken it over opens a second one.
    once = [{"script_name": "incident", "stall": point} for point in harm.stall]
    once += [{"script_name": "refund", "poison": point} for point in harm.poison]
    order.shuffle(once)
    deeds = itertools.cycle(kills)
    numbers = itertools.count()
    while True:
        group = [next(deeds), next(deeds), once.pop() if once else next(deeds)]
        session = f"chaos-{prefix}{order.getrandbits(48):012x}"
        group += [{"script_name": "refund", "session_id": session} for _ in range(3)]
        together = order.choice(customers)
        for fields in group:
            customer, payment = together if "session_id" in fields else order.choice(customers)
            yield ChaosTask(
                ref=f"{prefix}{next(numbers):04d}", customer=customer, payment=payment, **fields
            )
