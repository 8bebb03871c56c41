"""The provider's Batch API: files of questions go there, and come back answered within a day.

As OpenAI documents it under "Batch": `/files` and `/batches`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_workers.models.answers import as_list, as_object, as_text
from fleet_workers.models.endpoint import Endpoint

_TIMEOUT_SECONDS: Final = 60.0
_VERSION: Final = "/v1"  # the API wants full paths in a file, whatever the endpoint's address is
_OK: Final = 200
_OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_NAME: Final = "agent_fleet"  # under which a batch's metadata tells our name for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A line of a file: `key` comes back with its answer."""

    key: str
    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came back for a key: the endpoint's JSON, or in words why there is none."""

    key: str
    reply: Mapping[str, Any] | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a batch is. Once it is over, its files hold what was answered."""

    status: str
    files: tuple[str, ...]

    @property
    def is_over(self) -> bool:
        """Whether no more answers will come."""
        return self.status in _OVER


class BatchApi:
    """One endpoint's. All methods raise as `Endpoint.ask` does."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def send(self, name: str, questions: Sequence[Question]) -> str:
        """Send questions of one path, under a name of ours; gives the provider's name."""
        path = f"{_VERSION}{questions[0].path}"
        lines = [
            json.dumps(
                {"custom_id": each.key, "method": "POST", "url": path, "body": dict(each.body)}
            )
            for each in questions
        ]
        content = "".join(f"{line}\n" for line in lines).encode("ascii")
        file_id = self._endpoint.send_file(
            f"{name}.jsonl", content, timeout_seconds=_TIMEOUT_SECONDS
        )
        told = self._endpoint.ask(
            "/batches",
            {
                "input_file_id": file_id,
                "endpoint": path,
                "completion_window": "24h",
                "metadata": {_NAME: name},
            },
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        return str(as_object(told).get("id"))

    def find(self, name: str) -> str | None:
        """The provider's name of a batch that was sent under ours; None where it has none."""
        told = self._endpoint.fetch("/batches?limit=100", timeout_seconds=_TIMEOUT_SECONDS)
        for each in map(as_object, as_list(as_object(told).get("data"))):
            if as_object(each.get("metadata")).get(_NAME) == name:
                return as_text(each.get("id"))
        return None

    def progress(self, batch: str) -> Progress:
        """How far a batch is."""
        told = self._endpoint.fetch(f"/batches/{batch}", timeout_seconds=_TIMEOUT_SECONDS)
        found = as_object(told)
        files = (as_text(found.get(name)) for name in ("output_file_id", "error_file_id"))
        return Progress(
            status=as_text(found.get("status")) or "unknown",
            files=tuple(each for each in files if each),
        )

    def answers(self, progress: Progress) -> Iterator[Answered]:
        """What a batch that is over has brought; lines that make no sense are passed over."""
        for file_id in progress.files:
            text = self._endpoint.read_file(file_id, timeout_seconds=_TIMEOUT_SECONDS)
            for line in text.splitlines():
                if (found := _read(line)) is not None:
                    yield found


def _read(line: str) -> Answered | None:
    try:
        told = as_object(json.loads(line))
    except (ValueError, RecursionError):
        return None
    key, response = as_text(told.get("custom_id")), as_object(told.get("response"))
    if key is None:
        return None
    body = response.get("body")
    if response.get("status_code") == _OK and isinstance(body, Mapping):
        return Answered(key=key, reply=body)
    return Answered(key=key, error=json.dumps(told.get("error") or body)[:500])
