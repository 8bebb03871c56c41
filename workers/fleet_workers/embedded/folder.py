"""The fleet's own folder (`.fleet`): its lock, logs, secrets and memory between runs."""

import fcntl
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any, Final

from fleet_contracts.errors import ConfigurationError
from fleet_workers.embedded.processes import is_alive

_PRIVATE_FOLDER: Final = 0o700
_TRAVERSABLE_FOLDER: Final = 0o711
_PRIVATE_FILE: Final = 0o600
LAST_RUN_WAIT_SECONDS: Final = 60.0
"""A fleet whose supervisor was killed is stopped by its watchdog, which takes a grace period."""


class FleetFolder:
    """A folder that one fleet at a time works in. Made where it is missing, readable by its owner.

    Raises:
        ConfigurationError: The folder cannot be made or belongs to somebody else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.ready = self.path / "ready"
        self.claims = self.path / "claims"
        self._lock_fd: int | None = None
        # Root hands the database to an unprivileged user, who must pass through this folder.
        mode = _TRAVERSABLE_FOLDER if os.geteuid() == 0 else _PRIVATE_FOLDER
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(mode)
            for part in (self.logs, self.ready, self.claims):
                part.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(f"{self.path} cannot be written")
        except OSError as error:
            raise ConfigurationError(
                f"{self.path} cannot be used ({error.strerror or error}): run as the user who made "
                "it, or remove it with `make clean`."
            ) from error

    def lock(self, *, wait_seconds: float = LAST_RUN_WAIT_SECONDS) -> int:
        """Take the folder for this process and give the descriptor that holds the lock.

        Waits where the last supervisor is dead and its watchdog still stops what it left behind.

        Raises:
            ConfigurationError: A fleet runs here.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(descriptor):
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            last_run_died = holder.isdigit() and not is_alive(int(holder))
            if not last_run_died or time.monotonic() > deadline:
                os.close(descriptor)
                raise ConfigurationError(
                    f"A fleet already runs in {self.path} (process {holder or 'unknown'}): stop "
                    "it with Ctrl-C in its terminal, or start yours in another folder."
                )
            time.sleep(0.1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._lock_fd = descriptor
        return descriptor

    def unlock(self) -> None:
        """Give the folder free again. Harmless where it is not held."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def secret(self, name: str) -> str:
        """A random word of 32 URL-safe characters, the same at every start."""
        path = self.path / f"{name}.secret"
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return self.write_private(path.name, secrets.token_urlsafe(24))

    def write_private(self, name: str, text: str) -> str:
        """Write a file that only its owner can read, whole or not at all, and give its text."""
        draft = self.path / f"{name}.draft"
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(self.path / name)
        return text

    def recall(self, name: str) -> dict[str, Any]:
        """What was remembered as `name`; empty where nothing was, or the file is damaged."""
        try:
            content = json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def remember(self, name: str, content: dict[str, Any]) -> None:
        """Keep a JSON object as `name` for the next start."""
        self.write_private(f"{name}.json", json.dumps(content, indent=2) + "\n")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
