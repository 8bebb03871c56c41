"""Tool ports for tests: results that the test gives, and a record of every call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import ConfigurationError
from fleet_workers.controller.ports import ToolPort
from fleet_workers.tools import Tool
from fleet_workers.tools.repeat import Repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCall:
    """A call that reached a tool. `key` makes a repeat harmless, `resumed` marks such a repeat."""

    name: str
    arguments: Mapping[str, Any]
    key: str
    resumed: bool


class FakeTools:
    """Gives results by tool name: a value, an exception to raise, or a function to call."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        self._results = results

    def call(
        self,
        tool: Tool,
        arguments: dict[str, object],
        *,
        envelope: TaskEnvelope,  # noqa: ARG002 the port's signature
        agent: str,
        key: str,  # noqa: ARG002 as above
        environment: tuple[str, ...],  # noqa: ARG002 as above
        repeat: Repeat | None,  # noqa: ARG002 as above
        fence: Callable[[], None],
    ) -> object:
        """Give the result for a tool.

        Raises:
            ConfigurationError: The test gives no result for it.
        """
        fence()
        if tool.name not in self._results:
            raise ConfigurationError(
                f"{agent} called {tool.name}, for which the test gives no result: "
                f"add it to tools={{{tool.name!r}: …}}."
            )
        result = self._results[tool.name]
        if callable(result):
            result = result(**arguments)
        if isinstance(result, Exception):
            raise result
        return result


class RecordingTools:
    """Passes calls on and notes them."""

    def __init__(self, inner: ToolPort) -> None:
        self._inner = inner
        self.made: list[MadeCall] = []

    def call(
        self,
        tool: Tool,
        arguments: dict[str, object],
        *,
        envelope: TaskEnvelope,
        agent: str,
        key: str,
        environment: tuple[str, ...],
        repeat: Repeat | None,
        fence: Callable[[], None],
    ) -> object:
        """Note the call, then make it."""
        self.made.append(
            MadeCall(name=tool.name, arguments=arguments, key=key, resumed=repeat is not None)
        )
        return self._inner.call(
            tool,
            arguments,
            envelope=envelope,
            agent=agent,
            key=key,
            environment=environment,
            repeat=repeat,
            fence=fence,
        )
