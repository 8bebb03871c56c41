"""The table of states against the diagram in the design."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contracts.states import (
    OPEN_STATES,
    SETTLED_STATES,
    TRANSITIONS,
    TaskState,
    may_follow,
)

# Written down from the diagram of a task's life, arrow by arrow.
_DIAGRAM = {
    "queued": "running",
    "running": "succeeded rejected retrying in_review dead",
    "retrying": "queued",
    "in_review": "running succeeded rejected",
    "dead": "queued",
}


@pytest.mark.parametrize(
    ("current", "following"),
    [(one, other) for one, others in _DIAGRAM.items() for other in others.split()],
)
def test_every_arrow_of_the_diagram_is_allowed(current: str, following: str) -> None:
    assert may_follow(TaskState(current), TaskState(following))


@pytest.mark.parametrize("state", sorted(OPEN_STATES))
def test_an_open_task_can_be_cancelled_and_can_expire(state: TaskState) -> None:
    assert may_follow(state, TaskState.CANCELLED)
    assert may_follow(state, TaskState.EXPIRED)


def test_the_table_covers_every_state_and_none_follows_itself() -> None:
    assert set(TRANSITIONS) == set(TaskState)
    assert set(TaskState) == OPEN_STATES | SETTLED_STATES
    assert not OPEN_STATES & SETTLED_STATES
    assert not any(may_follow(state, state) for state in TaskState)


@given(st.lists(st.sampled_from(TaskState), max_size=30))
def test_only_a_replay_leads_out_of_a_settled_state(wishes: list[TaskState]) -> None:
    state = TaskState.QUEUED
    for wish in wishes:
        if not may_follow(state, wish):
            continue
        if state in SETTLED_STATES:
            assert (state, wish) == (TaskState.DEAD, TaskState.QUEUED)
        state = wish
