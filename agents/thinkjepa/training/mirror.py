"""Mirror images of episodes: twice the data, where a world looks and behaves alike on both sides of its camera."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from agents.thinkjepa.training.camera import CameraConfig, MirrorConfig
from agents.thinkjepa.training.config import TrainingError
from agents.thinkjepa.training.recordings import OBJECTS, Episode, Recordings

_Y = 1  # the camera stands in the plane y = 0 and looks along it


def with_mirror_images(recordings: Recordings, camera: CameraConfig | None) -> Recordings:
    """All episodes, and behind them the mirror images of those that are not held out.

    Pictures are flipped from left to right; `MirrorConfig` says what becomes of actions, kinds and words of sub-goals.

    Raises:
        TrainingError: It is not known what mirrors what, or an observation that is read has no mirror image.
    """
    mirror = None if camera is None else camera.mirror
    if mirror is None:
        raise TrainingError("data.mirror=true needs camera.mirror, which says what becomes of actions and words")
    unknown = sorted(set(recordings.observations) - {OBJECTS})
    if unknown:
        raise TrainingError(
            f"data.mirror=true: the mirror image of {unknown[0]!r} is not known; take it out of objective.state"
        )
    chosen = [episode for episode in recordings.episodes if not episode.held_out]
    rows = np.concatenate([np.arange(episode.start, episode.stop) for episode in chosen])
    actions = recordings.actions[rows]
    actions[:, list(mirror.actions)] *= -1
    observations = dict(recordings.observations)
    positions = recordings.positions()
    if positions is not None:
        flipped = positions[rows] * np.where(np.arange(3) == _Y, -1, 1).astype(np.float32)
        observations[OBJECTS] = np.concatenate([observations[OBJECTS], flipped.reshape(len(rows), -1)])
    return replace(
        recordings,
        frames=torch.cat([recordings.frames, recordings.frames[torch.from_numpy(rows)].flip(2)]),
        actions=np.concatenate([recordings.actions, actions]),
        episodes=[*recordings.episodes, *_behind(chosen, len(recordings.actions), mirror)],
        observations=observations,
    )


def _behind(episodes: Sequence[Episode], start: int, mirror: MirrorConfig) -> list[Episode]:
    """Mirror images whose rows begin at ``start``."""
    words = _Exchange(mirror.words)
    kinds = _Exchange(mirror.kinds)
    images = []
    for episode in episodes:
        stop = start + episode.stop - episode.start
        places = {name: (x, -y, z) for name, (x, y, z) in episode.places.items()}
        kept = [n for n, (_, text, _) in enumerate(episode.subgoals) if not set(mirror.without) & set(text.split())]
        subgoals = [
            (kinds(kind), words(text), things) for kind, text, things in map(episode.subgoals.__getitem__, kept)
        ]
        holds = None if episode.holds is None else episode.holds[:, kept]
        images.append(replace(episode, start=start, stop=stop, places=places, subgoals=subgoals, holds=holds))
        start = stop
    return images


class _Exchange:
    """Puts each phrase of a pair where the other one stood."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._other = {**dict(pairs), **{second: first for first, second in pairs}}
        phrases = "|".join(re.escape(phrase) for phrase in self._other)
        self._pattern = re.compile(rf"\b({phrases})\b") if phrases else None

    def __call__(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._other[found[0]], text)
