"""Looks at everything that a fleet stands on, and says what to do about what is wrong."""
