"""`python -m fleet_workers.cli`, as the fleet's own processes are started."""

from fleet_workers.cli import main

main()
