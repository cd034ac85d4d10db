"""What worlds call their arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
"""Positions (metres), angles (radians), rotations, joint angles and what else is real; of any shape."""
