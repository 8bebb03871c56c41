"""Holds an MCP server: it gets no other variables, sends no endless line, outlives no worker.

A program of its own that needs Python alone: `leash.py VARIABLE,… LIMIT COMMAND…`. It passes the
server's lines on, up to LIMIT bytes each; a longer one becomes an error in answer to its request.
When the worker is gone it kills the whole group, which it leads.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from threading import Thread
from typing import IO

TOO_LARGE = -32092
"""The code of the error that stands for an answer over the limit. It was answered all the same."""

_NOT_STARTED = 127
_POLL_SECONDS = 0.25
_HEAD_BYTES = 4096
_ID = re.compile(rb'"id"\s*:\s*(\d+|"[^"\\]*")')


def main(variables: str, limit: str, *command: str) -> int:
    """Run the server to its end, or to the end of the worker."""
    worker = os.getppid()
    kept = {*variables.split(","), "PATH"}
    # The server is in a session of the leash's own, so that the whole group can be killed.
    try:
        server = subprocess.Popen(  # noqa: S603 the agent's author wrote it into agent.toml
            command,
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name in kept},
        )
    except OSError as error:
        sys.stderr.write(f"MCP server {command[0]} cannot be started: {error}\n")
        return _NOT_STARTED
    passing = Thread(target=_pass_on, args=(server, int(limit)), daemon=True)
    passing.start()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = server.wait(timeout=_POLL_SECONDS)
            passing.join(timeout=_POLL_SECONDS)
            return code
        if os.getppid() != worker:
            os.killpg(os.getpgrp(), signal.SIGKILL)


def _pass_on(server: "subprocess.Popen[bytes]", limit: int) -> None:
    lines = server.stdout
    assert lines is not None  # noqa: S101 opened above
    with contextlib.suppress(OSError):  # the worker has closed its end
        while line := lines.readline(limit + 1):
            passed = (
                line if len(line) <= limit or line.endswith(b"\n") else _cut(lines, line, limit)
            )
            if passed is None:
                server.kill()  # whose answer it is cannot be told, and its caller would wait
                return
            sys.stdout.buffer.write(passed)
            sys.stdout.buffer.flush()


def _cut(lines: IO[bytes], head: bytes, limit: int) -> bytes | None:
    """Read an endless line to its end, and give an error in answer to its request."""
    while (rest := lines.readline(limit)) and not rest.endswith(b"\n"):
        pass
    named = _ID.search(head[:_HEAD_BYTES])
    return None if named is None else _error(json.loads(named[1]))


def _error(request: object) -> bytes:
    error = {"code": TOO_LARGE, "message": "the answer is too large: ask for less."}
    return json.dumps({"jsonrpc": "2.0", "id": request, "error": error}).encode() + b"\n"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
