"""What one worker has found out about a model, the others know; each without Redis for itself."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from fleet_workers.models.candidates import FALLBACK, MAIN, Candidate
from fleet_workers.models.capabilities import Capabilities, Lack, read_unserved
from fleet_workers.models.capability_records import CapabilityRecords
from fleet_workers.resilience.redis_link import RedisLink, open_link
from support.redis_server import RedisServer

MODEL = Candidate(model="m")


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisLink]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    link = open_link(server.url)
    yield link
    link.close()
    server.kill()


@pytest.fixture
def url() -> str:
    return f"http://{uuid4()}/v1"


def records(link: RedisLink, url: str) -> CapabilityRecords:
    return CapabilityRecords(link, {MAIN: url, FALLBACK: "http://elsewhere/v1"})


def test_another_worker_need_not_find_it_out_again(link: RedisLink, url: str) -> None:
    one, other = (Capabilities(records=records(link, url)) for _ in range(2))
    one.learn(MODEL, [Lack.TOOL_CHOICE, Lack.JSON_SCHEMA])
    one.learn(MODEL, [Lack.STREAM_USAGE])
    known = {Lack.TOOL_CHOICE, Lack.JSON_SCHEMA, Lack.STREAM_USAGE}
    assert other.lacks(MODEL) == one.lacks(MODEL) == known
    # I expect nothing of it for the model elsewhere, or at another address of the same name
    assert other.lacks(Candidate(model="m", endpoint=FALLBACK)) == frozenset()
    assert Capabilities(records=records(link, "http://moved/v1")).lacks(MODEL) == frozenset()


def test_it_is_believed_no_longer_than_by_who_found_it_out(link: RedisLink, url: str) -> None:
    now = [0.0]
    Capabilities(records=records(link, url), kept_seconds=100).learn(MODEL, [Lack.MAX_TOKENS])
    other = Capabilities(records=records(link, url), clock=lambda: now[0])
    assert other.lacks(MODEL) == {Lack.MAX_TOKENS}
    (left,) = records(link, url).all([MODEL])[MODEL].values()
    assert 99 < left <= 100
    now[0] = 101.0
    Capabilities(records=records(link, url), kept_seconds=0).learn(MODEL, [Lack.MAX_TOKENS])
    assert other.lacks(MODEL) == frozenset()


def test_what_a_newer_release_writes_there_is_passed_over(link: RedisLink, url: str) -> None:
    records(link, url).learn(MODEL, ["flying", Lack.TOOL_CHOICE], seconds=9)
    assert Capabilities(records=records(link, url)).lacks(MODEL) == {Lack.TOOL_CHOICE}


def test_without_redis_a_worker_knows_what_it_has_found_out_itself(url: str) -> None:
    link = open_link("redis://127.0.0.1:1/0")
    alone = Capabilities(records=records(link, url))
    assert alone.lacks(MODEL) == frozenset()
    alone.learn(MODEL, [Lack.TOOL_CHOICE])
    assert alone.lacks(MODEL) == {Lack.TOOL_CHOICE}


def test_models_that_are_not_served_are_named(link: RedisLink, url: str) -> None:
    records(link, url).learn(MODEL, [Lack.SERVICE, Lack.TOOL_CHOICE], seconds=9)
    records(link, url).learn(Candidate(model="well"), [Lack.TOOL_CHOICE], seconds=9)
    assert [each for each in read_unserved(link) if url in each] == [f"m at {url}"]
