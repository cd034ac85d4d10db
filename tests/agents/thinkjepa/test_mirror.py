"""Mirror images of episodes are what the mirrored world would have recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import configs
from agents.thinkjepa.config import EncoderConfig
from agents.thinkjepa.images import looked_at
from agents.thinkjepa.training.camera import CameraConfig
from agents.thinkjepa.training.config import DataConfig, TrainingError
from agents.thinkjepa.training.mirror import with_mirror_images
from agents.thinkjepa.training.recordings import Recordings, open_data
from agents.thinkjepa.training.seen import SeenObjects
from envs.tabletop.scene import SceneSpec
from harness.cli import main
from thinkbench.subgoals.env import SubgoalEnv
from thinkbench.subgoals.goals import KINDS, holding, subgoals

TABLETOP = Path(configs.__file__).parent / "train" / "camera" / "tabletop.yaml"


def camera(**changes: Any) -> CameraConfig:
    return CameraConfig(**{**yaml.safe_load(TABLETOP.read_text()), **changes})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("play") / "run"
    keys = "record=[rgb_static,object_states,scene,subgoals,holds]"
    overrides = ["benchmark=subgoals", "agent=explore", "limit=4", "protocol.image_size=64", keys, f"run_dir={run}"]
    assert main(["collect", *overrides]) == 0
    return run


def read(run: Path, *wanted: str) -> Recordings:
    encoder = EncoderConfig(image_size=64, patch_size=8, width=8, layers=1, heads=1, crop=camera().crop)
    data = DataConfig(sources=(run,), image="rgb_static", action_block=1, held_out=0.25, limit=None, mirror=True)
    return open_data(data, wanted).read(encoder, seed=0)


@pytest.fixture(scope="module")
def scenes(recorded: Path) -> list[SceneSpec]:
    from harness.dataset import Dataset

    dataset = Dataset(recorded / "dataset")
    found = [dataset.episode(number)["observation.scene"][0] for number in range(len(dataset))]
    return [SceneSpec.from_dict(json.loads(scene)) for scene in found]


@pytest.fixture(scope="module")
def env() -> Iterator[SubgoalEnv]:
    env = SubgoalEnv(image_size=64, observation_keys=("rgb_static",))
    yield env
    env.close()


def mirrored(scene: SceneSpec) -> SceneSpec:
    objects = [replace(o, position=(o.position[0], -o.position[1], o.position[2]), yaw=-o.yaw) for o in scene.objects]
    zones = [replace(zone, centre=(zone.centre[0], -zone.centre[1])) for zone in scene.zones]
    return SceneSpec(tuple(objects), tuple(zones))


def test_they_are_what_a_mirrored_world_shows_and_holds(
    recorded: Path, scenes: list[SceneSpec], env: SubgoalEnv
) -> None:
    recordings = read(recorded)
    both = with_mirror_images(recordings, camera())
    trained = [number for number, episode in enumerate(recordings.episodes) if not episode.held_out]
    assert len(both.episodes) == len(recordings.episodes) + len(trained) == 7
    assert len(both.frames) == len(both.actions) == both.episodes[-1].stop
    for number, image in zip(trained, both.episodes[4:], strict=True):
        scene = mirrored(scenes[number])
        env.unwrapped._tabletop.reset(options={"scene": scene})  # type: ignore[attr-defined]
        world = env.unwrapped._tabletop.world  # type: ignore[attr-defined]
        shown = looked_at(world.render("rgb_static", 64).rgb, 64, camera().crop).astype(float)
        difference = np.abs(shown - both.frames[image.start].numpy()).mean()
        other = np.abs(shown - recordings.frames[recordings.episodes[number].start].numpy()).mean()
        assert difference < other / 2  # it is not 0: light comes from one side, and the hand has a front
        goals = subgoals(scene)
        now = holding(world.state(), goals)
        true = {(g.kind, text) for g, holds in zip(goals, now, strict=True) if holds for text in paraphrases(g)}
        assert image.holds is not None
        stated = {(kind, text) for (kind, text, _), holds in zip(image.subgoals, image.holds[0], strict=True) if holds}
        assert stated <= true
        assert len(stated) == sum(now)


def paraphrases(goal: Any) -> set[str]:
    return {goal.text(paraphrase) for paraphrase in KINDS[goal.kind].standard}


def test_sub_goals_that_count_from_one_side_have_no_mirror_image(recorded: Path) -> None:
    recordings = read(recorded)
    kind, _, things = recordings.episodes[0].subgoals[0]
    episodes = [
        replace(
            episode,
            subgoals=[*episode.subgoals, (kind, "Put it on the second red zone.", things)],
            holds=np.hstack([episode.holds, np.ones((len(episode.holds), 1), bool)]),  # type: ignore[arg-type, list-item]
        )
        for episode in recordings.episodes
    ]
    more, fewer = (
        with_mirror_images(replace(recordings, episodes=own), camera()) for own in (episodes, recordings.episodes)
    )
    for image, without in zip(more.episodes[4:], fewer.episodes[4:], strict=True):
        assert image.subgoals == without.subgoals
        np.testing.assert_array_equal(image.holds, without.holds)  # type: ignore[arg-type]


def test_positions_and_actions_change_sides(recorded: Path) -> None:
    recordings = read(recorded)
    both = with_mirror_images(recordings, camera())
    first = next(number for number, episode in enumerate(recordings.episodes) if not episode.held_out)
    source, image = recordings.episodes[first], both.episodes[4]
    before, after = both.positions(), recordings.positions()
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(
        before[image.start : image.stop], after[source.start : source.stop] * np.float32([1, -1, 1])
    )
    np.testing.assert_array_equal(
        both.actions[image.start : image.stop],
        recordings.actions[source.start : source.stop] * np.float32([1, 1, -1, 1, -1, -1]),
    )
    seen = camera().project(after[source.start])
    np.testing.assert_allclose(camera().project(before[image.start])[..., 0], 1 - seen[..., 0], atol=1e-6)


def test_what_is_seen_where_is_mirrored_too(recorded: Path, scenes: list[SceneSpec]) -> None:
    recordings = read(recorded)
    both = with_mirror_images(recordings, camera())
    seen = SeenObjects(both, camera(), grid=8)
    first = next(number for number, episode in enumerate(recordings.episodes) if not episode.held_out)
    rows = np.array([recordings.episodes[first].start, both.episodes[4].start])
    words, place = (part.reshape(2, 8, 8, -1) for part in seen.at(rows))
    assert torch.equal(words[0].flip(1), words[1])
    torch.testing.assert_close(place[0].flip(1) * torch.tensor([-1, 1, 1]), place[1], equal_nan=True)
    assert torch.equal(words.any(-1), place.isfinite().all(-1))
    positions = both.positions()
    assert positions is not None
    for spec in scenes[first].objects:
        where = positions[rows[0], both.names.index(spec.name)]
        u, v = camera().project(where) * 8
        described = {seen.words[number] for number in np.flatnonzero(words[0, int(v), int(u)])}
        assert {spec.colour.value, spec.kind.value} <= described


def test_what_has_no_mirror_image_is_refused(recorded: Path) -> None:
    recordings = read(recorded)
    for none in (None, camera(mirror=None)):
        with pytest.raises(TrainingError, match=r"needs camera\.mirror"):
            with_mirror_images(recordings, none)
    with_more = replace(recordings, observations={**recordings.observations, "robot_obs": np.zeros((1, 1))})
    with pytest.raises(TrainingError, match="'robot_obs' is not known"):
        with_mirror_images(with_more, camera())
    with pytest.raises(ValueError, match="plane y = 0"):
        camera(eye=[0.7, 0.1, 0.6])
