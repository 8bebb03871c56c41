"""Sends questions that have time to the provider's Batch API, which answers within a day."""
