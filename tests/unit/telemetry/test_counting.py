"""What is counted of a call that works, that fails, and that breaks."""

from decimal import Decimal

import pytest
from prometheus_client import REGISTRY as DEFAULT

from fleet_contracts.errors import TimedOut
from fleet_workers.telemetry import counting, meters
from fleet_workers.telemetry.meters import REGISTRY


def _value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_tool_call_counts_by_what_came_of_it() -> None:
    with counting.timed_tool_call("clerk", "of_this_test"):
        pass
    with pytest.raises(TimedOut), counting.timed_tool_call("clerk", "of_this_test"):
        raise TimedOut("late")
    with pytest.raises(ZeroDivisionError), counting.timed_tool_call("clerk", "of_this_test"):
        raise ZeroDivisionError
    for result in ("ok", "timed_out", "internal_error"):
        labels = {"agent": "clerk", "tool": "of_this_test", "result": result}
        assert _value("fleet_tool_calls_total", **labels) == 1, result
    assert _value("fleet_tool_call_seconds_count", tool="of_this_test") == 3


def test_a_reply_counts_tokens_and_money_and_what_is_not_priced() -> None:
    for cost_usd in (Decimal("0.25"), None):
        counting.count_reply(
            agent="clerk",
            model="of_this_test",
            tier="small",
            source="exact_cache",
            tokens={"input": 100, "cached": 0, "output": 7},
            cost_usd=cost_usd,
            saved_usd=Decimal("0.5"),
        )
    here = {"agent": "clerk", "model": "of_this_test"}
    assert _value("fleet_model_tokens_total", kind="input", **here) == 200
    assert _value("fleet_model_cost_usd_total", **here) == 0.25
    assert _value("fleet_model_unpriced_total", **here) == 1
    assert _value("fleet_model_saved_usd_total", agent="clerk", source="exact_cache") >= 1.0
    source = {"tier": "small", "source": "exact_cache"}
    assert _value("fleet_model_replies_total", **here, **source) == 2


def test_a_clock_that_was_put_back_counts_as_no_time() -> None:
    counting.observe_wait("agent_of_this_test", -5.0)
    assert _value("fleet_task_wait_seconds_sum", agent="agent_of_this_test") == 0
    assert _value("fleet_task_wait_seconds_count", agent="agent_of_this_test") == 1


def test_no_meter_is_told_by_anybody_else() -> None:
    others = {family.name for family in DEFAULT.collect()}
    assert not {name for name in others if name.startswith("fleet_")}
    assert meters.REGISTRY is not DEFAULT
