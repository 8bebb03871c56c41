"""What an endpoint cannot do is found out once: the request goes on without it, and uncounted."""

import json
from typing import Any

import pytest

from fleet_contracts.errors import ConfigurationError, PermanentError
from fleet_workers.models.candidates import Candidate
from fleet_workers.models.capabilities import KEPT_SECONDS, Capabilities, Lack
from fleet_workers.models.messages import AnswerSchema
from fleet_workers.resilience.breakers import Breakers
from support.model_endpoint import Body, Told, completion, model_endpoint, refused, told, usage
from unit.models.questions import question

SCHEMA = AnswerSchema(name="verdict", schema={"type": "object", "required": ["word"]})
ANSWER = completion('{"word": "yes"}')


class Picky:
    """An endpoint that refuses parameters in a wording of its own."""

    def __init__(self, *refuses: str, wording: str = "Unsupported parameter: '{}'.") -> None:
        self.refuses = refuses
        self.wording = wording

    def __call__(self, _path: str, body: Body) -> Told:
        for name in self.refuses:
            if name in body:
                return refused(self.wording.format(name))
        return told(ANSWER)


def names(bodies: list[Body]) -> list[set[str]]:
    return [body.keys() - {"model", "messages", "tools", "stream"} for body in bodies]


WORDINGS = [
    "Unsupported parameter: '{}' is not supported with this model.",
    "Unrecognized request argument supplied: {}",
    "[{{'loc': ('body', '{}'), 'msg': 'Extra inputs are not permitted'}}]",
    "unknown field {}",
    "`{}` does not work here",
]


@pytest.mark.parametrize("wording", WORDINGS)
def test_a_refused_parameter_is_left_out_from_then_on(gateway: Any, wording: str) -> None:
    breakers = Breakers(failures=1)
    with model_endpoint(Picky("tool_choice", wording=wording)) as endpoint:
        opened = gateway(endpoint.url, breakers=breakers)
        for _ in range(3):
            assert opened.complete(question()).text == '{"word": "yes"}'
    assert ["tool_choice" in each for each in names(endpoint.asked.bodies)] == [
        True,
        False,
        False,
        False,
    ]
    assert set(breakers.states().values()) == {"closed"}


@pytest.mark.parametrize(
    "reply",
    [
        refused("No.", 422, param="tool_choice"),
        refused("No.", 400, param="tool_choice.type"),
        told({"detail": [{"loc": ["body", "tool_choice"], "msg": "Extra inputs"}]}, 422),
        told({"message": "tool_choice is unknown", "type": "BadRequestError"}, 400),
        Told(parts=[b"tool_choice: unknown field"], status=400, headers={}),
    ],
)
def test_errors_of_every_form_are_understood(gateway: Any, reply: Told) -> None:
    with model_endpoint([reply, told(ANSWER)]) as endpoint:
        gateway(endpoint.url).complete(question())
    assert ["tool_choice" in body for body in endpoint.asked.bodies] == [True, False]


def test_several_are_found_out_in_one_question(gateway: Any) -> None:
    picky = Picky("tool_choice", "parallel_tool_calls", "max_completion_tokens")
    with model_endpoint(picky) as endpoint:
        opened = gateway(endpoint.url, most_tokens=77)
        opened.complete(question(parallel_tool_calls=False))
        opened.complete(question(parallel_tool_calls=False))
    assert len(endpoint.asked) == 5
    assert names(endpoint.asked.bodies[-2:]) == [{"max_tokens"}, {"max_tokens"}]
    assert endpoint.asked.bodies[-1]["max_tokens"] == 77


@pytest.mark.parametrize(
    ("refuses", "spoken"),
    [("max_completion_tokens", "max_tokens"), ("max_tokens", "max_completion_tokens")],
)
def test_old_endpoints_and_new_ones_are_told_the_longest_answer(
    gateway: Any, refuses: str, spoken: str
) -> None:
    with model_endpoint(Picky(refuses)) as endpoint:
        opened = gateway(endpoint.url, most_tokens=77)
        opened.complete(question())
        opened.complete(question())
    assert endpoint.asked.bodies[-1][spoken] == 77
    assert refuses not in endpoint.asked.bodies[-1]


