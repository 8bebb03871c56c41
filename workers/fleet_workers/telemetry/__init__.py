"""Logs and metrics, by the names that stand in one place each."""
