"""A stated mix of real customer messages, and models whose mistakes are real ones."""
