"""Checks on what an agent returns. A bad action is the agent's error, never silently something else."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt


class InvalidActionError(ValueError):
    """An agent returned no action, or one outside of the action space."""


def checked_action(action: Any, space: gymnasium.spaces.Box) -> npt.NDArray[Any]:
    """``action`` as an array of the space's dtype, copied.

    Raises:
        InvalidActionError: if it is missing, not numeric, of another shape, not finite or out of bounds.
    """
    if action is None:
        raise InvalidActionError("the agent returned no action for this lane (None or missing key)")
    try:
        given = np.asarray(action)
    except ValueError as error:
        raise InvalidActionError(f"the agent returned something that is no array of numbers: {error}") from error
    if given.dtype.kind not in "biuf":
        raise InvalidActionError(f"the agent returned a {type(action).__name__} that is no array of numbers")
    raw = given.astype(np.float64)
    if raw.shape != space.shape:
        raise InvalidActionError(f"the action has shape {raw.shape}, the action space wants {space.shape}")
    if not np.isfinite(raw).all():
        raise InvalidActionError(f"the action holds NaN or infinity: {raw.tolist()}")
    cast = raw.astype(space.dtype)
    if np.issubdtype(space.dtype, np.integer) and (cast != raw).any():
        raise InvalidActionError(f"the action space wants whole numbers, not {raw.tolist()}")
    if (cast < space.low).any() or (cast > space.high).any():
        worst = int(np.argmax(np.maximum(space.low - cast, cast - space.high)))
        low, high = float(space.low.flat[worst]), float(space.high.flat[worst])
        raise InvalidActionError(
            f"action[{worst}] = {float(cast.flat[worst]):g} is outside of [{low:g}, {high:g}]; clip it in the agent"
        )
    return cast