def test_no_call_is_made_without_a_limit(gateway: Any) -> None:
    # Given an endpoint that takes neither name of the limit
    with model_endpoint(Picky("max_completion_tokens", "max_tokens")) as endpoint:
        for _ in range(2):
            with pytest.raises(PermanentError, match="max_completion_tokens"):
                gateway(endpoint.url).complete(question())
    # I expect a refusal each time: an answer without end is not reserved for
    assert all(
        body.keys() & {"max_completion_tokens", "max_tokens"} for body in endpoint.asked.bodies
    )


@pytest.mark.parametrize(
    "words",
    [
        "max_completion_tokens is too large: 4096. This model supports at most 2048.",
        "'max_tokens' or 'max_completion_tokens' is too large: the maximum context length is 512.",
        "This model's maximum context length is 512 tokens; you asked for 4096 in tool_choice.",
    ],
)
def test_a_value_that_is_too_large_is_no_missing_parameter(gateway: Any, words: str) -> None:
    with model_endpoint([refused(words)]) as endpoint:
        with pytest.raises(PermanentError, match="max"):
            gateway(endpoint.url).complete(question())
        assert len(endpoint.asked) == 1


def test_a_limit_that_is_not_heeded_is_told_under_its_other_name(gateway: Any) -> None:
    def answer(_path: str, body: Body) -> Told:
        return told(completion(usage=usage(10, body.get("max_tokens", 500))))

    with model_endpoint(answer) as endpoint:
        opened = gateway(endpoint.url, most_tokens=100)
        used = [opened.complete(question()).completion_tokens for _ in range(3)]
    assert used == [500, 100, 100]


def test_a_limit_that_nobody_heeds_is_still_told(gateway: Any) -> None:
    picky = Picky("max_tokens")
    with model_endpoint(
        lambda path, body: (
            told(completion(usage=usage(10, 500)))
            if "max_completion_tokens" in body
            else picky(path, body)
        )
    ) as endpoint:
        opened = gateway(endpoint.url, most_tokens=100)
        for _ in range(3):
            assert opened.complete(question()).completion_tokens == 500
    spoken = [name for body in endpoint.asked.bodies for name in body if name.startswith("max_")]
    assert spoken == ["max_completion_tokens", "max_tokens", *["max_completion_tokens"] * 2]


def test_what_customers_write_teaches_nothing(gateway: Any) -> None:
    # Given an error that repeats a request which speaks of a parameter
    def answer(_path: str, body: Body) -> Told:
        words = body["messages"][-1]["content"]
        return refused(f"Cannot answer: {words}") if "tool_choice" in words else told(ANSWER)

    capabilities = Capabilities()
    with model_endpoint(answer) as endpoint:
        opened = gateway(endpoint.url, capabilities=capabilities)
        with pytest.raises(PermanentError):
            opened.complete(
                question(messages=[{"role": "user", "content": "What is tool_choice?"}])
            )
        assert capabilities.lacks(Candidate(model="tested")) == frozenset()
        opened.complete(question())
    assert "tool_choice" in endpoint.asked.bodies[-1]


def test_it_is_believed_for_an_hour_and_of_one_candidate_only() -> None:
    now = [0.0]
    capabilities = Capabilities(clock=lambda: now[0])
    one, other = Candidate(model="a"), Candidate(model="a", endpoint="fallback")
    capabilities.learn(one, [Lack.TOOL_CHOICE])
    now[0] = KEPT_SECONDS / 2
    capabilities.learn(one, [Lack.JSON_SCHEMA])
    assert capabilities.lacks(one) == {Lack.TOOL_CHOICE, Lack.JSON_SCHEMA}
    assert capabilities.lacks(other) == frozenset()
    now[0] = KEPT_SECONDS
    assert capabilities.lacks(one) == {Lack.JSON_SCHEMA}


