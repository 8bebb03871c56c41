"""Runs worker processes: a pool of slots, and single tasks apart from it."""
