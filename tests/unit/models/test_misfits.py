"""A wrong setting of one model ends no task while another can answer, and is told loudly."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from fleet_contracts.errors import ConfigurationError, Unavailable
from fleet_workers.models.candidates import FALLBACK, Candidate
from fleet_workers.models.capabilities import UNSERVED_SECONDS, Capabilities, Lack
from support.model_endpoint import Told, completion, model_endpoint, refused, told
from unit.models.questions import question

HELLO = told(completion("Hello."))
NO_MODEL = refused("The model `tested` does not exist.", 404)
BUSY = refused("Busy.", 429, Retry_After="60")


@pytest.mark.parametrize("wrong", [refused("No key.", 401), refused("Not you.", 403), NO_MODEL])
def test_another_model_answers_where_a_setting_is_wrong(gateway: Any, wrong: Told) -> None:
    now = [0.0]
    capabilities = Capabilities(clock=lambda: now[0])
    with model_endpoint([HELLO]) as other, model_endpoint([wrong]) as first:
        asked = gateway(first.url, other.url, api="chat", capabilities=capabilities)
        with capture_logs() as logs:
            assert asked.complete(question()).endpoint == FALLBACK
        errors = [each for each in logs if each["log_level"] == "error"]
        assert [each["event"] for each in errors] == ["model.misconfigured"]
        assert errors[0]["model"] == "tested"
        # I expect the wrong one to be left alone for a while, and tried again after that
        assert Lack.SERVICE in capabilities.lacks(Candidate(model="tested"))
        asked.complete(question())
        assert len(first.asked) == 1
        now[0] = UNSERVED_SECONDS
        asked.complete(question())
        assert len(first.asked) == 2
        assert len(other.asked) == 3


def test_where_no_model_is_served_the_first_fault_is_told(gateway: Any) -> None:
    with model_endpoint([refused("No key.", 401)]) as other, model_endpoint([NO_MODEL]) as first:
        asked = gateway(first.url, other.url, api="chat")
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"FLEET_MODEL_|OPENAI_API_KEY"):
                asked.complete(question())
        assert (len(first.asked), len(other.asked)) == (2, 2)


def test_a_task_waits_for_a_model_that_is_away_beside_one_that_is_wrong(gateway: Any) -> None:
    with (
        model_endpoint([BUSY]) as other,
        model_endpoint([NO_MODEL]) as first,
        pytest.raises(Unavailable) as raised,
    ):
        gateway(first.url, other.url, api="chat").complete(question())
    assert raised.value.retry_after_seconds == 60


def test_what_only_stands_in_and_refuses_leaves_the_fault_of_the_first(gateway: Any) -> None:
    with (
        model_endpoint([refused("Bad.", 400)]) as other,
        model_endpoint([NO_MODEL]) as first,
        pytest.raises(ConfigurationError, match="FLEET_MODEL_"),
    ):
        gateway(first.url, other.url, api="chat").complete(question())
