"""Which tenant may have the next slot of a process."""

from fleet_workers.controller.shares import Shares
from fleet_workers.store.limits import AtLimit


def next_of(shares: Shares, waiting: dict[str, float]) -> str:
    """The tenant that a look would choose among those that wait, each with its weight."""
    standing = shares.standing()
    stand = {
        name: (running, served)
        for name, running, served in zip(
            standing.tenants, standing.running, standing.served, strict=True
        )
    }

    def order(tenant: str) -> tuple[float, float]:
        running, served = stand.get(tenant, (0, standing.now))
        return running / waiting[tenant], served

    return min(sorted(waiting), key=order)


def starts(shares: Shares, waiting: dict[str, float], number: int) -> str:
    """Who starts, one after another, in a process with one slot."""
    begun = ""
    for _ in range(number):
        tenant = next_of(shares, waiting)
        shares.begin(tenant, waiting[tenant])
        shares.end(tenant, "agent")
        begun += tenant
    return begun


def test_one_slot_goes_round() -> None:
    assert starts(Shares(), {"a": 1.0, "b": 1.0, "c": 1.0}, 9) == "abcabcabc"


def test_who_comes_new_or_back_is_next_and_gets_nothing_for_the_time_before() -> None:
    shares = Shares()
    starts(shares, {"a": 1.0}, 50)
    assert starts(shares, {"a": 1.0, "b": 1.0}, 6) == "bababa"


def test_a_weight_is_a_share() -> None:
    begun = starts(Shares(), {"a": 3.0, "b": 1.0}, 40)
    assert begun.count("a") == 30


def test_of_many_slots_the_least_gets_the_next() -> None:
    shares = Shares(slots=10)
    for _ in range(6):
        shares.begin("a")
    assert next_of(shares, {"a": 1.0, "b": 1.0}) == "b"
    shares.begin("b")
    assert next_of(shares, {"a": 1.0, "b": 1.0}) == "b"
    assert next_of(shares, {"a": 7.0, "b": 1.0}) == "a"


def test_the_last_slots_are_for_those_who_run_few() -> None:
    shares = Shares(slots=10, headroom=2)
    shares.begin("b")
    shares.end("b", "agent")
    for _ in range(8):
        assert shares.may_begin("a")
        shares.begin("a")
    assert not shares.may_begin("a")
    assert not shares.has_open_slots
    assert shares.may_begin("b")
    assert shares.standing().fewer_than == 2
    shares.end("a", "agent")
    assert shares.may_begin("a")


def test_a_new_task_of_who_runs_few_passes_the_one_tenant_that_runs_many() -> None:
    shares = Shares(slots=6, headroom=2)
    assert shares.passed_over_by("quiet") == ""
    shares.begin("quiet")
    shares.end("quiet", "agent")
    shares.begin("loud")
    assert shares.passed_over_by("quiet") == ""
    shares.begin("loud")
    assert shares.passed_over_by("quiet") == "loud"  # free slots or not: it would be next
    assert shares.passed_over_by("loud") == ""
    for _ in range(2):
        shares.begin("loud")
    assert shares.passed_over_by("quiet") == "loud"
    assert shares.passed_over_by("loud") is None
    for _ in range(2):
        shares.begin("other")
    assert shares.passed_over_by("quiet") is None  # two are passed: a look tells who is next


def test_a_process_with_one_tenant_keeps_nothing_free() -> None:
    shares = Shares(slots=10, headroom=2)
    for _ in range(10):
        assert shares.may_begin("a")
        shares.begin("a")


def test_a_full_limit_is_left_alone_until_a_task_under_it_ends() -> None:
    shares = Shares(slots=10)
    for limit in (("a", "*"), ("*", "billing"), ("b", "billing")):
        shares.note_full(AtLimit(tenant=limit[0], agent=limit[1], seconds=60.0))
    assert (shares.seconds_to_next() or 0) > 50
    shares.begin("a")
    shares.end("a", "billing")
    assert shares.standing().at_limit == [("b", "billing")]
    shares.note_full(AtLimit(tenant="b", agent="billing", seconds=0.0))
    assert shares.standing().at_limit == []
    assert shares.seconds_to_next() is None
