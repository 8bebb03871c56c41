"""Starts the sandbox business: `python -m fleet_workers.embedded.business --help`."""

import argparse
from pathlib import Path

import uvicorn

from fleet_workers.embedded.business.app import create_app


def main() -> None:
    """Serve on the loopback interface until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m fleet_workers.embedded.business")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", type=Path, required=True, help="a SQLite file, made if new")
    parser.add_argument("--host", default="127.0.0.1")
    arguments = parser.parse_args()
    uvicorn.run(
        create_app(arguments.database),
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
