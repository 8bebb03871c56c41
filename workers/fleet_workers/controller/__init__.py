"""Decides what happens next with a task, and carries it out step by step."""
