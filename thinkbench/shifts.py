"""Shifts: the same episodes under other conditions, at three levels each.

A shift is a pure function of an episode, a level and the number of a draw. ``camera``, ``lighting`` and ``colours``
change pictures only; ``unseen-words`` changes the instruction only; ``friction-mass`` changes how things move;
``distractors`` and ``clutter`` add to the scene. The last three are drawn until the expert still succeeds; which draw
that is ships with the suite (`thinkbench.shift_draws`).
"""

from __future__ import annotations

import colorsys
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from envs.tabletop.cameras import Light, Views
from envs.tabletop.conditions import Conditions
from envs.tabletop.scene import Colour, SceneSpec
from envs.tabletop.shapes import RGBA, TABLE_RGBA, Rgba
from harness.interfaces import derive_seed
from thinkbench.binding import RejectedError
from thinkbench.generator import Wording, rehearse
from thinkbench.literals import Literal as GoalLiteral
from thinkbench.shift_scenes import with_clutter, with_distractors
from thinkbench.shift_words import reworded, with_remark
from thinkbench.specs import EpisodeRecord
from thinkbench.symbolic import UnsolvableError

SHIFT_VERSION = 1
"""Raised by every change that alters a shifted episode."""

Shift = Literal["none", "camera", "lighting", "colours", "distractors", "friction-mass", "unseen-words", "clutter"]

LEVELS = (1, 2, 3)

RECERTIFIED: tuple[Shift, ...] = ("distractors", "friction-mass", "clutter")
"""Shifts after which it has to be shown anew that the expert solves the episode."""

_DISTRACTORS = (2, 3, 4)  # how many are added at each level
_CLUTTER = (1, 2, 3)

_AZIMUTH, _ELEVATION, _ROLL = (6.0, 13.0, 22.0), (3.0, 7.0, 12.0), (2.0, 4.0, 7.0)  # degrees
_FARTHER = (0.04, 0.08, 0.14)  # share of the camera's distance
_MOUNT = (0.004, 0.008, 0.014)  # metres by which the gripper's camera is off

_SUN_AZIMUTH, _SUN_ELEVATION = (40.0, 90.0, 160.0), (6.0, 14.0, 24.0)  # degrees
_TINT, _DUSK = (0.10, 0.20, 0.34), (0.08, 0.16, 0.26)

_HUE, _SATURATION, _VALUE, _TABLE = (0.012, 0.020, 0.030), (0.08, 0.16, 0.26), (0.06, 0.12, 0.20), (0.06, 0.12, 0.18)
_LEAST_CONTRAST = 0.25  # distance in RGB that any two paints keep
_PAINTS = 2000  # draws before a palette is given up

_FRICTION = (((0.80, 0.88), (1.10, 1.15)), ((0.62, 0.72), (1.18, 1.24)), ((0.45, 0.55), (1.30, 1.38)))
_MASS = (((0.75, 0.85), (1.20, 1.30)), ((0.50, 0.60), (1.60, 1.80)), ((0.30, 0.40), (2.40, 2.80)))
"""Ranges of the factors at each level, below and above 1. With friction above 1.4 times the standard one, things would
come to rest on pyramids and wedges, which the symbolic domain rules out."""


def shifted(record: EpisodeRecord, shift: Shift, level: int, draw: int = 0) -> EpisodeRecord:
    """``record`` under a shift.

    Args:
        record: The episode.
        shift: What changes; ``none`` changes nothing.
        level: 1, 2 or 3.
        draw: Which draw of the shift; for those in `RECERTIFIED`.

    Raises:
        RejectedError: This draw leaves no room for the task.
        ValueError: There is no such shift or level.
    """
    if shift == "none":
        return record
    if level not in LEVELS:
        raise ValueError(f"shift {shift} has the levels 1, 2 and 3, not {level}")
    rng = np.random.default_rng(derive_seed("thinkbench shift", SHIFT_VERSION, shift, record.episode_id, draw))
    match shift:
        case "camera":
            return _under(record, Conditions(views=_views(level, rng)))
        case "lighting":
            return _under(record, Conditions(light=_light(level, rng)))
        case "colours":
            palette, table = _paints(level, rng)
            return _under(record, Conditions(palette=palette, table=table))
        case "friction-mass":
            friction, mass = (_factor(ranges[level - 1], rng) for ranges in (_FRICTION, _MASS))
            return _under(record, Conditions(friction=friction, mass=mass))
        case "unseen-words":
            return _in_other_words(record, level, rng)
        case "distractors":
            return _in_scene(record, with_distractors(record.meta, _DISTRACTORS[level - 1], rng))
        case "clutter":
            return _in_scene(record, with_clutter(record.meta, _CLUTTER[level - 1], rng))
    raise ValueError(f"there is no shift {shift!r}")


def _under(record: EpisodeRecord, conditions: Conditions) -> EpisodeRecord:
    return replace(record, meta={**record.meta, "conditions": _as_json(conditions.to_dict())})


