"""Gathers what happened to a fleet in a span of time: for those who mend it, and those who wait."""
