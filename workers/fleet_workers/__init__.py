"""The worker side of Agent Fleet."""
