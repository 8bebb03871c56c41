"""Chooses the agent for a request, and names what is wanted, from the agents' own examples."""
