"""Stage 1: masked pre-training of the encoder on clips (seed, Algorithm 1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.thinkjepa.blocks import gather_tokens
from agents.thinkjepa.ema import EMATarget, momentum
from agents.thinkjepa.masking import LONG_TUBES, SEED_BLOCKS, SHORT_TUBES, BlockSampler, sample_masks
from agents.thinkjepa.model import ThinkJEPA
from agents.thinkjepa.training import health
from agents.thinkjepa.training.config import MaskedConfig, TrainingError
from agents.thinkjepa.training.draws import rng
from agents.thinkjepa.training.objective import Batch, Objective, prediction_loss, require_samples
from agents.thinkjepa.training.recordings import Recordings
from agents.thinkjepa.training.regularisation import Regularisation


class Masked(Objective):
    """Masked patches of clips from the others; targets are those of a moving average of the encoder.

    Raises:
        TrainingError: No episode is as long as a clip, a clip is longer than the predictor takes, or the encoder does
            not take such masks.
    """

    def __init__(
        self, config: MaskedConfig, model: ThinkJEPA, recordings: Recordings, *, block: int, seed: int
    ) -> None:
        super().__init__(model, recordings, block, seed)
        self.config = config
        self.weights = config.weights
        self.loss = prediction_loss(config.loss)
        longest = model.world_model.config.predictor.frames
        if config.frames > longest:
            raise TrainingError(
                f"objective.frames={config.frames}: the predictor takes {longest}; lower it or raise "
                "model.world_model.predictor.frames"
            )
        if config.masks == "seed" and model.config.world_model.encoder.kind == "vjepa2":
            raise TrainingError(
                "objective.masks=seed: a V-JEPA 2 encoder takes as many patches of every frame; give "
                "objective.masks=tubes"
            )
        # The predictor is told what was done on every frame, so an action follows the last one, too.
        length = config.frames + config.actions
        self._starts = {out: recordings.windows(length, block=block, held_out=out) for out in (False, True)}
        for out, split in ((False, "training"), (True, "held-out")):
            require_samples(
                len(self._starts[out]),
                f"{split} clip of {length} frames",
                "lower objective.frames or data.action_block, or collect more and longer episodes",
            )
        self.regularisation = Regularisation(config.regulariser, config.regularise, config.directions, config.places)
        self.target = EMATarget(model.world_model.encoder)

    def samples(self, *, held_out: bool = False) -> int:
        """Clips."""
        return len(self._starts[held_out])

    def draw(self, indices: npt.NDArray[np.int64], step: int, *, held_out: bool = False) -> Batch:
        """Rows, actions and masks of clips, and what the regulariser draws."""
        rows = self._starts[held_out][indices][:, None] + self.block * np.arange(self.config.frames)
        config = self.model.world_model.config
        masks = sample_masks(
            self._scheme(step),
            batch=len(rows),
            frames=self.config.frames,
            side=config.encoder.side,
            rng=rng(self.seed, "masks", step),
        )
        samples = {"rows": torch.from_numpy(rows), "context": masks.context, "target": masks.target}
        if self.config.actions:
            samples["actions"] = torch.from_numpy(self.recordings.blocks(rows, self.block))
        return Batch(samples, self.regularisation.draw(self.seed, step, config.tokens, config.encoder.width))

    def _scheme(self, step: int) -> tuple[BlockSampler, ...]:
        if self.config.masks == "seed":
            return SEED_BLOCKS
        return SHORT_TUBES if step % 2 else LONG_TUBES

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the loss."""
        world, samples = self.model.world_model, batch.samples
        frames = self.look(samples["rows"])
        predicted = world.infill(frames, samples["context"], samples["target"], samples.get("actions"))
        targets = world.normalise(self.target(frames).float()).flatten(1, 2)
        terms = {"prediction": self.loss(predicted, gather_tokens(targets, samples["target"]))}
        if self.config.regulariser != "none":
            terms["regulariser"] = self.regularisation(world.features(frames[:, :1])[:, 0], dict(batch.shared))
        return terms

    def after_step(self, step: int, steps: int) -> None:
        """Move the target encoder."""
        start, end = self.config.momentum
        self.target.update(self.model.world_model.encoder, momentum(step, steps, start, end))

    @torch.no_grad()
    def health(self, count: int) -> dict[str, float]:
        """Losses, spread and ``skill`` over the mean token of each place, on held-out clips."""
        total = self.samples(held_out=True)
        chosen = rng(self.seed, "health").permutation(total)[:count]
        world = self.model.world_model
        batch = self.draw(chosen, 0, held_out=True).part(slice(None), world.action_mean.device)
        samples = batch.samples
        frames = self.look(samples["rows"])
        predicted = world.infill(frames, samples["context"], samples["target"], samples.get("actions"))
        targets = world.normalise(self.target(frames).float()).flatten(1, 2)
        mean = targets.mean(0, keepdim=True).expand_as(targets)
        own, usual = (gather_tokens(tokens, samples["target"]) for tokens in (targets, mean))
        numbers = {f"held_out/{name}": value.item() for name, value in self.forward(batch).items()}
        return (
            numbers | health.spread(world.encode(frames[:, :1])[:, 0]) | {"skill": health.skill(predicted, own, usual)}
        )
