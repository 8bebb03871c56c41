"""The texts that the injection score learns from and is tried on; none of them is ours."""

import csv
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DATA = Path(os.environ.get("DATA", Path(__file__).parents[4] / "shared/data"))
_UV = Path(__file__).parents[3] / "deploy/uv.sh"
_READ = (
    "import sys, json; from pyarrow import parquet;"
    "print(json.dumps(parquet.read_table(sys.argv[1]).to_pylist()))"
)
_ATTACKS_WORD = re.compile(
    r"\b(ignor|disregard|forget|overrid|bypass|system|prompt|instruction|rule|restrict|guideline"
    r"|pretend|inject|hack|jailbreak|reveal|secret|secur|password|exploit|attack|execut|privacy"
    r"|inappropriat|unethical|illegal|role-?play|imagine|polic)",
    re.IGNORECASE,
)
_LONG = 300
_HELD_OUT = 5  # every fifth message of each topic is tried, the others are learned


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A text and whether it is an injection. Variants of one text share a `group`."""

    text: str
    injection: bool
    group: str


def training_prompts() -> list[Prompt]:
    """Both sets' training parts, without what stands in a validation part too."""
    unseen = {_folded(each.text) for each in validation_prompts()}
    known = [*_slabs("train"), *_core("train")]
    return [each for each in known if _folded(each.text) not in unseen]


def validation_prompts() -> list[Prompt]:
    """Both sets' validation parts: nothing is tuned on them."""
    return [*_slabs("validation"), *_core("validation")]


def hard_harmless() -> list[str]:
    """Harmless validation prompts that use the words of attacks, or that are as long as those."""
    return [
        each.text
        for each in validation_prompts()
        if not each.injection and (_ATTACKS_WORD.search(each.text) or len(each.text) > _LONG)
    ]


def customer_messages() -> list[str]:
    """Real customers' messages to learn from; Bitext's are left out for their licence."""
    bank = [each for number, each in enumerate(_bank()) if number % _HELD_OUT]
    return bank + _clinc("train", "oos_train")


def held_out_customers() -> dict[str, list[str]]:
    """Customers' messages that nothing learned from, by their source."""
    return {
        "banking77": _bank()[::_HELD_OUT],
        "clinc150": _clinc("val", "oos_val"),
        "bitext": [row["instruction"] for row in _rows("intent/bitext_support.csv")],
    }


def mails(*, held_out: bool) -> list[str]:
    """Ordinary mails: one half to learn from, the other to try."""
    lines = (DATA / "injection/bipia_email_train.jsonl").read_text().splitlines()
    ordered = sorted({json.loads(line)["context"] for line in lines})
    return ordered[::2] if held_out else ordered[1::2]


def attacks() -> list[str]:
    """Requests that a mail's reader did not make; most would be harmless from himself."""
    groups = json.loads((DATA / "injection/bipia_text_attack_train.json").read_text())
    return [each for group in groups.values() for each in group]


def _slabs(part: str) -> list[Prompt]:
    return [
        Prompt(
            text=row["text"],
            injection=row["label"] == "1",
            group=" ".join(re.findall(r"\w+", row["text"].lower())[:4]),
        )
        for row in _rows(f"injection/slabs_{part}.csv")
    ]


def _core(part: str) -> list[Prompt]:
    """Read by a library of its own, beside the project, whose lock it never enters."""
    file = DATA / f"injection/core-{part}.parquet"
    if not file.exists():
        raise FileNotFoundError(file)
    words = (
        "run",
        "--quiet",
        "--no-project",
        "--with",
        "pyarrow",
        "python",
        "-c",
        _READ,
        str(file),
    )
    done = subprocess.run((_UV, *words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"{file.name} needs pyarrow, which could not be had here: {done.stderr.strip()[-300:]}"
        )
    return [
        Prompt(text=row["text"], injection=bool(row["label"]), group=str(row["group_id"]))
        for row in json.loads(done.stdout)
    ]


def _bank() -> list[str]:
    return [row["text"] for row in _rows("intent/banking77_train.csv")]


def _clinc(*parts: str) -> list[str]:
    everything = json.loads((DATA / "intent/clinc150_train_val.json").read_text())
    return [text for part in parts for text, _ in everything[part]]


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (DATA / name).open(newline="") as file:
        yield from csv.DictReader(file)


def _folded(text: str) -> str:
    return text.lower().strip()
