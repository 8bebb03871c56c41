"""What 1,000 tasks cost in models: all levers off, each alone, all on; and what came out wrong."""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from sqlalchemy import func, select

from bench.drain import reach
from bench.figures import Figure, Remark, Said
from bench.fleet_run import bench_fleet
from bench.traffic.classifiers import Classifier, make_models, safe_threshold, wrong_share
from bench.traffic.endpoint import PRICE_FILE, Bill, serve_models, tiers
from bench.traffic.messages import Arrival, Corpus, draw, load_corpus
from fleet_client.options import TaskItem
from fleet_contracts.states import OPEN_STATES, TaskState
from fleet_workers.store.money_tables import spend_entries
from fleet_workers.store.tables import tasks
from support.fleet_processes import Fleet
from support.stacks import Stack, open_stack

_AGENT = "adviser"
_TASKS = 1000
_MESSAGES = 3000
_EXPONENT = 1.0
_EXAMPLES_LEARNT = {"small": 30, "large": None}
_REVIEW_BELOW = 0.5
_EXAMPLES = 30  # an intent
_SLOTS = 64
_A_SECOND = 40
_AT_ONCE = 10

_OFF = 'tier = "large"'
_NO_CACHE = "[cache]\nexact = false"
_EXACT = "[cache]\nexact = true"
_SEMANTIC = "[cache]\nexact = true\nsemantic = true"
_BATCHING = "[batching]\nmost = 8"
_TIERS = 'tier = "auto"'
_CLIMB = '[tiers]\nhighest = "large"\nhard_from = 0.9\nclimb_below = {threshold}'

ARMS: dict[str, Sequence[str]] = {
    "off": (_OFF, _NO_CACHE),
    "exact_cache": (_OFF, _EXACT),
    "semantic_cache": (_OFF, _SEMANTIC),
    "batching": (_OFF, _NO_CACHE, _BATCHING),
    "tiers": (_TIERS, _NO_CACHE, _CLIMB),
    "tiers_and_cache": (_TIERS, _SEMANTIC, _CLIMB),
    "all": (_TIERS, _SEMANTIC, _BATCHING, _CLIMB),
}
"""The lines of agent.toml that an arm adds; those without a section come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What came of an arm's tasks, and the endpoint's bill."""

    bill: Bill
    ledger_usd: Decimal
    outcomes: Counter[str]

    @property
    def calls(self) -> int:
        """Requests to the endpoint."""
        return sum(self.bill.calls.values())


def measure() -> Iterator[Said]:
    """Run each arm on the same stream of tasks, on servers of its own."""
    corpus = load_corpus()
    stream = draw(corpus, tasks=_TASKS, messages=_MESSAGES, exponent=_EXPONENT)
    yield from _mix(stream)
    models = make_models(corpus, _EXAMPLES_LEARNT)
    threshold = safe_threshold(models, corpus.known, review_below=_REVIEW_BELOW)
    sent = corpus.sent[:_MESSAGES]
    for tier, model in models.items():
        wrong = wrong_share(model, sent) * 100
        yield Figure(name=f"costs.model_{tier}.wrong_alone", value=wrong, unit="% of messages")
    yield Remark(text=f"tiers climb below {threshold}, as found on held-out messages")
    base: Ended | None = None
    for name, lines in ARMS.items():
        filled = [each.replace("{threshold}", str(threshold)) for each in lines]
        ended = _run(filled, corpus, stream, models)
        base = base or ended
        yield from _figures(f"costs.{name}", ended, base)


def _mix(stream: Sequence[Arrival]) -> Iterator[Said]:
    texts = {each.message.text for each in stream}
    asked = {(each.message.text, each.customer) for each in stream}
    banking = sum(not each.message.intent.count("_order") for each in stream)
    yield Remark(
        text=f"{len(stream)} tasks from {_MESSAGES} real messages of banking77 and bitext, drawn "
        f"with weights 1/rank^{_EXPONENT:g}; {len(texts)} different messages, {len(asked)} "
        f"different pairs of message and customer, {banking} not about orders"
    )


def _run(
    lines: Sequence[str],
    corpus: Corpus,
    stream: Sequence[Arrival],
    models: dict[str, Classifier],
) -> Ended:
    with (
        tempfile.TemporaryDirectory() as folder,
        open_stack("rabbitmq") as stack,
        serve_models(models) as (url, bill),
    ):
        prices = Path(folder) / "prices.toml"
        prices.write_text(PRICE_FILE, encoding="utf-8")
        _write_agent(Path(folder) / "agents", lines, corpus)
        environment = {
            **tiers(tuple(models)),
            "FLEET_AGENTS_PATH": str(Path(folder) / "agents"),
            "FLEET_PRICES": str(prices),
        }
        with bench_fleet(
            stack, slots=_SLOTS, model_url=url, agent=_AGENT, environment=environment
        ) as running:
            _submit(running.fleet, stream)
            reach(lambda: _is_over(stack, len(stream)))
        return Ended(bill=bill, ledger_usd=_ledger(stack), outcomes=_outcomes(stack, stream))


