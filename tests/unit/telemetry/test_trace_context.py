from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.telemetry.trace_context import TraceContext, parse_traceparent, run_span_id

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read(trace_id: int, span_id: int, is_sampled: bool) -> None:
    context = TraceContext(trace_id=trace_id, span_id=span_id, is_sampled=is_sampled)
    assert parse_traceparent(str(context)) == context


@pytest.mark.parametrize(
    "header",
    [
        None,
        7,
        "",
        GOOD.upper(),
        GOOD[:-1],
        f"{GOOD}-more",
        GOOD.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    ],
)
def test_what_is_no_context_is_none(header: object) -> None:
    assert parse_traceparent(header) is None


def test_flags_that_are_not_known_yet_do_not_matter() -> None:
    found = parse_traceparent(GOOD[:-2] + "03")
    assert found is not None
    assert found.is_sampled


def test_a_runs_span_is_the_same_on_every_worker_and_another_for_each_run() -> None:
    task = UUID("01a21dd5-7435-7bb0-a572-6b285dfb43f3")
    ids = {run_span_id(task, epoch, what) for epoch in range(50) for what in ("process", "plan")}
    assert len(ids) == 100
    assert run_span_id(task, 3, "process") == run_span_id(UUID(str(task)), 3, "process")
