"""Measurements: each module has a ``main()`` that prints and returns numbers; see ``python -m tests.benchmarks -h``."""
