"""What hypothesis chooses from: scripts of requests, and strikes at workers."""

from hypothesis import strategies as st

from unit.machine.strikes import STRIKES, Strike
from unit.machine.writer import ENDS, WISHES

PLACES = st.integers(0, 5)
_ANYWHERE = [(action, "") for action in ("kill", "stall", "away", "lost") for _ in range(6)]
_SOMEWHERE = [(action, point) for point, actions in STRIKES.items() for action in actions]
STRIKE = st.builds(
    lambda aim, nth: Strike(action=aim[0], at=aim[1], nth=nth),
    st.sampled_from(_ANYWHERE + _SOMEWHERE),
    st.one_of(st.just(0), st.integers(0, 2), st.integers(0, 8)),
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
