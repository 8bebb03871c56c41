"""The fleet on one machine: servers from wheels, the supervisor, and what stands in for the world."""
