"""Frozen suites as data files; ``thinkbench.suite`` reads them."""
