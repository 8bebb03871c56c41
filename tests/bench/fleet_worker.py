"""Starts `fleetctl` as it is, but with the instant model in the gateway's place."""

from bench.instant_model import use_instant_model
from fleet_workers import cli

if __name__ == "__main__":
    use_instant_model()
    cli.main()
