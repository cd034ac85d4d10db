"""How the suite runs: two processes share a machine that may be busy with other work."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Before torch is imported: each of two processes computes on one core.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more about the machine than about the code.
settings.register_profile("harness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("harness")
