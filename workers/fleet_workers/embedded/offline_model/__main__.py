"""Starts the offline model: `python -m fleet_workers.embedded.offline_model --port N`."""

import argparse

import uvicorn

from fleet_workers.embedded.offline_model.server import create_app


def main() -> None:
    """Serve until stopped by a signal."""
    parser = argparse.ArgumentParser(prog="offline_model", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="TCP port to listen on")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    chosen = parser.parse_args()
    uvicorn.run(
        create_app(), host=chosen.host, port=chosen.port, log_level="warning", access_log=False
    )


if __name__ == "__main__":
    main()
