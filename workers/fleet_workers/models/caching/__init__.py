"""Replies that are used again: stored ones, for the same question or the same in other words."""
