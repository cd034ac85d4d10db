"""Agents that are evaluated: everything that acts from observations."""
