from pathlib import Path

import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.embedded.inbox import BUNDLED_INBOX, read_inbox


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "in box.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_only_the_text_is_required(tmp_path: Path) -> None:
    (request,) = read_inbox(write(tmp_path, '\ufeff{"text": "Hello\u2028there"}\r\n\r\n'))
    envelope = request.envelope
    assert (envelope.input, envelope.tenant, envelope.agent) == ("Hello\u2028there", "acme", "auto")
    assert envelope.customer is None
    assert request.expect is None


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "not JSON"),
        ("[]", "write an object"),
        ("{}", "text"),
        ('{"text": ""}', "text"),
        ('{"text": " "}', "is blank"),
        ('{"text": "a", "texts": "b"}', "texts"),
        ('{"text": "a\\u0007"}', r"U\+0007"),
        ('{"text": "a", "agent": "No Such"}', "agent"),
        ('{"text": "a", "expect": {"outcome": "maybe"}}', "expect.outcome"),
        ('{"text": "' + "a" * 300_000 + '"}', "262,144"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(tmp_path: Path, line: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=f"line 2.*{fault}"):
        read_inbox(write(tmp_path, '{"text": "fine"}\n' + line))


def test_a_missing_or_empty_inbox_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_inbox(tmp_path / "none.jsonl")
    with pytest.raises(ConfigurationError, match="is empty"):
        read_inbox(write(tmp_path, "\n\n"))


def test_the_bundled_inbox_is_labelled_throughout() -> None:
    requests = read_inbox(BUNDLED_INBOX)
    assert len(requests) >= 120
    assert all(request.expect for request in requests)
