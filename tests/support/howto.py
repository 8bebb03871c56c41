"""The programs that how-to pages show, to be run as they stand there."""

import re
from pathlib import Path

_PAGES = Path(__file__).parents[2] / "docs" / "howto"


def program_of(page: str, language: str, holding: str = "") -> str:
    """The one block of a language on a how-to page that holds some words."""
    text = (_PAGES / page).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (block,) = [each for each in blocks if holding in each]
    return str(block)
