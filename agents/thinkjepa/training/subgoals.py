"""Stage 2: sub-goals in words to goal states."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.thinkjepa import distances
from agents.thinkjepa.config import WorldModelConfig
from agents.thinkjepa.distances import DISTANCES, Distance
from agents.thinkjepa.losses.contrastive import infonce
from agents.thinkjepa.losses.readouts import TokenReadout
from agents.thinkjepa.model import ThinkJEPA
from agents.thinkjepa.relevance import spot_maps
from agents.thinkjepa.training import health
from agents.thinkjepa.training.camera import CameraConfig
from agents.thinkjepa.training.config import GoalsConfig, TrainingError
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
from agents.thinkjepa.training.recordings import Recordings
from agents.thinkjepa.training.scenes import MOST_NAMED, Scenes
from agents.thinkjepa.words import embed

_HELD_OUT_ALTERNATIVES = 24
_PROJECTED = 64


def kept_components(world: WorldModelConfig, count: int) -> Tensor:
    """Which components of the executed action an alternative is given, ``(count, A)`` booleans.

    In turns: none; then, for each point of an action, that point and everything that belongs to no point.
    """
    points = world.predictor.action_points
    kept = torch.zeros(count, world.action_dim, dtype=torch.bool)
    for number, own in enumerate(points, start=1):
        others = [index for point in points if point != own for index in (point.x, point.y)]
        kept[number :: len(points) + 1] = True
        kept[number :: len(points) + 1, others] = False
    return kept


@dataclass(frozen=True)
class Chosen:
    """Sub-goals of transitions.

    Attributes:
        row: ``(n,)``, of the state before.
        text: ``(n,)``, index of the sub-goal's words.
        kind: ``(n,)``, index of its kind.
        number: ``(n,)``, its number in its scene.
        named: ``(n, 3, 3)``, in ``row``, see `Scenes.where`.
    """

    row: npt.NDArray[np.int64]
    text: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    number: npt.NDArray[np.int64]
    named: npt.NDArray[np.float32]

    def rows(self, chosen: npt.NDArray[np.int64]) -> Chosen:
        """Some of them."""
        return Chosen(*(getattr(self, field.name)[chosen] for field in fields(Chosen)))

    def replaced(self, where: npt.NDArray[np.bool_], others: Chosen) -> Chosen:
        """With ``others`` in the places where ``where`` ``(n,)`` is true."""
        new = self.rows(np.arange(len(self.row)))
        for field in fields(Chosen):
            getattr(new, field.name)[where] = getattr(others, field.name)
        return new

    def of_any_kind(self, count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """``count`` of them, of evenly drawn kinds."""
        drawn = [self._of_kinds[generator.integers(len(self._of_kinds))] for _ in range(count)]
        return np.array([of_kind[generator.integers(len(of_kind))] for of_kind in drawn], np.int64)

    @functools.cached_property
    def _of_kinds(self) -> list[npt.NDArray[np.int64]]:
        return [np.flatnonzero(self.kind == kind) for kind in np.unique(self.kind)]


@dataclass(frozen=True)
class Reached(Chosen):
    """Sub-goals that hold after a transition, by transitions.

    Attributes:
        first: ``(m + 1,)``: those of transition i are ``first[i]`` to ``first[i + 1]``.
    """

    first: npt.NDArray[np.int64]

    def of_transition(self, transition: int, generator: np.random.Generator) -> int:
        """One of a transition's sub-goals, of an evenly drawn kind."""
        options = np.arange(self.first[transition], self.first[transition + 1])
        kinds = np.unique(self.kind[options])
        of_kind = options[self.kind[options] == kinds[generator.integers(len(kinds))]]
        return int(of_kind[generator.integers(len(of_kind))])


