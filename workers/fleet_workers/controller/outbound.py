"""Gathers from the journal what an answer is held against before it leaves."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from fleet_workers.controller.conversation import system_text
from fleet_workers.controller.plan import call_result
from fleet_workers.controller.situation import Situation
from fleet_workers.controller.trust import trust_before
from fleet_workers.rails.deeds import Deeds, write_words
from fleet_workers.rails.leaks import Guarded
from fleet_workers.rails.normalise import normalise
from fleet_workers.rails.outbound import Background, OutboundReport, check_outbound
from fleet_workers.rails.provenance import leaves
from fleet_workers.store.journal import Step, StepKind, StepState

_CUSTOMER_FIELDS: Final = ("customer", "customer_id")
_VERSION_WITH_TIME: Final = 7


def check_text(situation: Situation, text: str) -> OutboundReport:
    """What stands against sending a text to the customer of the task.

    The same journal gives the same verdicts, while the values of the variables that the agent's
    file names stay as they are: the text must hold none of them.
    """
    return check_outbound(text, background_of(situation))


def background_of(situation: Situation) -> Background:
    """What is known when an answer is given. What the tools see of the environment is secret."""
    environment = situation.environment
    release, steps = situation.release, situation.steps
    manifest = release.manifest
    done = [each for each in steps if _is_done_call(each)]
    writes = [each for each in done if each.request.get("effect") == "write"]
    succeeded = [each for each in writes if "value" in (each.result or {})]
    results = [call_result(each) for each in done]
    arguments = [_text(each.request["arguments"]) for each in succeeded]
    customer = situation.envelope.customer
    own, foreign = _by_owner(results, customer)
    said_before = [text for role, text in _turns(steps) if role != "user"]
    return Background(
        guarded=Guarded(
            secrets={
                name: environment[name] for name in manifest.environment if name in environment
            },
            instructions=system_text(release, None),
            asked=_asked(situation),
            own=[*own, *arguments, *said_before],
            foreign=foreign,
            sensitive=trust_before(situation, len(steps)).sensitive,
            foreign_ids=frozenset(_customers_in(results)) - {customer or ""},
            customer=customer,
        ),
        deeds=Deeds(
            writes=tuple(_words_of(situation, each) for each in succeeded),
            records=write_words([*own, *said_before]),
        ),
        tools=[each.name for each in release.tools],
        tools_done=frozenset(each.name for each in succeeded),
        policy=manifest.answers.policy(),
        prompt=release.prompt,
        today=_day_of(situation.envelope.id),
    )


def _is_done_call(step: Step) -> bool:
    return step.kind is StepKind.TOOL and step.state is StepState.DONE


def _asked(situation: Situation) -> list[str]:
    """What the customer, the calling system and people who decided have said."""
    envelope = situation.envelope
    decided = [
        str(step.result["text"])
        for step in situation.steps
        if step.kind is StepKind.REVIEW and step.result is not None and step.result.get("text")
    ]
    turns = [text for role, text in _turns(situation.steps) if role == "user"]
    asked = [normalise(envelope.input).text, _text(envelope.data), envelope.customer or ""]
    return [each for each in (*asked, *turns, *decided) if each]


def _turns(steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    for step in steps:
        if step.kind is StepKind.MEMORY and step.result is not None:
            for turn in step.result.get("turns", ()):
                yield str(turn.get("role")), str(turn.get("content"))


def _words_of(situation: Situation, step: Step) -> str:
    """What a write was, in words: what it is called, says of itself, and gave."""
    tool = situation.release.tools.get(step.name)
    of_tool = (tool.description.partition("\n")[0], *tool.asked_by) if tool is not None else ()
    return write_words([step.name, *of_tool, _text(call_result(step))])


def _by_owner(results: Sequence[Any], customer: str | None) -> tuple[list[str], list[str]]:
    """The results as text: what is this customer's or nobody's, and the records of others."""
    foreign: list[Any] = []
    own = [_without_foreign(each, customer, foreign) for each in results]
    return [_text(each) for each in own], [_text(each) for each in foreign]


def _without_foreign(value: Any, customer: str | None, foreign: list[Any]) -> Any:
    if isinstance(value, Mapping):
        owners = {str(value[name]) for name in _CUSTOMER_FIELDS if _names_one(value.get(name))}
        if customer is not None and owners and customer not in owners:
            foreign.append(value)
            return None
        return {key: _without_foreign(each, customer, foreign) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_foreign(each, customer, foreign) for each in value]
    return value


def _customers_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (str(value[each]) for each in _CUSTOMER_FIELDS if _names_one(value.get(each)))
    if isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _customers_in(each)


def _names_one(value: Any) -> bool:
    return (
        isinstance(value, str | int) and not isinstance(value, bool) and bool(list(leaves(value)))
    )


def _day_of(task: UUID) -> date | None:
    """The day on which the task was made, where its id says it (UUIDv7, RFC 9562)."""
    if task.version != _VERSION_WITH_TIME:
        return None
    return datetime.fromtimestamp((task.int >> 80) / 1000, UTC).date()


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
