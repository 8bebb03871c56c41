"""What the settings say about models."""

from datetime import timedelta

import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.models.configuration import addresses_of, asking_of, candidates_of
from fleet_workers.resilience.redis_link import open_link
from fleet_workers.settings import load_settings

ALL = (
    "OPENAI_BASE_URL OPENAI_API_KEY FLEET_MODEL_SMALL FLEET_MODEL_MEDIUM FLEET_MODEL_LARGE "
    "FLEET_FALLBACK_BASE_URL FLEET_FALLBACK_API_KEY FLEET_FALLBACK_MODEL_SMALL "
    "FLEET_FALLBACK_MODEL_MEDIUM FLEET_FALLBACK_MODEL_LARGE FLEET_MODEL_API FLEET_MODEL_STREAM "
    "FLEET_MODEL_STALL"
)
OTHER = {
    "FLEET_FALLBACK_BASE_URL": "http://other/v1",
    "FLEET_FALLBACK_API_KEY": "k2",
    "FLEET_FALLBACK_MODEL_SMALL": "x",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ALL.split():
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def names(environment: pytest.MonkeyPatch, **variables: str) -> dict[str, list[str]]:
    for name, value in variables.items():
        environment.setenv(name, value)
    found = candidates_of(load_settings())
    return {tier: [str(each) for each in found[tier]] for tier in found}


def test_a_tier_has_its_own_list_or_that_of_the_tier_below(
    environment: pytest.MonkeyPatch,
) -> None:
    found = names(environment, FLEET_MODEL_SMALL=" a, b,,", FLEET_MODEL_LARGE="c")
    assert found == {"small": ["a", "b"], "medium": ["a", "b"], "large": ["c"]}


def test_the_other_endpoints_models_come_last(environment: pytest.MonkeyPatch) -> None:
    found = names(
        environment,
        FLEET_MODEL_SMALL="a",
        FLEET_MODEL_MEDIUM="b",
        FLEET_FALLBACK_MODEL_LARGE="y,z",
        **OTHER,
    )
    assert found == {
        "small": ["a", "x at fallback"],
        "medium": ["b", "x at fallback"],
        "large": ["b", "y at fallback", "z at fallback"],
    }


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({}, "FLEET_MODEL_SMALL"),
        ({"FLEET_MODEL_SMALL": " , "}, "FLEET_MODEL_SMALL"),
        (
            {"FLEET_MODEL_SMALL": "a", "FLEET_FALLBACK_BASE_URL": "http://x"},
            "FLEET_FALLBACK_MODEL_SMALL",
        ),
    ],
)
def test_models_that_are_not_named(
    environment: pytest.MonkeyPatch, variables: dict[str, str], missing: str
) -> None:
    with pytest.raises(ConfigurationError, match=missing):
        names(environment, **variables)


def test_each_endpoint_has_a_key_of_its_own_which_is_never_shown(
    environment: pytest.MonkeyPatch,
) -> None:
    for name, value in OTHER.items():
        environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        addresses_of(load_settings())
    environment.setenv("OPENAI_API_KEY", "secret-1")
    found = addresses_of(load_settings())
    assert [(each.name, each.base_url, each.api_key) for each in found] == [
        ("main", None, "secret-1"),
        ("fallback", "http://other/v1", "k2"),
    ]
    assert "secret-1" not in repr(found)
    environment.delenv("FLEET_FALLBACK_API_KEY")
    with pytest.raises(ConfigurationError, match="FLEET_FALLBACK_API_KEY"):
        addresses_of(load_settings())


def test_answers_are_streamed_where_that_is_asked_for(environment: pytest.MonkeyPatch) -> None:
    link = open_link("redis://127.0.0.1:1/0")
    assert asking_of(load_settings(), link).stall_seconds is None
    environment.setenv("FLEET_MODEL_STREAM", "true")
    environment.setenv("FLEET_MODEL_STALL", "7")
    environment.setenv("FLEET_MODEL_API", "responses")
    found = asking_of(load_settings(), link)
    assert (found.stall_seconds, found.api, found.most_tokens) == (7.0, "responses", 4096)


@pytest.mark.parametrize(
    ("name", "value"),
    [("FLEET_MODEL_API", "soap"), ("FLEET_MODEL_STALL", "0"), ("FLEET_MODEL_TIMEOUT", "-1")],
)
def test_wrong_values_are_named(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name.removeprefix("FLEET_").lower()):
        load_settings()


def test_the_timeout_is_a_time(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FLEET_MODEL_TIMEOUT", "PT5S")
    assert load_settings().model_timeout == timedelta(seconds=5)
