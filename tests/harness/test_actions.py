from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from harness.actions import InvalidActionError, checked_action

SPACE = gymnasium.spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 2.0]), dtype=np.float64)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (None, "no action"),
        ("forward", "no array of numbers"),
        ([0.0, 1.0, 0.0], r"shape \(3,\).*wants \(2,\)"),
        ([np.nan, 1.0], "NaN or infinity"),
        ([np.inf, 1.0], "NaN or infinity"),
        ([0.0, 2.5], r"action\[1\] = 2.5 is outside of \[0, 2\]"),
        ([-1.01, 1.0], r"action\[0\] = -1.01 is outside of \[-1, 1\]"),
    ],
)
def test_bad_actions_are_refused_with_the_reason(action: object, message: str) -> None:
    with pytest.raises(InvalidActionError, match=message):
        checked_action(action, SPACE)


def test_good_actions_are_copied_and_cast() -> None:
    space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action = np.array([0.1, -1.0])
    checked = checked_action(action, space)
    action[0] = 9
    assert checked.dtype == np.float32
    assert checked.tolist() == pytest.approx([0.1, -1.0])
