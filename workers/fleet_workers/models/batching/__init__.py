"""Lets alike requests that are in flight together share one call."""
