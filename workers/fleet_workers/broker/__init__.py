"""The worker side's dealings with the broker."""
