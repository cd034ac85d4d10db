"""Stage 1b: the next state from a state and an action."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.thinkjepa.blocks import pool_grid
from agents.thinkjepa.distances import DISTANCES, Distance
from agents.thinkjepa.ema import EMATarget, momentum
from agents.thinkjepa.losses.prediction import mse, rollout_loss
from agents.thinkjepa.losses.readouts import (
    MapReadout,
    ObjectMap,
    TokenReadout,
    known_mse,
    object_map_loss,
    transition,
)
from agents.thinkjepa.model import ThinkJEPA
from agents.thinkjepa.training import health
from agents.thinkjepa.training.camera import CameraConfig
from agents.thinkjepa.training.config import CausalConfig, TrainingError
from agents.thinkjepa.training.distributed import gathered
from agents.thinkjepa.training.draws import rng
from agents.thinkjepa.training.health import Threshold
from agents.thinkjepa.training.objective import (
    Batch,
    Objective,
    prediction_loss,
    random_relevance,
    random_shift,
    require_samples,
)
from agents.thinkjepa.training.recordings import OBJECTS, Floats, Recordings
from agents.thinkjepa.training.regularisation import Regularisation
from agents.thinkjepa.training.seen import SeenObjects


class Causal(Objective):
    """Teacher forcing over windows, a short roll-out, a regulariser, inverse dynamics, and readouts of ground truth.

    The state auxiliary reads positions from the first state of a window. The object map is read from that state and, so
    that predictions say where things will be, from the prediction of the second. Where neither prediction nor roll-out
    has a weight, nothing is predicted: the encoder is trained by what can be read from its states.

    Raises:
        TrainingError: No episode is as long as a window, or the object map needs what the data do not have.
    """

    def __init__(
        self,
        config: CausalConfig,
        model: ThinkJEPA,
        recordings: Recordings,
        *,
        block: int,
        seed: int,
        camera: CameraConfig | None,
    ) -> None:
        super().__init__(model, recordings, block, seed)
        self.config = config
        self.weights = config.weights
        self.loss = prediction_loss(config.loss)
        self._starts = {out: recordings.windows(config.rollout + 1, block=block, held_out=out) for out in (False, True)}
        for out, split in ((False, "training"), (True, "held-out")):
            require_samples(
                len(self._starts[out]),
                f"{split} window of {config.rollout} actions of {block} environment steps",
                "lower objective.rollout or data.action_block, or collect more and longer episodes",
            )
        world = model.world_model
        if config.shift and (config.weights.prediction or config.weights.rollout):
            self.require_points()
        size = {"tokens": world.config.tokens}
        width = world.config.encoder.width
        self.regularisation = Regularisation(config.regulariser, config.regularise, config.directions, config.places)
        self.target = EMATarget(world.encoder) if config.target == "ema" else None
        self.inverse = (
            TokenReadout(token_width=2 * width, outputs=world.config.action_dim, **size)
            if config.weights.inverse_dynamics
            else None
        )
        self._labels = _Labels(recordings, config.state, self._starts[False]) if config.weights.state else None
        self.state = (
            None if self._labels is None else TokenReadout(token_width=width, outputs=self._labels.width, **size)
        )

        self._seen: SeenObjects | None = None
        self.map: MapReadout | None = None
        if config.weights.objects:
            if camera is None or recordings.positions() is None:
                raise TrainingError(
                    "objective.weights.objects needs a camera and the observations object_states and scene; give "
                    "objective.weights.objects=0"
                )
            self._seen = SeenObjects(recordings, camera, world.config.grid)
            self.map = MapReadout(token_width=width, words=len(self._seen.words))

    def samples(self, *, held_out: bool = False) -> int:
        """Windows."""
        return len(self._starts[held_out])

    def draw(self, indices: npt.NDArray[np.int64], step: int, *, held_out: bool = False) -> Batch:
        """Rows and actions of windows, attention maps, labels, and what the regulariser draws."""
        rows = self._starts[held_out][indices][:, None] + self.block * np.arange(self.config.rollout + 1)
        samples = {
            "rows": torch.from_numpy(rows),
            "actions": torch.from_numpy(self.recordings.blocks(rows[:, :-1], self.block)),
        }
        config = self.model.world_model.config
        if self.config.relevance:
            samples["relevance"] = random_relevance(
                len(rows), self.config.relevance, config.grid, rng(self.seed, "relevance", step)
            )
        if self._labels is not None:
            samples["labels"] = self._labels.at(rows[:, 0])
        moved = None
        if self.config.shift and not held_out:
            samples["shift"] = random_shift(len(rows), self.config.shift, rng(self.seed, "shift", step))
            moved = (samples["shift"] / config.encoder.image_size).numpy()
        if self._seen is not None:
            for number, name in enumerate(("before", "after")):
                seen = self._seen.at(rows[:, number], moved)
                samples |= {f"words_{name}": seen.words, f"place_{name}": seen.place}
        return Batch(samples, self.regularisation.draw(self.seed, step, config.tokens, config.encoder.width))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the loss."""
        world, samples, config = self.model.world_model, batch.samples, self.config
        terms: dict[str, Tensor] = {}
        if self.encoded_once:
            states = self.states(samples["rows"])
        else:
            features = world.features(self.look(samples["rows"], samples.get("shift")))
            states = world.normalise(features.float())
            if config.regulariser != "none":
                terms["regulariser"] = self.regularisation(features[:, 0], dict(batch.shared))
        after = states[:, 1]
        if config.weights.prediction or config.weights.rollout:
            targets = self._targets(samples["rows"], states)
            conditioning = world.condition(samples["actions"], self.moved(samples.get("shift")))
            bias = world.key_bias(samples.get("relevance"))
            steps = range(config.rollout)
            each = [world.advance(states[:, step], conditioning.at(step), bias) for step in steps]
            state = after = each[0]
            terms["prediction"] = self.loss(torch.stack(each, dim=1), targets[:, 1:])
            if config.weights.rollout:
                rolled = []
                for step in steps[1:]:
                    state = world.advance(state, conditioning.at(step), bias)
                    rolled.append(state)
                terms["rollout"] = rollout_loss(torch.stack(rolled, 1), targets[:, 2:], self.loss)
        if self.inverse is not None:
            actions = (samples["actions"][:, 0] - world.action_mean) / world.action_std
            terms["inverse_dynamics"] = mse(self.inverse(transition(states[:, 0], states[:, 1])).float(), actions)
        if self.state is not None:
            read, labels = gathered(self.state(states[:, 0]).float()), gathered(samples["labels"])
            terms["state"] = known_mse(read, labels, labels.isfinite())
        if self.map is not None:
            both = [
                object_map_loss(self.map(state), ObjectMap(samples[f"words_{name}"], samples[f"place_{name}"]))
                for state, name in ((states[:, 0], "before"), (after, "after"))
            ]
            terms["objects"] = torch.stack(both).mean()
        return terms

    def _targets(self, rows: Tensor, states: Tensor) -> Tensor:
        if self.config.target == "online":
            return states
        if self.target is None:
            return states.detach()
        world = self.model.world_model
        return world.normalise(pool_grid(self.target(self.look(rows)).float(), world.config.grid))

    def after_step(self, step: int, steps: int) -> None:
        """Move the target encoder."""
        if self.target is not None:
            self.target.update(self.model.world_model.encoder, momentum(step, steps))

    # ------------------------------------------------------------------------------------- measurements

    @torch.no_grad()
    def health(self, count: int) -> dict[str, float]:
        """Losses and health numbers on held-out windows."""
        batch, rows = self._held_out(count)
        world = self.model.world_model
        states = self.states(batch.samples["rows"])
        actions = batch.samples["actions"]
        numbers = {f"held_out/{name}": value.item() for name, value in self.forward(batch).items()}
        numbers |= health.spread(states[:, 0]) | health.prediction(world, states, actions)
        positions = self.recordings.positions()
        if positions is not None:
            numbers |= health.movement(world, states, actions, positions[rows[:, 0]], positions[rows[:, 1]])
            numbers |= self._probe(positions, count)
        return numbers

    def thresholds(self, count: int) -> dict[Distance, Threshold]:
        """From pairs of states: an action that moved nothing, and one that did.

        Without ground truth: the prediction of a state and the state itself, and a state and the next.
        """
        batch, rows = self._held_out(count)
        world = self.model.world_model
        states = self.states(batch.samples["rows"])
        before, after = states[:, 0], states[:, 1]
        positions = self.recordings.positions()
        if positions is None:
            predicted = world.rollout(before, batch.samples["actions"][:, :1])[:, 0]
            return health.calibrated(lambda name: (DISTANCES[name](predicted, after), DISTANCES[name](before, after)))
        moved = torch.from_numpy(health.displacement(positions[rows[:, 0]], positions[rows[:, 1]]) > health.MOVED)

        def sides(name: Distance) -> tuple[Tensor, Tensor]:
            distance = DISTANCES[name](before, after).cpu()
            return distance[~moved], distance[moved]

        return health.calibrated(sides)

    def _held_out(self, count: int) -> tuple[Batch, npt.NDArray[np.int64]]:
        total = self.samples(held_out=True)
        chosen = rng(self.seed, "health").permutation(total)[:count]
        batch = self.draw(chosen, 0, held_out=True)
        rows = batch.samples["rows"].numpy()
        return batch.part(slice(None), self.model.world_model.action_mean.device), rows

    def _probe(self, positions: npt.NDArray[np.float32], count: int) -> dict[str, float]:
        """A linear probe that is fitted on pictures of training episodes and scored on held-out ones."""
        world = self.model.world_model
        sides = []
        for out, number in ((False, 4 * count), (True, count)):
            starts = self._starts[out]
            rows = starts[rng(self.seed, "probe", int(out)).permutation(len(starts))[:number]]
            states = [
                self.states(part[:, None])[:, 0].flatten(1).float().cpu()
                for part in torch.from_numpy(rows).to(world.action_mean.device).split(256)
            ]
            sides.append((torch.cat(states), torch.from_numpy(positions[rows][..., :2]).flatten(1)))
        return {"probe_r2": health.probe_r2(*sides[0], *sides[1])}


class _Labels:
    """Targets of the state auxiliary, at unit scale; NaN where unknown.

    Args:
        recordings: Where they are.
        names: Of observations, which are put next to each other.
        rows: What is trained on, for the scale.
    """

    def __init__(self, recordings: Recordings, names: Sequence[str], rows: npt.NDArray[np.int64]) -> None:
        self._values = np.concatenate([_scaled(recordings.observations[n], rows, n == OBJECTS) for n in names], axis=1)
        self.width = self._values.shape[1]

    def at(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """``(B, K)``."""
        return torch.from_numpy(self._values[rows])


def _scaled(values: Floats, rows: npt.NDArray[np.int64], positions: bool) -> Floats:
    """Columns at zero mean and unit variance; x, y and z of all objects at those of all objects together.

    An object that few scenes have may hardly move in them; its own deviation would be no scale.
    """
    groups = values.reshape(len(values), -1, 3 if positions else values.shape[1])
    seen = groups[np.unique(rows)].reshape(-1, groups.shape[-1])
    spread = np.nanstd(seen, axis=0)
    scaled: Floats = ((groups - np.nanmean(seen, axis=0)) / np.where(spread > 1e-6, spread, 1)).reshape(values.shape)
    return scaled.astype(np.float32)
