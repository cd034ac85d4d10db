"""The evaluation engine: interfaces, rollout, executors, run store, provenance and the command line."""

__version__ = "0.1.0"
