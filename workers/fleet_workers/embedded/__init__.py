"""The fleet on one machine: servers from wheels, a supervisor, stand-ins for the world outside."""
