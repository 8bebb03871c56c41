"""Files that say what was done to whom: made by workers that die, read by the harness."""

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A write asked for in a task's name by a process, under which of its claims, and when."""

    ref: str
    pid: int
    epoch: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A reply of the model read by a process; `replies` is the number of those before it."""

    ref: str
    replies: int
    pid: int
    epoch: int
    at: float


class Marks:
    """Marks of a campaign in a folder; each is made once, by whichever process comes first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def make(self, kind: str, ref: str, point: str) -> bool:
        """Make a mark; false where it stands already."""
        path = self._folder / f"{kind}.{ref}.{point}"
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        os.close(descriptor)
        return True

    def exists(self, kind: str, ref: str, point: str) -> bool:
        return (self._folder / f"{kind}.{ref}.{point}").exists()

    def all(self, kind: str) -> list[tuple[str, str]]:
        """Reference and point of every mark of a kind."""
        return [
            (parts[1], parts[2])
            for path in self._folder.iterdir()
            if (parts := path.name.split("."))[0] == kind
        ]

    def note_read(self, ref: str, replies: int, epoch: int) -> None:
        """Say that this process has read the model's reply to this point of a conversation."""
        self._append("reads", f"{ref} {replies} {os.getpid()} {epoch} {time.time()}")

    def reads(self) -> list[Read]:
        """Every reply of the model that a worker has read."""
        return [
            Read(ref=ref, replies=int(replies), pid=int(pid), epoch=int(epoch), at=float(at))
            for ref, replies, pid, epoch, at in self._lines("reads")
        ]

    def note_ask(self, ref: str, epoch: int) -> None:
        """Say that this process is about to ask the business for a write."""
        self._append("asks", f"{ref} {os.getpid()} {epoch} {time.time()}")

    def asks(self) -> list[Ask]:
        """Every write that a worker asked the business for."""
        return [
            Ask(ref=ref, pid=int(pid), epoch=int(epoch), at=float(at))
            for ref, pid, epoch, at in self._lines("asks")
        ]

    def _append(self, name: str, line: str) -> None:
        descriptor = os.open(
            self._folder / f"{name}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600
        )
        os.write(descriptor, f"{line}\n".encode())  # one write: lines of others do not mix in
        os.close(descriptor)

    def _lines(self, name: str) -> list[list[str]]:
        path = self._folder / f"{name}.log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []
