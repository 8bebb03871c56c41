"""Checks on what comes in and on what goes out."""
