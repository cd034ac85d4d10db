"""Hydra configuration groups: benchmark, agent, protocol, executor."""
