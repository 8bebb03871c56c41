"""examples.jsonl: what is wrong in it is named with its line, and it changes no release."""

import shutil
from pathlib import Path

import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.agents.examples import Example, load_examples
from fleet_workers.agents.release import load_release
from fleet_workers.agents.starter import write_starter


def test_a_folder_without_the_file_has_no_examples(tmp_path: Path) -> None:
    assert load_examples(tmp_path / "examples.jsonl") == ()


def test_lines_are_read_and_empty_ones_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text('{"text": " Hi? ", "intent": "greet"}\n\n{"text": "Grüß Gott"}\n', "utf-8")
    assert load_examples(path) == (
        Example(text="Hi?", intent="greet"),
        Example(text="Grüß Gott"),
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"no json", "line 2"),
        (b'["text"]', "line 2"),
        (b'{"intent": "greet"}', "text"),
        (b'{"text": "  "}', "text"),
        (b'{"text": "Hi", "intent": "Say hello"}', "intent"),
        (b'{"text": "Hi", "agent": "billing"}', "agent"),
        (b'{"text": 5}', "text"),
        (b'{"text": "' + b"a" * 4001 + b'"}', "text"),
        (b'{"text": "\xff"}', "UTF-8"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, line: bytes, words: str) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_bytes(b'{"text": "Hi"}\n' + line + b"\n")
    with pytest.raises(ConfigurationError, match=words) as raised:
        load_examples(path)
    assert str(path) in str(raised.value)


def test_examples_belong_to_no_release(tmp_path: Path) -> None:
    folder = write_starter("clock", tmp_path)
    before = load_release(folder)
    (folder / "examples.jsonl").write_text('{"text": "What time is it in Rome?"}\n')
    after = load_release(folder)
    assert [each.text for each in after.examples] == ["What time is it in Rome?"]
    assert after.id == before.id
    shutil.rmtree(folder)
