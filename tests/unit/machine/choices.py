"""What hypothesis chooses from: scripts of requests, and strikes at workers."""

from hypothesis import strategies as st

from unit.machine.strikes import STRIKES, Strike
from unit.machine.writer import ENDS, WISHES

PLACES = st.integers(0, 5)
_ACTIONS = sorted({action for actions in STRIKES.values() for action in actions})
STRIKE = st.builds(
    Strike,
    action=st.sampled_from(("kill", "kill", "stall", "stall", *_ACTIONS)),
    nth=st.one_of(st.integers(0, 2), st.integers(0, 4), st.integers(0, 15)),
    at=st.sampled_from(("", "", "", "tool", "model", "journal", "leave", "fence", "send")),
)
STRUCK = st.lists(STRIKE, min_size=1, max_size=3)
SENDING = st.lists(
    st.builds(
        Strike,
        action=st.sampled_from(STRIKES["send"]),
        nth=st.integers(0, 2),
        at=st.just("send"),
    ),
    max_size=1,
)
SCRIPT = {
    "wishes": st.lists(st.sampled_from(WISHES), min_size=1, max_size=3),
    "together": st.integers(1, 2),
    "end": st.sampled_from(("answer", "answer", "answer", *ENDS)),
}