# --- answers in a schema -------------------------------------------------------------------------


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_schema_is_asked_for_in_the_strictest_way_there_is(
    gateway: Any, api: str, steps: int
) -> None:
    field = "response_format" if api == "chat" else "text"

    def kind(body: Body) -> str | None:
        told_form = body.get(field) or {}
        found: str | None = (told_form.get("format") or told_form).get("type")
        return found

    def answer(_path: str, body: Body) -> Told:
        if kind(body) in ["json_schema", "json_object"][:steps]:
            return refused("Not supported.", param=field if api == "chat" else "text.format")
        text = '```json\n{"word": "yes"}\n```' if steps == 2 else '{"word": "yes"}'
        output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}]
        return told(completion(text) if api == "chat" else {"output": output})

    with model_endpoint(answer) as endpoint:
        opened = gateway(endpoint.url, api=api)
        for _ in range(2):
            reply = opened.complete(question(answer_schema=SCHEMA))
            assert json.loads(reply.text) == {"word": "yes"}
    ladder = ["json_schema", "json_object", None]
    kinds = [kind(body) for body in endpoint.asked.bodies]
    assert kinds == [*ladder[: steps + 1], ladder[steps]]
    last = endpoint.asked.bodies[-1]
    system = last.get("messages", last.get("input"))[0]["content"]
    assert ('"required": ["word"]' in system) == (steps > 0)
    assert system.startswith("Help.")


def test_a_schema_in_words_without_a_system_message(gateway: Any) -> None:
    with model_endpoint(Picky("response_format")) as endpoint:
        messages = [{"role": "user", "content": "Yes or no?"}]
        gateway(endpoint.url).complete(question(messages=messages, answer_schema=SCHEMA))
    asked = endpoint.asked.bodies[-1]["messages"]
    assert [each["role"] for each in asked] == ["system", "user"]
    assert messages == [{"role": "user", "content": "Yes or no?"}]


# --- the Responses API ---------------------------------------------------------------------------

RESPONSE = {
    "status": "completed",
    "model": "tested-1",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello."}]}],
    "usage": {"input_tokens": 100, "output_tokens": 10},
}


@pytest.mark.parametrize(
    "missing",
    [
        told({"detail": "Not Found"}, 404),
        told({"detail": "Method Not Allowed"}, 405),
        refused(
            "This model is only supported in v1/responses and not in v1/chat/completions.", 404
        ),
        refused("Use v1/responses for this model.", 400),
    ],
)
def test_an_endpoint_without_chat_completions_is_asked_the_other_way(
    gateway: Any, missing: Told
) -> None:
    def answer(path: str, _body: Body) -> Told:
        return told(RESPONSE) if path == "/responses" else missing

    with model_endpoint(answer) as endpoint:
        opened = gateway(endpoint.url)
        assert [opened.complete(question()).text for _ in range(2)] == ["Hello."] * 2
    assert endpoint.asked.paths == ["/chat/completions", "/responses", "/responses"]


def test_a_model_that_neither_api_has_is_named_by_the_first(gateway: Any) -> None:
    def answer(path: str, _body: Body) -> Told:
        return refused("No such model here." if path == "/chat/completions" else "Lost.", 404)

    with model_endpoint(answer) as endpoint:
        opened = gateway(endpoint.url)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"no model tested.*No such model here"):
                opened.complete(question())
    assert endpoint.asked.paths == ["/chat/completions", "/responses"] * 2


def test_a_model_that_is_said_to_be_missing_is_asked_for_once(gateway: Any) -> None:
    error = {"message": "No model.", "code": "model_not_found", "param": "model"}
    with model_endpoint([told({"error": error}, 404)]) as endpoint:
        with pytest.raises(ConfigurationError):
            gateway(endpoint.url).complete(question())
        assert len(endpoint.asked) == 1
