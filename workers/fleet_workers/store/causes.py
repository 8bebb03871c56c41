"""Names what went wrong without what differs from case to case, so that like faults group."""

import re

_LENGTH = 200
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_QUOTED = re.compile(r"(?<!\w)(['\"`\u201c\u2018]).{0,500}?['\"`\u201d\u2019](?!\w)", re.DOTALL)
# A server's status tells causes apart (401 is no 503); every other number is an accident.
_NUMBER = re.compile(r"(?<!\w)(?<!answered )(?<!status )[-+]?\d+(?:[.,:]\d+)*(?!\w)")
_IDENTIFIER = re.compile(r"\b(?=\w*\d)(?=\w*[^\W\d])\w+\b")


def cause_of(reason: str, error: str) -> str:
    """The fingerprint of a dead letter: its reason and its error, 200 characters at most.

    Quoted values, identifiers, addresses' ports and numbers are masked. Equal faults give equal
    texts in every process and release.
    """
    text = _UUID.sub("<id>", error)
    text = _QUOTED.sub("<value>", text)
    text = _NUMBER.sub("<n>", text)
    text = _IDENTIFIER.sub("<id>", text)
    return f"{reason}: {' '.join(text.split())}"[:_LENGTH]
