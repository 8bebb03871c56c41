"""No session of a tenant can be taken for one of another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.errors import InvalidEnvelope
from fleet_workers.memory.session import SessionMemory

SESSIONS = st.text(alphabet="ab:-_", min_size=1, max_size=6)
TENANTS = st.from_regex(r"[ab][ab_-]{0,4}", fullmatch=True)


class Keys:
    """Stands for Redis and keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def lrange(self, key: str, *_: int) -> list[bytes]:
        self.asked.append(key)
        return []


def envelope(tenant: str, session: str) -> TaskEnvelope:
    return build_envelope(tenant=tenant, agent="billing", input="Hello?", session_id=session)


def key_of(tenant: str, session: str) -> str:
    keys = Keys()
    SessionMemory(keys).recall(envelope(tenant, session))  # type: ignore[arg-type]
    return keys.asked[0]


@given(TENANTS, SESSIONS, TENANTS, SESSIONS)
def test_two_sessions_share_a_key_only_where_they_are_one(
    tenant: str, session: str, other_tenant: str, other_session: str
) -> None:
    is_one = (tenant, session) == (other_tenant, other_session)
    assert (key_of(tenant, session) == key_of(other_tenant, other_session)) is is_one


@pytest.mark.parametrize("tenant", ["acme:s", ":", "acme\x1f", "*", "", "Acme"])
def test_a_tenant_whose_name_could_end_a_part_of_the_key_is_refused(tenant: str) -> None:
    with pytest.raises(InvalidEnvelope, match="tenant"):
        envelope(tenant, "s")