def _in_other_words(record: EpisodeRecord, level: int, rng: np.random.Generator) -> EpisodeRecord:
    """A held-out paraphrase (level 1), the standard one in unseen words (2), or both and an irrelevant remark (3)."""
    told: Wording = "standard" if level == 2 else "held_out"
    text = record.instructions[told]
    if level >= 2:
        text = reworded(text)
    if level == 3:
        text = with_remark(text, rng)
    return replace(
        record,
        instructions={**record.instructions, "standard": text},
        paraphrases={**record.paraphrases, "standard": record.paraphrases[told]},
    )


def _in_scene(record: EpisodeRecord, scene: SceneSpec) -> EpisodeRecord:
    """``record`` with another scene, in which a plan of the same length has to have room.

    Raises:
        RejectedError: It has none.
    """
    goal, rules = (_literals(record.meta[key]) for key in ("goal", "rules"))
    try:
        rehearse(scene, goal, rules, record.horizon)
    except UnsolvableError as error:
        raise RejectedError(str(error)) from error
    return replace(record, meta={**record.meta, "scene": _as_json(scene.to_dict())})


def _as_json(data: Any) -> Any:
    return json.loads(json.dumps(data))


def _literals(data: Any) -> tuple[GoalLiteral, ...]:
    return tuple(GoalLiteral.from_list(words) for words in data)


# ------------------------------------------------------------------------------------------------- looks


def _views(level: int, rng: np.random.Generator) -> Views:
    """The static camera elsewhere around the point that it looks at, farther off and askew; the gripper's shifted."""
    standard = Views()
    x, y, z = np.array(standard.static_eye) - np.array(standard.static_target)
    azimuth = math.atan2(y, x) + math.radians(_signed(_AZIMUTH, level, rng))
    elevation = math.atan2(z, math.hypot(x, y)) + math.radians(_signed(_ELEVATION, level, rng))
    distance = math.sqrt(x * x + y * y + z * z) * (1 + abs(_signed(_FARTHER, level, rng)))
    flat = distance * math.cos(elevation)
    offset = (flat * math.cos(azimuth), flat * math.sin(azimuth), distance * math.sin(elevation))
    return replace(
        standard,
        static_eye=_vector(np.array(standard.static_target) + offset),
        static_roll=round(math.radians(_signed(_ROLL, level, rng)), 5),
        gripper_eye=_vector(np.array(standard.gripper_eye) + [_signed(_MOUNT, level, rng) for _ in range(3)]),
    )


def _light(level: int, rng: np.random.Generator) -> Light:
    """Light from elsewhere and lower, warmer or colder, with less from everywhere; at level 3 things cast shadows."""
    standard = Light()
    x, y, z = standard.direction
    azimuth = math.atan2(y, x) + math.radians(_signed(_SUN_AZIMUTH, level, rng))
    elevation = math.atan2(z, math.hypot(x, y)) - math.radians(abs(_signed(_SUN_ELEVATION, level, rng)))
    flat = math.cos(elevation)
    tint = _signed(_TINT, level, rng)
    return replace(
        standard,
        direction=_vector(np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)])),
        colour=_vector(np.array([1 + min(tint, 0.0), 1 - abs(tint) / 2, 1 - max(tint, 0.0)])),
        ambient=round(standard.ambient - abs(_signed(_DUSK, level, rng)), 4),
        shadows=level == LEVELS[-1],
    )


def _paints(level: int, rng: np.random.Generator) -> tuple[dict[Colour, Rgba], Rgba]:
    """Other paints for all named colours and the table; each is still nearer to its own name than to any other."""
    for _ in range(_PAINTS):
        palette = {colour: _repainted(RGBA[colour], level, rng) for colour in Colour}
        table = _vector(np.clip(np.array(TABLE_RGBA[:3]) + [_signed(_TABLE, level, rng) for _ in range(3)], 0, 1))
        if _is_legible(palette, (*table, 1.0)):
            return palette, (*table, 1.0)
    raise RejectedError("no palette has enough contrast")


def _repainted(paint: Rgba, level: int, rng: np.random.Generator) -> Rgba:
    hue, saturation, value = colorsys.rgb_to_hsv(*paint[:3])
    hue += _signed(_HUE, level, rng)
    saturation = min(1.0, max(0.0, saturation + _signed(_SATURATION, level, rng)))
    value = min(1.0, value + _signed(_VALUE, level, rng))
    return (*_vector(np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))), 1.0)


def _is_legible(palette: Mapping[Colour, Rgba], table: Rgba) -> bool:
    if (
        min(math.dist(one, other) for one, other in itertools.combinations([*palette.values(), table], 2))
        < _LEAST_CONTRAST
    ):
        return False
    return all(
        min(Colour, key=lambda name: math.dist(RGBA[name], paint)) == colour for colour, paint in palette.items()
    )


# ----------------------------------------------------------------------------------------------- numbers


def _signed(magnitudes: tuple[float, float, float], level: int, rng: np.random.Generator) -> float:
    """The level's magnitude, or somewhat less, in either direction."""
    return float(rng.choice((-1.0, 1.0)) * rng.uniform(0.8, 1.0)) * magnitudes[level - 1]


def _factor(ranges: tuple[tuple[float, float], tuple[float, float]], rng: np.random.Generator) -> float:
    low, high = ranges[rng.integers(2)]
    return round(low + (high - low) * float(rng.uniform()), 4)


def _vector(values: Any) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 5) for value in values)
    return (x, y, z)
