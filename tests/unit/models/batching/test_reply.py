"""Whatever a model answers to several requests is taken apart without harm."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_workers.models.batching.prompt import build_prompt
from fleet_workers.models.batching.reply import Unfit, read_results
from fleet_workers.models.control import CONTROL_NAMES
from fleet_workers.models.messages import ChatReply
from unit.models.batching.members import member

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "text", "calls", "name", "arguments", "results"]), inner
        )
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_answered_is_a_result_for_each_or_unfit(data: st.DataObject) -> None:
    requests = [member(number) for number in range(3)]
    prompt = build_prompt(requests)
    results = [{"id": key, "text": data.draw(JSON), "calls": data.draw(JSON)} for key in prompt.ids]
    content = data.draw(st.just({"results": results}) | JSON)
    reply = ChatReply(
        text=json.dumps(content),
        tool_calls=(),
        model="m",
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        duration_seconds=0.0,
    )
    try:
        found = read_results(reply, prompt, requests)
    except Unfit:
        return
    assert len(found) == len(requests)
    for each in found:
        assert each.fault or each.text or each.calls
        assert all(call.name in {"find_order", *CONTROL_NAMES} for call in each.calls)
