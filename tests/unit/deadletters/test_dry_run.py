"""A dry run tells what a replay would do, and does none of it."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fleet_contracts.errors import (
    ConfigurationError,
    TransientError,
    Unavailable,
    UnknownAgent,
)
from fleet_contracts.outcome import OutcomeKind, ReviewKind
from fleet_workers.controller.ports import Ports
from fleet_workers.deadletters.dry_run import DryRun, DryRunner, Mode
from fleet_workers.deadletters.errors import NotDead
from fleet_workers.deadletters.trial import Trial
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.store.dead_letters import DeadLetter
from fleet_workers.store.journal import Step, StepKind, StepState
from fleet_workers.testing import MemoryJournal, ScriptedModel, answer, call, fail, run_agent
from fleet_workers.testing.tools import FakeTools, RecordingTools
from support.graveyard import AGENTS, Graveyard

TRACK = call("track_parcel", order_id="ord_7")
ASKED = "Where are ord_7 and ord_8? Refund me 40, 45 or 60 dollars."
REFUND = call("refund_order", order_id="ord_7", amount_usd="40")
TOLD = {"status": "lost", "price_usd": "40.00"}
AWAY = fail(Unavailable("overloaded"), times=None)


def steps_of(*script: Any) -> Sequence[Step]:
    """The journal of a run that ended in a failure."""
    journal = MemoryJournal()
    with pytest.raises(TransientError):
        run_agent(
            AGENTS / "parcels",
            ASKED,
            model=ScriptedModel([*script, AWAY]),
            tools={"track_parcel": TOLD, "refund_order": {"refunded": True}},
            journal=journal,
            attempts=1,
        )
    return journal.steps()


def interrupted(tool: str, arguments: dict[str, Any]) -> list[Step]:
    """A journal whose last call was begun and never finished."""
    steps = list(steps_of(call(tool, **arguments)))
    begun = max(step.seq for step in steps if step.kind is StepKind.TOOL)
    return [
        Step(
            seq=step.seq, kind=step.kind, name=step.name, request=step.request,
            state=StepState.STARTED, result=None,
        ) if step.seq == begun else step
        for step in steps[: begun + 1]
    ]  # fmt: skip


class Rehearsal:
    """Dry runs with a scripted model and tools that do nothing but reads."""

    def __init__(self, graveyard: Graveyard, *script: Any, trial: Trial | None = None) -> None:
        self.script = ScriptedModel(list(script))
        self.asked: list[ChatRequest] = []
        self.tools = RecordingTools(FakeTools({"track_parcel": TOLD}))
        self.runner = DryRunner(
            engine=graveyard.engine,
            installed=graveyard.catalogue,
            ports=Ports(
                model=self,
                tools=self.tools,
                recall=lambda _: [],
                model_timeout_seconds=5,
            ),
            agents_path=[AGENTS],
            trial=trial,
        )

    def complete(self, request: ChatRequest) -> ChatReply:
        self.asked.append(request)
        return self.script.complete(request)

    def run(self, letter: DeadLetter, mode: Mode = "resume") -> DryRun:
        return self.runner.run(letter.id, mode=mode)

    @property
    def made(self) -> list[str]:
        return [each.name for each in self.tools.made]


def test_a_resumed_run_uses_the_record_and_asks_only_for_the_rest(graveyard: Graveyard) -> None:
    letter = graveyard.dead(input=ASKED, steps=steps_of(TRACK, REFUND))
    rehearsal = Rehearsal(graveyard, TRACK, REFUND, answer("Refunded 40.00."))
    found = rehearsal.run(letter)
    assert found.outcome is not None
    assert (found.outcome.kind, found.outcome.answer) == (OutcomeKind.ANSWERED, "Refunded 40.00.")
    assert found.recorded is not None
    assert found.recorded.kind is OutcomeKind.DEAD
    assert (found.model_calls, found.answered_from_record, found.reads_made) == (1, 2, 0)
    assert (found.would_do, rehearsal.made) == ([], [])


def test_from_the_start_equal_calls_are_answered_from_the_record(graveyard: Graveyard) -> None:
    letter = graveyard.dead(input=ASKED, steps=steps_of(TRACK, REFUND))
    same_amount = call("refund_order", order_id="ord_7", amount_usd=40.0)
    rehearsal = Rehearsal(graveyard, TRACK, same_amount, answer("Refunded 40.00."))
    found = rehearsal.run(letter, "from_start")
    assert (found.model_calls, found.answered_from_record) == (3, 2)
    assert (found.would_do, rehearsal.made) == ([], [])
    assert found.outcome is not None
    assert found.outcome.kind is OutcomeKind.ANSWERED


def test_another_write_is_told_and_never_made(graveyard: Graveyard) -> None:
    letter = graveyard.dead(input=ASKED, steps=steps_of(TRACK, REFUND))
    other = call("refund_order", order_id="ord_7", amount_usd="45")
    rehearsal = Rehearsal(graveyard, TRACK, other, answer("Refunded."))
    found = rehearsal.run(letter, "from_start")
    assert [each.model_dump() for each in found.would_do] == [
        {
            "tool": "refund_order",
            "arguments": {"order_id": "ord_7", "amount_usd": "45"},
            "repeats": False,
        }
    ]
    assert rehearsal.made == []


def test_a_recorded_write_answers_one_call(graveyard: Graveyard) -> None:
    letter = graveyard.dead(input=ASKED, steps=steps_of(TRACK, REFUND))
    other_order = call("refund_order", order_id="ord_8", amount_usd="40")
    rehearsal = Rehearsal(graveyard, REFUND, other_order, answer("Both."))
    found = rehearsal.run(letter, "from_start")
    assert [each.arguments["order_id"] for each in found.would_do] == ["ord_8"]


def test_a_read_that_is_not_recorded_is_made(graveyard: Graveyard) -> None:
    letter = graveyard.dead(input=ASKED, steps=steps_of())
    rehearsal = Rehearsal(graveyard, TRACK, answer("It is lost."))
    found = rehearsal.run(letter, "from_start")
    assert (found.reads_made, rehearsal.made) == (1, ["track_parcel"])


def test_a_write_in_doubt_would_be_repeated_with_its_key(graveyard: Graveyard) -> None:
    begun = interrupted("refund_order", {"order_id": "ord_7", "amount_usd": "40"})
    letter = graveyard.dead(input=ASKED, steps=begun)
    refund = call("refund_order", order_id="ord_7", amount_usd="40")
    found = Rehearsal(graveyard, refund, answer("Done.")).run(letter)
    assert [(each.tool, each.repeats) for each in found.would_do] == [("refund_order", True)]


def test_a_call_that_needs_approval_would_go_to_a_person(graveyard: Graveyard) -> None:
    letter = graveyard.dead(input=ASKED, steps=steps_of(TRACK))
    dear = call("refund_order", order_id="ord_7", amount_usd="60")
    found = Rehearsal(graveyard, TRACK, dear).run(letter)
    assert found.outcome is not None
    assert found.outcome.review_kind is ReviewKind.APPROVAL
    assert found.would_do == []


def test_an_endpoint_that_is_still_away_is_a_fault_that_may_pass(graveyard: Graveyard) -> None:
    letter = graveyard.dead(input=ASKED, steps=steps_of(TRACK))
    found = Rehearsal(graveyard, TRACK, AWAY).run(letter)
    assert found.outcome is None
    assert found.fault is not None
    assert (found.fault.code, found.fault.retryable) == ("unavailable", True)


def test_nothing_in_the_store_changes(graveyard: Graveyard) -> None:
    letter = graveyard.dead(input=ASKED, steps=steps_of(TRACK, REFUND))
    before, steps = graveyard.task(letter.task_id), graveyard.count("steps")
    for mode in ("resume", "from_start"):
        Rehearsal(graveyard, TRACK, REFUND, answer("Refunded.")).run(letter, mode)
    assert graveyard.task(letter.task_id) == before
    assert (graveyard.count("steps"), graveyard.count("outbox")) == (steps, 0)
    assert graveyard.read(letter) == letter
    # and it can still be replayed
    graveyard.replay(letter)


def test_a_message_without_a_task_runs_from_its_start(graveyard: Graveyard) -> None:
    body = '{"tenant": "acme", "agent": "parcels", "input": "Where is ord_7?"}'
    letter = graveyard.letter(reason="unknown_tenant", error="No tenant.", body=body)
    found = Rehearsal(graveyard, TRACK, answer("It is lost.")).run(letter)
    assert (found.recorded, found.model_calls) == (None, 2)
    assert graveyard.count("tasks") == 0


def test_what_a_replay_would_refuse_is_refused(graveyard: Graveyard) -> None:
    letter = graveyard.dead()
    graveyard.set_task(letter.task_id, state="running")
    with pytest.raises(NotDead):
        Rehearsal(graveyard).run(letter)


# --- another release -----------------------------------------------------------------------------


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A folder with a newer parcels agent, and with one that is installed nowhere."""
    for name in ("parcels", "couriers"):
        shutil.copytree(AGENTS / "parcels", tmp_path / name)
        manifest = tmp_path / name / "agent.toml"
        manifest.write_text(manifest.read_text().replace('name = "parcels"', f'name = "{name}"'))
        (tmp_path / name / "prompts" / "v2.md").write_text("You are the second prompt.")
    return tmp_path