def _write_agent(folder: Path, lines: Sequence[str], corpus: Corpus) -> None:
    """An adviser who knows all pages of a help site, which stand in its prompt."""
    agent = folder / _AGENT
    (agent / "prompts").mkdir(parents=True)
    plain = "\n".join(each for each in lines if not each.startswith("["))
    sections = "\n\n".join(each for each in lines if each.startswith("["))
    (agent / "agent.toml").write_text(
        f'name = "{_AGENT}"\ntitle = "Adviser"\n'
        'description = "Tells customers which page of the help site answers them."\n'
        f"review_below = {_REVIEW_BELOW}\n{plain}\n\n"
        '[scope]\nhandles = ["Questions of customers of a bank or a shop"]\n'
        'never = ["Anything else"]\n\n'
        f"{sections}\n",
        encoding="utf-8",
    )
    pages = sorted({each.intent for each in corpus.known})
    _write_examples(agent / "examples.jsonl", corpus)
    listed = "\n".join(f"- {each.replace('_', ' ')}" for each in pages)
    (agent / "prompts" / "v1.md").write_text(
        "You advise customers of a bank and of a shop. Find the one page of the help site that "
        "answers the request and name it. Where the request names an order or an invoice, repeat "
        f"its number, so that the page opens for it.\n\nThe pages:\n{listed}\n",
        encoding="utf-8",
    )


def _write_examples(path: Path, corpus: Corpus) -> None:
    """What the agent's authors know of its requests: some with their intents, of those known."""
    counts: Counter[str] = Counter()
    with path.open("w", encoding="utf-8") as file:
        for each in corpus.known:
            counts[each.intent] += 1
            if counts[each.intent] <= _EXAMPLES:
                file.write(json.dumps({"text": each.text, "intent": each.intent}) + "\n")


def _submit(fleet: Fleet, stream: Sequence[Arrival]) -> None:
    begun = time.monotonic()
    with fleet.client() as client:
        for first in range(0, len(stream), _AT_ONCE):
            time.sleep(max(0.0, begun + first / _A_SECOND - time.monotonic()))
            items: list[str | TaskItem] = [
                {
                    "text": each.message.text,
                    "agent": _AGENT,
                    "customer": each.customer,
                    "idempotency_key": f"task {first + place}",
                }
                for place, each in enumerate(stream[first : first + _AT_ONCE])
            ]
            for result in client.submit_many(items):
                if result.error is not None:
                    raise result.error


def _states(stack: Stack) -> Counter[str]:
    with stack.engine.begin() as connection:
        return Counter(connection.execute(select(tasks.c.state)).scalars())


def _is_over(stack: Stack, count: int) -> bool:
    """Whether every task has come to its end or before a person."""
    states = _states(stack)
    at_work = OPEN_STATES - {TaskState.IN_REVIEW}
    return sum(states.values()) == count and not any(states[each] for each in at_work)


def _ledger(stack: Stack) -> Decimal:
    """What the fleet's own ledger says was spent."""
    query = select(func.coalesce(func.sum(spend_entries.c.amount_usd), 0))
    with stack.engine.begin() as connection:
        found: Decimal = connection.execute(query).scalar_one()
    return found


def _outcomes(stack: Stack, stream: Sequence[Arrival]) -> Counter[str]:
    """How many tasks ended right, wrong, before a person, or otherwise."""
    right = {each.message.text: each.message.right_answer for each in stream}
    found: Counter[str] = Counter()
    with stack.engine.begin() as connection:
        rows = connection.execute(select(tasks.c.state, tasks.c.envelope, tasks.c.outcome)).all()
    for row in rows:
        if row.state == TaskState.IN_REVIEW:
            found["review"] += 1
        elif row.state != TaskState.SUCCEEDED:
            found["other"] += 1
        else:
            said = (row.outcome or {}).get("answer")
            found["right" if said == right[row.envelope["input"]] else "wrong"] += 1
    return found


def _figures(name: str, ended: Ended, base: Ended) -> Iterator[Figure]:
    bill = ended.bill
    yield Figure(name=f"{name}.calls", value=ended.calls, unit="calls")
    for tier in _EXAMPLES_LEARNT:
        yield Figure(name=f"{name}.calls_{tier}", value=bill.calls[tier], unit="calls")
    yield Figure(name=f"{name}.prompt_tokens", value=bill.prompt_tokens, unit="tokens")
    yield Figure(name=f"{name}.completion_tokens", value=bill.completion_tokens, unit="tokens")
    yield Figure(
        name=f"{name}.cost", value=float(bill.cost_usd) / _TASKS * 1000, unit="USD/1,000 tasks"
    )
    saved = 1 - float(bill.cost_usd / base.bill.cost_usd)
    yield Figure(name=f"{name}.saved", value=saved * 100, unit="% of cost")
    for what in ("right", "wrong", "review", "other"):
        share = ended.outcomes[what] / _TASKS * 100
        yield Figure(name=f"{name}.{what}", value=share, unit="% of tasks")
    more = (ended.outcomes["wrong"] - base.outcomes["wrong"]) / _TASKS * 100
    yield Figure(name=f"{name}.more_wrong", value=more, unit="points")
    off = float(ended.ledger_usd / bill.cost_usd - 1) * 100
    yield Figure(name=f"{name}.ledger_off_bill", value=off, unit="%")
