"""Tools of a real MCP server: started here, or reached over HTTP."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from fleet_contracts.errors import (
    ConfigurationError,
    InDoubt,
    LeaseLost,
    PermanentError,
    TimedOut,
    Unavailable,
)
from fleet_workers.agents.release import load_release
from fleet_workers.testing import agent_tool, call_tool
from fleet_workers.tools import Tool
from fleet_workers.tools.importers import mcp_session
from support.crm_service import crm_service

STDIO = """
[imports.orders]
mcp = { command = ["python", "shop_server.py"] }
include = ["find_order", "cancel_order", "behave"]
[promises.find_order]
effect = "read"
bind = { customer = "customer" }
"""
BAD_READ = STDIO + '[promises.behave]\neffect = "read"\ntimeout_seconds = 0.4\n'


def _await_end(pid: int) -> None:
    """A killed process is there until its parent, or the system, has seen its end."""
    ends_at = time.monotonic() + 5
    while psutil.pid_exists(pid):
        assert time.monotonic() < ends_at, f"{pid} lives on"
        time.sleep(0.05)


def _imported(shop: Any, sections: str, name: str, **variables: str) -> Tool:
    shop.write(sections, **variables)
    shop.fetch()
    return agent_tool(shop.folder, name)


def test_a_call_reaches_the_server_and_its_structured_content_comes_back(shop: Any) -> None:
    tool = _imported(shop, STDIO, "find_order")
    found = call_tool(tool, customer="c7", environment=shop.variables, order="o17")
    assert found == {"order": "o17", "owner": "c7"}
    assert shop.noted() == ["find_order o17 c7"]
    assert (tool.effect, tool.trusted, tool.source) == ("read", False, "mcp:orders")


def test_another_customers_id_cannot_be_given_where_the_task_fills_it(shop: Any) -> None:
    tool = _imported(shop, STDIO, "find_order")
    assert list(tool.schema()["function"]["parameters"]["properties"]) == ["order"]
    arguments = {"order": "o17", "customer": "c8"}
    with pytest.raises(ValueError, match="customer: Extra inputs are not permitted"):
        tool.parse_arguments(arguments)
    with pytest.raises(PermanentError, match="needs a customer"):
        call_tool(tool, environment=shop.variables, order="o17")
    assert shop.noted() == []


def test_arguments_that_do_not_fit_are_told_before_the_server_sees_them(shop: Any) -> None:
    tool = _imported(shop, STDIO, "find_order")
    with pytest.raises(ValueError, match=r"order: Input should match the pattern '\^o\[0-9\]\+\$'"):
        call_tool(tool, customer="c7", environment=shop.variables, order="17")
    assert shop.noted() == []


def test_what_the_author_does_not_call_a_read_is_a_write_that_nothing_makes_safe(
    shop: Any,
) -> None:
    shop.write(STDIO.partition("[promises")[0])
    shop.fetch()
    tool = agent_tool(shop.folder, "find_order")  # the server says that it only reads
    assert (tool.effect, tool.repeat, tool.open_world) == ("write", "none", True)
    assert agent_tool(shop.folder, "cancel_order").stakes == "high"  # it says: destructive


def test_what_the_server_says_writes_cannot_be_called_a_read(shop: Any) -> None:
    shop.write(STDIO + '[promises.cancel_order]\neffect = "read"\n')
    shop.fetch()
    with pytest.raises(ConfigurationError, match="server's own description says that it writes"):
        load_release(shop.folder)


def test_the_key_goes_along(shop: Any) -> None:
    tool = _imported(shop, STDIO, "cancel_order")
    answer = call_tool(tool, environment=shop.variables, key="k1", order="o1")
    assert answer == {"result": "o1 is cancelled"}
    assert shop.noted() == ["cancel_order o1 k1"]


def test_a_tool_that_says_no_is_a_permanent_error(shop: Any) -> None:
    tool = _imported(shop, STDIO, "cancel_order")
    with pytest.raises(PermanentError, match=r"cancel_order failed: .*This order has left"):
        call_tool(tool, environment=shop.variables, order="refused")


def test_a_write_whose_server_dies_is_in_doubt_and_is_not_repeated(shop: Any) -> None:
    tool = _imported(shop, STDIO, "cancel_order")
    with pytest.raises(InDoubt, match="may have been done"):
        call_tool(tool, environment=shop.variables, key="k", order="dies")
    assert shop.noted() == ["cancel_order dies k"]
    # The next call has a new server.
    assert call_tool(tool, environment=shop.variables, order="o2") == {"result": "o2 is cancelled"}


def test_a_write_that_may_be_repeated_is_repeated_with_its_key(shop: Any) -> None:
    tool = _imported(
        shop, STDIO + '[promises.cancel_order]\nrepeat = "idempotent"\n', "cancel_order"
    )
    with pytest.raises(Unavailable):
        call_tool(tool, environment=shop.variables, key="k", order="dies")
    assert shop.noted() == ["cancel_order dies k"] * 3


def test_a_write_that_takes_too_long_is_in_doubt(shop: Any) -> None:
    tool = _imported(
        shop, STDIO + "[promises.cancel_order]\ntimeout_seconds = 0.4\n", "cancel_order"
    )
    call_tool(tool, environment=shop.variables, order="o1")
    begun = time.monotonic()
    with pytest.raises(InDoubt, match="timed out"):
        call_tool(tool, environment=shop.variables, order="slow")
    assert time.monotonic() - begun < 2


def test_a_read_whose_server_dies_or_hangs_can_be_tried_again_later(shop: Any) -> None:
    tool = _imported(shop, BAD_READ, "behave")
    with pytest.raises(Unavailable):
        call_tool(tool, environment=shop.variables, how="die")
    with pytest.raises(TimedOut):
        call_tool(tool, environment=shop.variables, how="slow")


def test_garbage_between_the_answers_harms_nobody(shop: Any) -> None:
    tool = _imported(shop, BAD_READ, "behave")
    with pytest.raises(TimedOut):
        call_tool(tool, environment=shop.variables, how="garbage")
    assert call_tool(tool, environment=shop.variables, how="well") == {"result": "well"}


def test_a_huge_answer_is_refused_and_the_server_lives_on(shop: Any) -> None:
    tool = _imported(shop, BAD_READ.replace("0.4", "8"), "behave")
    before = call_tool(tool, environment=shop.variables, how="pid")
    with pytest.raises(PermanentError, match="too large: ask for less"):
        call_tool(tool, environment=shop.variables, how="huge")
    assert call_tool(tool, environment=shop.variables, how="pid") == before


def test_a_server_sees_no_variable_that_the_agent_does_not_name(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEET_DATABASE_URL", "secret")
    tool = _imported(shop, BAD_READ, "behave")
    seen = set(call_tool(tool, environment=shop.variables, how="environment")["result"].split(","))
    assert seen - {"LC_CTYPE"} == {"PATH", *shop.variables}


def test_many_threads_share_one_server(shop: Any) -> None:
    tool = _imported(shop, BAD_READ.replace("0.4", "20"), "behave")

    def call(_number: int) -> Any:
        return call_tool(tool, environment=shop.variables, how="pid")["result"]

    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(call, range(64)))) == 1


def test_a_changed_tool_is_refused_until_it_is_imported_anew(shop: Any) -> None:
    tool = _imported(shop, STDIO, "find_order")
    shop.manners.write_text("changed")
    with pytest.raises(PermanentError, match=r"in another way.*fleetctl agents import shop"):
        call_tool(tool, customer="c1", environment=shop.variables, order="o1")
    assert "mallory" not in tool.description
    assert shop.noted() == []
    assert {each.change for each in shop.fetch()} == {"changed"}
    tool = agent_tool(shop.folder, "find_order")
    assert call_tool(tool, customer="c1", environment=shop.variables, order="o1")


def test_loading_asks_no_server_and_a_tool_that_was_not_imported_is_told(shop: Any) -> None:
    shop.write(STDIO)
    with pytest.raises(ConfigurationError, match=r"import it first.*fleetctl agents import shop"):
        load_release(shop.folder)
    shop.fetch()
    (shop.folder / "shop_server.py").unlink()
    first = load_release(shop.folder)
    assert [each.name for each in first.tools] == ["find_order", "cancel_order", "behave"]
    tool = first.tools.get("find_order")
    assert tool is not None
    with pytest.raises(Unavailable, match="MCP server orders"):
        call_tool(tool, customer="c1", environment=shop.variables, order="o1")


def test_the_release_changes_with_what_was_imported(shop: Any) -> None:
    shop.write(STDIO)
    shop.fetch()
    before = load_release(shop.folder).id
    shop.manners.write_text("changed")
    shop.fetch()
    assert load_release(shop.folder).id != before


HTTP = STDIO.replace('command = ["python", "shop_server.py"]', 'url_variable = "SHOP_URL"')


def test_the_same_over_http_and_again_after_the_server_was_started_anew(
    shop: Any, serve_http: Any
) -> None:
    with serve_http(shop) as (url, port):
        tool = _imported(shop, HTTP, "cancel_order", SHOP_URL=url)
        call = {"environment": shop.variables, "key": "k"}
        assert call_tool(tool, **call, order="o1") == {"result": "o1 is cancelled"}
        with pytest.raises(InDoubt):
            call_tool(tool, **call, order="dies")
    with pytest.raises(Unavailable):
        call_tool(tool, **call, order="o2")
    with serve_http(shop, port):
        assert call_tool(tool, **call, order="o3") == {"result": "o3 is cancelled"}
    assert shop.noted() == ["cancel_order o1 k", "cancel_order dies k", "cancel_order o3 k"]


def test_a_huge_answer_over_http_is_refused(shop: Any, serve_http: Any) -> None:
    with serve_http(shop) as (url, _):
        sections = HTTP + '[promises.behave]\neffect = "read"\n'
        tool = _imported(shop, sections, "behave", SHOP_URL=url)
        with pytest.raises((PermanentError, Unavailable)):
            call_tool(tool, environment=shop.variables, how="huge")
        assert call_tool(tool, environment=shop.variables, how="well") == {"result": "well"}


def test_what_is_no_mcp_server_is_told_and_gets_the_secret_in_its_header(shop: Any) -> None:
    with crm_service() as service:
        crm_url = {"SHOP_URL": service.url, "SHOP_TOKEN": "s3cret"}
        shop.write(
            HTTP.replace("include", 'authorization_variable = "SHOP_TOKEN"\ninclude'), **crm_url
        )
        with pytest.raises(Unavailable, match=r"\[imports.orders\]: the MCP server: "):
            shop.fetch()
        assert {each.headers["authorization"] for each in service.seen} == {"Bearer s3cret"}


def test_a_command_that_there_is_not_is_told(shop: Any) -> None:
    shop.write(STDIO.replace('"python"', '"no-such-program"'))
    with pytest.raises(Unavailable, match=r"\[imports.orders\]: the MCP server: "):
        shop.fetch()


@pytest.mark.slow
def test_a_server_that_hangs_for_good_is_replaced(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = _imported(shop, BAD_READ.replace("0.4", "20"), "behave")
    monkeypatch.setattr(mcp_session, "CONNECT_SECONDS", 5.0)
    monkeypatch.setattr(mcp_session, "_LIST_AGE_SECONDS", 0.0)
    stuck = int(call_tool(tool, environment=shop.variables, how="pid")["result"])
    os.kill(stuck, signal.SIGSTOP)
    # The first attempt notices, the in-process retry has a new one.
    assert int(call_tool(tool, environment=shop.variables, how="pid")["result"]) != stuck
    _await_end(stuck)


def test_the_fence_stops_a_call_before_it_goes_out(shop: Any) -> None:
    tool = _imported(shop, STDIO, "cancel_order")

    def lost() -> None:
        raise LeaseLost("Another worker has it.")

    with pytest.raises(LeaseLost):
        call_tool(tool, environment=shop.variables, fence=lost, order="o1")
    assert shop.noted() == []


def test_no_server_outlives_a_worker_that_is_killed(shop: Any) -> None:
    shop.write(BAD_READ.replace("0.4", "20"))
    shop.fetch()
    program = (
        "import sys, time\n"
        "from fleet_workers.testing import agent_tool, call_tool\n"
        f"tool = agent_tool({str(shop.folder)!r}, 'behave')\n"
        f"call_tool(tool, environment={shop.variables!r}, how='ignore the end')\n"
        f"print(call_tool(tool, environment={shop.variables!r}, how='pid')['result'], flush=True)\n"
        "time.sleep(60)\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert worker.stdout is not None
    server = int(worker.stdout.readline())
    leash = psutil.Process(server).parent()
    worker.kill()
    worker.wait()
    worker.stdout.close()
    _await_end(server)
    _await_end(leash.pid)
