"""The board and the camera: the fixed numbers of the public simulator's scene.

Metres and radians in the robot's base frame. ``x`` points away from the robot ("top" of the board is at the robot,
``x = 0.15``), ``y`` to the camera's right ("left" is ``y = -0.3048``). Source: constants of the public simulator.
"""

from __future__ import annotations

import math
from typing import Final

X_MIN: Final = 0.15
X_MAX: Final = 0.6
Y_MIN: Final = -0.3048
Y_MAX: Final = 0.3048
"""What the commanded effector position is clipped to."""

SPAWN_MARGIN: Final = 0.08
"""Robot and blocks start at least this far inside the board's edges; most targets must lie there too."""

EFFECTOR_HEIGHT: Final = 0.145
"""Commanded height of link 6; the rod's lower end then hangs about 8.5 mm above the table."""

EFFECTOR_ORIENTATION: Final = (0.0, 1.0, 0.0, math.cos(math.pi / 2))
"""Pointing down, ``xyzw``. The last element is not exactly zero, as in the public simulator."""

INITIAL_JOINTS: Final = (
    -0.5875016909413221,
    0.15985553866983415,
    -0.4992862770497537,
    0.0017427885915130214,
    0.33927183830553914,
    -3.7249551487437524,
)
"""Joint angles of the arm when it is loaded."""

CONTROL_HZ: Final = 10.0
SUBSTEPS: Final = 24
"""Bullet's 240 Hz steps per action."""

ACTION_LIMIT: Final = 0.1
"""Bound of the action space per component, metres; the public simulator declares it and does not enforce it."""

IMAGE_WIDTH: Final = 320
IMAGE_HEIGHT: Final = 180
CAMERA_POSITION: Final = (0.75, 0.0, 0.5)
CAMERA_EULER: Final = (math.pi / 5, math.pi, -math.pi / 2)
FOCAL_LENGTH: Final = 0.803 * IMAGE_WIDTH
"""Pixels; independent of the requested image size, as in the public simulator."""
CAMERA_NEAR: Final = 0.01
CAMERA_FAR: Final = 10.0

INSTRUCTION_LENGTH: Final = 512
"""Bytes of an encoded instruction."""


def inside_spawn_area(x: float, y: float) -> bool:
    """Whether a point lies strictly inside the board shrunk by `SPAWN_MARGIN`."""
    inside_x = X_MIN + SPAWN_MARGIN < x < X_MAX - SPAWN_MARGIN
    return inside_x and Y_MIN + SPAWN_MARGIN < y < Y_MAX - SPAWN_MARGIN