class SubGoals(Objective):
    """Goals are near the states that reach their words, encoded and predicted, and nearer than what else could be done.

    A sample is a transition and one of the sub-goals that it brought about, drawn evenly over their kinds; a share
    ``balanced`` of samples is drawn evenly over all kinds instead, as some are brought about far more often. A share
    ``holding`` are sub-goals that hold already: their goal is the state as it is, and the best action is none. Without
    them nothing teaches a goal to lie nearer to a state that reaches it than to one that does not. Terms:

    ``gpi``
        InfoNCE of goals and states, with encoded and with predicted states; sub-goals of the same words are positives.
        Of sub-goals that are yet to be reached.
    ``regression``
        Goal tokens against the tokens of the same states. A pooled similarity leaves tokens free, and planning
        compares tokens.
    ``ranking``
        Cross-entropy of the action that was executed against doing nothing and against other actions, by the cost
        that planning uses. Goals know the scene, so states of other scenes are no hard negatives; these are. The
        others are actions of other samples, as they are and with one of the points of the executed action in turn: the
        right thing to the wrong place, the wrong thing to the right place. Where the words leave open which of two
        outcomes is meant, the best that this loss can learn is that both are as good.
    ``truth``
        Binary cross-entropy of ``others`` sub-goals of the same scene that did not hold before: whether they hold
        after the action, told from what its predicted outcome costs for them. Half of them do, and many of those that
        do not are about the same things: to the left of it, and not to the right. What is usual for a kind is learned,
        as some sub-goals leave more open than others.

    Raises:
        TrainingError: The data hold no sub-goals, or attention maps need what the data do not have.
    """

    def __init__(
        self,
        config: GoalsConfig,
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
        self.camera = camera
        self.loss = prediction_loss(config.loss)
        if config.shift:
            self.require_points()
        if model.config.gpi.text != "hashed_words":
            raise TrainingError(f"model.gpi.text={model.config.gpi.text}: only hashed_words can be trained on")
        if config.relevance.named and (camera is None or recordings.positions() is None):
            raise TrainingError(
                "objective.relevance.named needs a camera and the observations object_states and scene; give "
                "objective.relevance.named=0"
            )
        self._kept = kept_components(model.config.world_model, max(config.alternatives, _HELD_OUT_ALTERNATIVES))
        self._planned_by = distances.Objective(distance=config.ranking.distance)
        self._scenes = Scenes(recordings, block)
        self.texts, self.kinds = self._scenes.texts, self._scenes.kinds
        self._reached = {out: self._find(held_out=out) for out in (False, True)}
        self._holding = self._find(held_out=False, before=True) if config.holding else None
        for out, split in ((False, "training"), (True, "held-out")):
            require_samples(
                self.samples(held_out=out),
                f"sub-goal that is reached in a {split} episode",
                "collect with benchmark=subgoals, and record subgoals and holds",
            )
        self.register_buffer("embeddings", embed(self.texts, model.config.gpi.language_dim), persistent=False)
        world = model.world_model.config
        self.project = (
            TokenReadout(token_width=world.encoder.width, tokens=world.tokens, outputs=_PROJECTED)
            if config.contrast == "changes"
            else None
        )
        self.usual = nn.Parameter(torch.zeros(len(self.kinds))) if config.others else None
        if self.project is not None:
            # An untrained goal changes nothing; the direction of a zero projection would have an endless gradient.
            nn.init.normal_(self.project.read[-1].bias, std=0.1)  # type: ignore[arg-type]

    def _find(self, *, held_out: bool, before: bool = False) -> Reached:
        """Sub-goals that hold after a transition, and did not before it, or did as well."""
        found: list[tuple[int, int, int, int]] = []
        named: list[npt.NDArray[np.float32]] = []
        first = [0]
        for episode in self.recordings.episodes:
            if episode.held_out != held_out or episode.holds is None:
                continue
            wanted = (episode.holds[: -self.block] == before) & episode.holds[self.block :]
            for step in np.flatnonzero(wanted.any(axis=1)):
                row = episode.start + int(step)
                for number in np.flatnonzero(wanted[step]).tolist():
                    found.append((row, *self._scenes.text_and_kind(episode, number), number))
                    named.append(self._scenes.where(episode, row, number))
                first.append(len(found))
        table = np.array(found, np.int64).reshape(-1, 4)
        places = np.array(named, np.float32).reshape(-1, MOST_NAMED, 3)
        rows, texts, kinds, numbers = table.T
        return Reached(rows, texts, kinds, numbers, places, np.array(first, np.int64))

    def samples(self, *, held_out: bool = False) -> int:
        """Transitions that brought about a sub-goal."""
        return len(self._reached[held_out].first) - 1

    def draw(self, indices: npt.NDArray[np.int64], step: int, *, held_out: bool = False) -> Batch:
        """Rows, actions, words and attention maps.

        What else could be done is drawn from all of the batch here, and not from the part that a process gets.
        """
        reached = self._reached[held_out]
        generator = rng(self.seed, "sub-goals", step, int(held_out))
        chosen = np.array([reached.of_transition(int(index), generator) for index in indices])
        if not held_out and self.config.balanced:
            balanced = generator.random(len(chosen)) < self.config.balanced
            chosen[balanced] = reached.of_any_kind(int(balanced.sum()), generator)
        table, holding = reached.rows(chosen), np.zeros(len(chosen), dtype=bool)
        if self._holding is not None and not held_out:
            some = generator.random(len(chosen)) < self.config.holding
            table = table.replaced(some, self._holding.rows(self._holding.of_any_kind(int(some.sum()), generator)))
            holding = some
        samples = {}
        if self.config.shift and not held_out:
            samples["shift"] = random_shift(len(chosen), self.config.shift, rng(self.seed, "shift", step))
        moved = self.moved(samples.get("shift"))
        if self.config.others:
            samples |= self._judged(table, moved, generator)
        after = np.where(holding, table.row, table.row + self.block)
        actions = torch.from_numpy(self.recordings.blocks(table.row[:, None], self.block))
        others = len(self._kept) if held_out else self.config.alternatives
        return Batch(
            {
                **samples,
                "rows": torch.from_numpy(np.stack([table.row, after], axis=1)),
                "tried": health.own_and_others(actions, others, self._kept),
                "text": torch.from_numpy(table.text),
                "kind": torch.from_numpy(table.kind),
                "holding": torch.from_numpy(holding),
                "relevance": self._relevance(table.named, moved, generator),
            }
        )

    def _judged(self, table: Chosen, moved: Tensor | None, generator: np.random.Generator) -> dict[str, Tensor]:
        """Other sub-goals of the scenes, and whether the executed actions bring them about."""
        judged = self._scenes.judged(table.row, table.number, self.config.others, generator)
        each = None if moved is None else moved.repeat_interleave(self.config.others, 0)
        relevance = self._relevance(judged.named.reshape(-1, *judged.named.shape[2:]), each, generator)
        return {
            "other_text": torch.from_numpy(judged.text),
            "other_kind": torch.from_numpy(judged.kind),
            "other_relevance": relevance.unflatten(0, judged.text.shape),
            "other_true": torch.from_numpy(judged.true),
        }

    def _relevance(
        self, named: npt.NDArray[np.float32], moved: Tensor | None, generator: np.random.Generator
    ) -> Tensor:
        shares, grid = self.config.relevance, self.model.world_model.config.grid
        which = generator.random(len(named))
        maps = random_relevance(len(named), 1.0, grid, generator)
        maps[torch.from_numpy(which >= shares.named + shares.random)] = 1.0
        if shares.named and self.camera is not None:
            chosen = which < shares.named
            seen = self.camera.project(named[chosen])
            if moved is not None:
                seen = seen + moved.numpy()[chosen, None]
            maps[torch.from_numpy(chosen)] = spot_maps(seen * grid, grid)
        return maps

    # --------------------------------------------------------------------------------------------- loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the loss."""
        weights, samples = self.config.weights, batch.samples
        shift = samples.get("shift")
        before, after = self.states(samples["rows"], shift).unbind(1)
        goal = self.goals(before, samples["text"], samples["relevance"])
        with torch.no_grad():  # goals go to where states are, not the other way round
            tried = samples["tried"][:, : 1 + self.config.alternatives]
            predicted = health.predictions_under(self.model.world_model, before, tried, self.moved(shift))
            after = after.detach()
        holding = samples["holding"]
        reached = torch.where(holding[:, None, None], before, predicted[:, 0])
        terms = {}
        if weights.gpi:
            pending = ~gathered(holding)
            labels = gathered(samples["text"].float())[pending]
            sides = [gathered(self._pooled(tokens, before))[pending] for tokens in (goal, after, reached)]
            with torch.autocast(goal.device.type, enabled=False):
                temperature = self.config.temperature
                each = [infonce(sides[0], states, labels, temperature) for states in sides[1:]]
            terms["gpi"] = torch.stack(each).mean()
        if weights.regression:
            terms["regression"] = (self.loss(goal, after) + self.loss(goal, reached)) / 2
        if weights.ranking:
            candidates = torch.cat((predicted, before.unsqueeze(1)), dim=1)
            cost = self._cost(candidates, goal, before)
            best = torch.where(holding, candidates.shape[1] - 1, 0)
            scale = self.config.ranking.temperature * gathered(cost).mean().detach()
            terms["ranking"] = functional.cross_entropy(-cost / scale.clamp_min(1e-9), best)
        if "other_true" in samples:
            told = self._told(batch, before, predicted[:, 0])
            wrong = functional.binary_cross_entropy_with_logits(told, samples["other_true"].float(), reduction="none")
            terms["truth"] = (wrong.mean(1) * ~holding).mean()
        return terms

    def _told(self, batch: Batch, before: Tensor, predicted: Tensor) -> Tensor:
        """How likely the other sub-goals are to hold in predicted states ``(B, N, D)``: logits ``(B, others)``."""
        assert self.usual is not None
        samples = batch.samples
        text, relevance = samples["other_text"], samples["other_relevance"]
        starts = before.repeat_interleave(text.shape[1], 0)
        goals = self.goals(starts, text.flatten(), relevance.flatten(0, 1)).unflatten(0, text.shape)
        cost = self._planned_by(predicted.unsqueeze(1), goals, start=before.unsqueeze(1))
        level = gathered(cost).mean().detach()
        scale = self.config.ranking.temperature * level
        return (level + self.usual[samples["other_kind"]] - cost) / scale.clamp_min(1e-9)

    def _cost(self, candidates: Tensor, goal: Tensor, before: Tensor) -> Tensor:
        """What predicted states ``(B, K, N, D)`` cost, ``(B, K)``."""
        return self._planned_by(candidates, goal.unsqueeze(1), start=before.unsqueeze(1))

    def goals(self, state: Tensor, text: Tensor, relevance: Tensor) -> Tensor:
        """Goals ``(B, N, D)`` of the sub-goals ``text`` (indices of words) in states ``(B, N, D)``."""
        embeddings: Tensor = self.embeddings  # type: ignore[assignment]
        return self.model.gpi(embeddings[text], relevance, state).float()  # type: ignore[no-any-return]

    def _pooled(self, tokens: Tensor, before: Tensor) -> Tensor:
        """What InfoNCE compares of ``(B, N, D)``: see `config.GoalsConfig`."""
        if self.project is None:
            return tokens.mean(1).float()
        return self.project(tokens - before).float()  # type: ignore[no-any-return]

    # ------------------------------------------------------------------------------------- measurements

    @torch.no_grad()
    def health(self, count: int) -> dict[str, float]:
        """Losses and how well goals rank actions, on held-out transitions.

        ``auc`` is the chance that the executed action is predicted to come nearer to the goal than another sample's
        action, also for each kind of sub-goal; ``auc_near``, than one that shares a point with it; ``ranked_first``,
        that none of 24 others comes nearer; ``auc_words``, that a sub-goal which the action makes true looks likelier
        than one which it does not, see ``truth``; ``auc_reached``, that a state that reached a sub-goal is nearer to
        the goal that is projected in it than another state, which does not yet, to its own; ``skill``,
        ``1 - mse(goal, next) / mse(state, next)``; ``text_matters``, the mean change of a goal when the words are
        another sample's, over its mean change of the state.
        """
        batch = self._held_out(count)
        samples = batch.samples
        before, after = self.states(samples["rows"]).unbind(1)
        goal = self.goals(before, samples["text"], samples["relevance"])
        tried = samples["tried"][:, : 1 + _HELD_OUT_ALTERNATIVES]
        candidates = health.predictions_under(self.model.world_model, before, tried)
        cost = self._cost(candidates, goal, before)
        better = (cost[:, :1] < cost[:, 1:]).float()
        shares_a_point = self._kept[: better.shape[1]].any(1).to(better.device)
        better_than_any = better[:, ~shares_a_point].mean(1)
        other_words = self.goals(before, samples["text"].roll(1, 0), samples["relevance"])
        changed = (goal - before).norm(dim=(1, 2)).mean().clamp_min(1e-9)
        near, far = self._near_and_far(batch)(self._planned_by.of_states)
        numbers = {f"held_out/{name}": value.item() for name, value in self.forward(batch).items()}
        numbers |= health.spread(after)
        if self.config.others:
            told, true = self._told(batch, before, candidates[:, 0]), samples["other_true"]
            numbers["auc_words"] = (told[true][:, None] > told[~true]).float().mean().item()
        numbers |= {
            "auc": better_than_any.mean().item(),
            "ranked_first": (cost.argmin(1) == 0).float().mean().item(),
            "auc_reached": (near[:, None] < far).float().mean().item(),
            "skill": health.skill(goal, after, before),
            "text_matters": ((other_words - goal).norm(dim=(1, 2)).mean() / changed).item(),
        }
        for number, kind in enumerate(self.kinds):
            own = samples["kind"] == number
            if own.any():
                numbers[f"auc/{kind}"] = better_than_any[own].mean().item()
        if shares_a_point.any():
            numbers["auc_near"] = better[:, shares_a_point].mean().item()
        return numbers

    @torch.no_grad()
    def thresholds(self, count: int) -> dict[Distance, Threshold]:
        """From distances of states that reached a sub-goal from its goal there, and likewise of the states before.

        Goals are projected with the attention maps of training, as an agent projects them with those of its reasoner.
        """
        return health.calibrated(self._near_and_far(self._held_out(count)))

    def _near_and_far(self, batch: Batch) -> Callable[[Distance], tuple[Tensor, Tensor]]:
        """Distances of states from the sub-goal's goal in themselves: where it holds, and where it does not yet."""
        samples = batch.samples
        before, after = self.states(samples["rows"]).unbind(1)
        goals = [self.goals(state, samples["text"], samples["relevance"]) for state in (after, before)]
        return lambda name: (DISTANCES[name](after, goals[0]), DISTANCES[name](before, goals[1]))

    def _held_out(self, count: int) -> Batch:
        chosen = rng(self.seed, "health").permutation(self.samples(held_out=True))[:count]
        return self.draw(chosen, 0, held_out=True).part(slice(None), self.model.world_model.action_mean.device)
