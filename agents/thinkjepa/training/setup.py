"""From a configuration to a model, its objective, and the checkpoint that comes of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch

from agents.devices import choose
from agents.thinkjepa.checkpoints import Checkpoint, CheckpointError, from_pretrained
from agents.thinkjepa.distances import Distance
from agents.thinkjepa.model import ThinkJEPA
from agents.thinkjepa.training.causal import Causal
from agents.thinkjepa.training.compose import changed_model, model_config
from agents.thinkjepa.training.config import (
    CausalConfig,
    GoalsConfig,
    LoopConfig,
    MaskedConfig,
    TrainConfig,
    TrainingError,
)
from agents.thinkjepa.training.draws import seed_torch
from agents.thinkjepa.training.health import Threshold
from agents.thinkjepa.training.masked import Masked
from agents.thinkjepa.training.objective import Objective
from agents.thinkjepa.training.recordings import Opened, Recordings
from agents.thinkjepa.training.subgoals import SubGoals
from agents.thinkjepa.world_model import WorldModel


def choose_device(config: LoopConfig) -> tuple[torch.device, bool]:
    """Where to train, and whether in bfloat16.

    Raises:
        TrainingError: CUDA is asked for and there is none.
    """
    try:
        chosen = choose(config.device)
    except ValueError as error:
        raise TrainingError(str(error)) from error
    if chosen.type == "cpu":
        return chosen, config.precision == "bf16"
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device, config.precision == "bf16" or (config.precision == "auto" and torch.cuda.is_bf16_supported())


def make_model(config: TrainConfig, sources: Opened) -> ThinkJEPA:
    """A new model, or that of ``init`` with the changes of ``model``, which may leave layers out but add none.

    A changed Goal Projection Interface starts anew; a new model may have the encoder of ``init_encoder``.

    Raises:
        TrainingError: The model does not fit the data, or it does not fit the weights of ``init`` or ``init_encoder``.
    """
    camera, action_dim = config.camera, config.data.action_block * sources.action_dim
    if camera is not None and sources.benchmark not in camera.benchmarks:
        raise TrainingError(
            f"camera: it is that of {', '.join(camera.benchmarks)}, the data are of {sources.benchmark}; give "
            "camera=none, or describe its camera in a file of configs/train/camera"
        )
    seed_torch(config.seed, "weights")
    if config.init is None:
        model = ThinkJEPA(model_config(config, action_dim))
        if config.init_encoder is not None:
            _take_published(model.world_model, config.init_encoder)
        return model
    checkpoint = _checkpoint(config.init)
    spoken = checkpoint if config.init_gpi is None else _checkpoint(config.init_gpi, "init_gpi")
    start = asdict(checkpoint.model.config) | {"gpi": asdict(spoken.model.config.gpi)}
    model = ThinkJEPA(changed_model(start, config.model))
    crop = model.config.world_model.encoder.crop
    if camera is not None and camera.crop != crop:
        raise TrainingError(
            f"camera.crop={list(camera.crop)}: init={config.init} looks at {list(crop)}; give it the same"
        )
    trained = model.config.world_model.action_dim
    if trained != action_dim:
        raise TrainingError(
            f"init={config.init} takes actions of {trained} components, the data have {action_dim} "
            f"({config.data.action_block} x {sources.action_dim}); change data.action_block or the data"
        )
    try:
        weights, kept = checkpoint.model.world_model.state_dict(), model.world_model.state_dict()
        model.world_model.load_state_dict({name: value for name, value in weights.items() if name in kept})
    except RuntimeError as error:
        raise TrainingError(
            f"model: the changes do not fit the weights of init={config.init}: {_misfit(error)}"
        ) from error
    if model.config.gpi == spoken.model.config.gpi:
        try:
            model.gpi.load_state_dict(spoken.model.gpi.state_dict())
        except RuntimeError as error:
            raise TrainingError(
                f"init_gpi={config.init_gpi} is of states of another size than init={config.init}: {_misfit(error)}"
            ) from error
    return model


def _take_published(world: WorldModel, name: str) -> None:
    """Give a new world model the weights of a published V-JEPA 2 encoder.

    Raises:
        TrainingError: There is no such model, or the world model's encoder is of another kind or size.
    """
    own = world.config.encoder
    if own.kind != "vjepa2":
        raise TrainingError(
            f"init_encoder={name} is for a V-JEPA 2 encoder, the model's is {own.kind}; give "
            "model.world_model.encoder.kind=vjepa2"
        )
    from agents.thinkjepa.vjepa2 import VJEPA2Encoder, published_sizes  # transformers takes seconds to import

    try:
        wrong = {key: size for key, size in published_sizes(name).items() if getattr(own, key) != size}
        if wrong:
            found = ", ".join(f"{key}={size} (the model has {getattr(own, key)})" for key, size in wrong.items())
            given = " ".join(f"model.world_model.encoder.{key}={size}" for key, size in wrong.items())
            raise TrainingError(f"init_encoder={name} has {found}; give {given}")
        world.encoder.load_state_dict(VJEPA2Encoder.from_pretrained(name, own.image_size).state_dict())
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"init_encoder={name}: {str(error).splitlines()[0]}; give the folder or hub id of a V-JEPA 2 model"
        ) from error


def _misfit(error: RuntimeError) -> str:
    """The first weight that ``load_state_dict`` could not place."""
    return str(error).splitlines()[1].strip()


def _checkpoint(source: str, key: str = "init") -> Checkpoint:
    try:
        return from_pretrained(source)
    except CheckpointError as error:
        raise TrainingError(f"{key}: {error}") from error


def set_action_scale(model: ThinkJEPA, recordings: Recordings, block: int) -> None:
    """Tell a new model the mean and spread of the actions of training episodes."""
    rows = np.concatenate([np.arange(e.start, e.stop - 1) for e in recordings.episodes if not e.held_out])
    actions = recordings.actions[rows]
    spread = actions.std(axis=0)
    world = model.world_model
    world.action_mean.copy_(torch.from_numpy(np.tile(actions.mean(axis=0), block)))
    world.action_std.copy_(torch.from_numpy(np.tile(np.where(spread > 1e-6, spread, 1), block)))


def make_objective(config: TrainConfig, model: ThinkJEPA, recordings: Recordings) -> Objective:
    """The stage that the configuration names.

    Raises:
        TrainingError: The data do not hold what it needs.
    """
    block, seed = config.data.action_block, config.seed
    match config.objective:
        case CausalConfig():
            return Causal(config.objective, model, recordings, block=block, seed=seed, camera=config.camera)
        case MaskedConfig():
            return Masked(config.objective, model, recordings, block=block, seed=seed)
        case GoalsConfig():
            return SubGoals(config.objective, model, recordings, block=block, seed=seed, camera=config.camera)


def digest(recordings: Recordings) -> str:
    """Of what is trained on: SHA-256 of actions and pictures."""
    hashed = hashlib.sha256(recordings.actions.tobytes())
    hashed.update(recordings.frames.numpy().data)
    return hashed.hexdigest()


def description(
    config: TrainConfig,
    recordings: Recordings,
    step: int,
    health: Mapping[str, float],
    thresholds: Mapping[Distance, Threshold],
) -> str:
    """Of the model card, in Markdown: data, settings, what ground truth was read, thresholds, last measurements."""
    held_out = sum(episode.held_out for episode in recordings.episodes)
    truth = {
        "objects' positions (state auxiliary)": isinstance(config.objective, CausalConfig)
        and config.objective.weights.state > 0,
        "objects' names and positions (object map)": isinstance(config.objective, CausalConfig)
        and config.objective.weights.objects > 0,
        "which sub-goals hold": isinstance(config.objective, GoalsConfig),
        "positions of what a sub-goal names (attention maps)": isinstance(config.objective, GoalsConfig)
        and config.objective.relevance.named > 0,
    }
    read = ", ".join(name for name, used in truth.items() if used) or "none"
    encoder = "" if config.init_encoder is None else f", encoder from `{config.init_encoder}`"
    mirrored = ", mirror images among them" if config.data.mirror else ""
    shares = ", ".join(f"{name}: {threshold.quantile:g}" for name, threshold in thresholds.items()) or "None does"
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in health.items())
    return f"""\
## Training

Stage `{config.objective.kind}`, {step} of {config.steps} steps of {config.batch} samples, \
seed {config.seed}{encoder}; observation `{config.data.image}`, \
{config.data.action_block} environment action(s) per model action.
Data: {len(recordings.frames)} frames of {recordings.benchmark} in {len(recordings.episodes)} episodes{mirrored}, \
{held_out} of them held out. Ground truth that was read in training: {read}.
Each threshold lies midway between a quantile of the held-out distances that should count as reached and the quantile \
one minus it of those that should not: the strictest of 0.9, 0.75 and 0.6 that separates the two. {shares}.

| held-out number | value |
|---|---|
{rows}
"""
