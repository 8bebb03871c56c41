"""The user that PostgreSQL runs as when the fleet is started by root, which it refuses to serve."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fleet_contracts.errors import ConfigurationError
from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.processes import Account

_UNPRIVILEGED_USER: Final = "nobody"
_LASTING_FOLDERS: Final = (Path("/var/lib"), Path("/var/tmp"), Path(tempfile.gettempdir()))  # noqa: S108
"""In this order: what is in the latter two may be cleaned away by the system after a while."""
_REMEDY: Final = (
    "Start the fleet as an ordinary user, or set FLEET_STORE_URL to a PostgreSQL server of yours."
)


def server_account(data: Path) -> Account | None:
    """The account to run a server as that refuses root; None where this process is not root's.

    Data that exists is served by its owner, for instance after an ordinary user's run.

    Raises:
        ConfigurationError: Root cannot become another user here, or there is none.
    """
    if os.geteuid() != 0:
        return None
    if data.is_dir():
        owner = data.stat()
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED_USER)
    except KeyError as error:
        raise ConfigurationError(
            f"PostgreSQL refuses to run as root, and there is no user {_UNPRIVILEGED_USER!r} to "
            f"run it as. {_REMEDY}"
        ) from error
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def run_as(account: Account | None, argv: Sequence[str | Path], *, folder: Path) -> str:
    """Run a short program in `folder` and give what it wrote.

    Raises:
        ConfigurationError: It could not be run, or failed; with what it said.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own programs
            [str(word) for word in argv],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except subprocess.CalledProcessError as error:
        raise ConfigurationError(
            f"{argv[0]} failed: {(error.stderr or error.stdout).strip()}. {_REMEDY}"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{argv[0]} cannot be run ({error}). {_REMEDY}") from error
    return done.stdout


def can_reach(account: Account, path: Path) -> bool:
    """Tell by trying whether the account can enter a folder or execute a file."""
    test = 'if [ -d "$1" ]; then cd "$1"; else "$1" --version; fi'
    try:
        run_as(account, ["/bin/sh", "-c", test, "sh", path], folder=Path("/"))
    except ConfigurationError:
        return False
    return True


def server_folder(folder: FleetFolder, name: str, account: Account | None) -> Path:
    """The folder of a server's program and data: in the fleet's, if the account can get there.

    Otherwise (a clone under /root, say) a folder of its own elsewhere, remembered for the next
    start. Parents are never opened to anybody.
    """
    inside = folder.path / name
    inside.mkdir(exist_ok=True)
    inside.chmod(0o711 if account else 0o700)  # whatever the umask is
    if account is None or can_reach(account, inside):
        return inside
    if (elsewhere := folder.recall(name).get("folder")) and Path(elsewhere).is_dir():
        return Path(elsewhere)
    root = next(root for root in _LASTING_FOLDERS if os.access(root, os.W_OK))
    made = Path(tempfile.mkdtemp(prefix=f"agent-fleet-{name}-", dir=root))
    made.chmod(0o711)
    folder.remember(name, {"folder": str(made)})
    return made


def reachable_copy(source: Path, target: Path, account: Account, wanted: Sequence[str]) -> Path:
    """Copy the `wanted` entries of a program's folder to where the account can run them, once."""
    if target.is_dir():
        return target
    draft = Path(tempfile.mkdtemp(prefix="copy-", dir=target.parent))
    for entry in wanted:
        (draft / entry).parent.mkdir(parents=True, exist_ok=True)
        if (source / entry).is_dir():
            shutil.copytree(source / entry, draft / entry)
        elif (source / entry).exists():  # a wheel for macOS keeps its libraries elsewhere
            shutil.copy2(source / entry, draft / entry)
    for path in [draft, *draft.rglob("*")]:
        path.chmod(0o755)  # readable by the account, whatever the umask of the installation was
    draft.rename(target)
    if not can_reach(account, target):
        raise ConfigurationError(f"{target} cannot be reached by an unprivileged user. {_REMEDY}")
    return target
