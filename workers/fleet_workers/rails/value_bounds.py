"""Where a value may begin and end in a text, what stands before it, and what it is without gaps."""

from typing import Final

START: Final = r"(?<!\w)(?<!\d[.,+-])"
END: Final = r"(?![\w]|[.,-]\d)"
_WINDOW: Final = 40


def before(text: str, start: int) -> str:
    """The last characters before `start`, where a word may say what follows."""
    return text[max(0, start - _WINDOW) : start]


def plain(text: str) -> str:
    """Letters and digits alone, the letters as capitals."""
    return "".join(each for each in text if each.isalnum()).upper()