def test_another_prompt_is_tried(graveyard: Graveyard, newer: Path) -> None:
    letter = graveyard.dead(input=ASKED, steps=steps_of(TRACK))
    trial = Trial(folder=newer, prompt="v2")
    rehearsal = Rehearsal(graveyard, TRACK, answer("It is lost."), trial=trial)
    found = rehearsal.run(letter, "from_start")
    assert found.release == "parcels@v2-trial"
    assert "second prompt" in str(rehearsal.asked[0].messages[0])
    assert found.answered_from_record == 1


def test_an_agent_from_a_folder_stands_in_for_one_that_is_gone(
    graveyard: Graveyard, newer: Path
) -> None:
    letter = graveyard.dead(agent="couriers")
    with pytest.raises(UnknownAgent):
        Rehearsal(graveyard).run(letter)
    found = Rehearsal(graveyard, answer("Hello."), trial=Trial(folder=newer)).run(letter)
    assert found.release is not None
    assert found.release.startswith("couriers@v1-")


@pytest.mark.parametrize(
    ("prompt", "words"), [("v9", "There are: v1"), ("../v1", "no version"), ("2", "no version")]
)
def test_a_prompt_that_is_not_there_is_named(graveyard: Graveyard, prompt: str, words: str) -> None:
    letter = graveyard.dead()
    with pytest.raises(ConfigurationError, match=words):
        Rehearsal(graveyard, trial=Trial(prompt=prompt)).run(letter)
