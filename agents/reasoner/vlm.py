"""A vision-language model as the reasoner (seed, section 4.4).

It answers `prompt.prompt` in words. One more pass over question and answer then shows where it looks as it states each
sub-goal: the attention from a sub-goal's tokens to those of the picture.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from agents.planning import CAMERA
from agents.reasoner.attention import to_world, watching, without_sinks
from agents.reasoner.loading import VLMConfig, load, located
from agents.reasoner.prompt import NEUTRAL, Plan, Step, parse, prompt, write
from agents.reasoner.protocol import Attempt, ReasonerError, SubGoal, UnreadableError
from agents.thinkjepa.config import WorldModelConfig
from harness.dataset import file_sha256
from harness.interfaces import Observation, TaskView

_Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: Word for word.
        reasoning: What it says besides the sub-goals.
        subgoals: With attention and embedding, both on the CPU in float32.
    """

    text: str
    reasoning: str
    subgoals: tuple[SubGoal, ...]


class VLMReasoner:
    """Asks a vision-language model. Greedy: the same picture and task give the same answer.

    Attributes:
        calls: How often the model has run: for answers, attention maps and embeddings.

    Args:
        config: The model.
        world: Whose grid the attention maps are over.

    Raises:
        ReasonerError: The model cannot be loaded or used; the message names the remedy.
    """

    def __init__(self, config: VLMConfig, world: WorldModelConfig) -> None:
        self.calls = 0
        self._config, self._world = config, world
        loaded = load(config)
        self._model, self._chat, self._layers = loaded.model, loaded.chat, loaded.layers
        self._commit = loaded.commit
        self._device: torch.device = self._model.device
        self._answers: _Recent[Answer | UnreadableError] = _Recent(config.remembered)
        self._looks: _Recent[Tensor] = _Recent(config.remembered)
        self._embeddings: _Recent[Tensor] = _Recent(16 * config.remembered)

    @property
    def revision(self) -> str:
        """Which weights answer: the commit of a hub model, or a hash of the folder; and one of the adapter."""
        folders = [Path(path) for path in (located(self._config.model), self._config.lora) if path is not None]
        return "+".join(_weights_hash(folder) if folder.is_dir() else str(self._commit) for folder in folders)

    @property
    def language_dim(self) -> int:
        """D_VLM, of the embeddings."""
        return int(self._model.config.text_config.hidden_size)

    def propose(self, view: TaskView, observation: Observation, history: Sequence[Attempt] = ()) -> Sequence[SubGoal]:
        """See `Reasoner`.

        Raises:
            UnreadableError: The model states no sub-goal.
        """
        return self.answer(view, observation, history).subgoals

    def answer(self, view: TaskView, observation: Observation, history: Sequence[Attempt] = ()) -> Answer:
        """What is proposed, and the chain of thought that led there; see `propose`."""
        picture, question = observation[CAMERA], prompt(view.instruction, history)
        found = self._answers.get((_digest(picture), question), lambda: self._answer(picture, question))
        if isinstance(found, UnreadableError):
            raise UnreadableError(str(found), found.text)
        return found

    def look(self, subgoal: SubGoal, view: TaskView, observation: Observation) -> SubGoal:
        """See `Reasoner`: where the model looks as it states this sub-goal alone, which it need not say itself."""
        picture, question = observation[CAMERA], prompt(view.instruction)
        said = write(Plan((Step(subgoal.text, subgoal.objects),)))
        span = parse(said).steps[0].span
        key = (_digest(picture), question, said)
        attention = self._looks.get(key, lambda: self._maps(picture, question, said, [span])[0])
        return replace(subgoal, attention=attention, embedding=self.embed(subgoal.text))

    def embed(self, text: str) -> Tensor:
        """e_k of a sub-goal, ``(D_VLM,)`` of zero mean and unit variance.

        The mean over its tokens of the language model's final hidden states, without a picture: it depends on nothing
        but the words.
        """
        return self._embeddings.get(text, lambda: self._embed(text))

    @torch.no_grad()
    def _answer(self, picture: _Picture, question: str) -> Answer | UnreadableError:
        encoded = self._chat.encode(picture, question)
        most = self._config.max_new_tokens
        self.calls += 1
        tokens = self._model.generate(**self._on_device(encoded.inputs), do_sample=False, max_new_tokens=most)
        said = tokens[0, encoded.asked :].tolist()
        text = self._chat.decode(said)
        cut_off = len(said) == most and said[-1] not in self._ends()
        if cut_off:
            text = text.rpartition("\n")[0]  # the last line may be half a sub-goal
        try:
            plan = parse(text)
        except ReasonerError as error:
            remedy = f"; it was cut off, give more than max_new_tokens={most}" if cut_off else ""
            return UnreadableError(f"model={self._config.model}: {error}{remedy}", text)
        maps = self._maps(picture, question, text, [step.span for step in plan.steps])
        subgoals = (
            SubGoal(step.text, attention, self.embed(step.text), step.objects)
            for step, attention in zip(plan.steps, maps, strict=True)
        )
        return Answer(text, plan.reasoning, tuple(subgoals))

    def _maps(self, picture: _Picture, question: str, answer: str, spans: Sequence[tuple[int, int]]) -> Tensor:
        """Where the model looks as it says each of these parts of an answer, ``(K, N)`` with mean 1."""
        encoded = self._chat.encode(picture, question, answer)
        rows = [encoded.rows(span) for span in spans]
        weights = self._weights(encoded.inputs, torch.cat(rows), encoded.image)
        parts = weights.split([len(some) for some in rows])
        maps = torch.stack([part.mean(dim=0) for part in parts])
        if self._config.sinks == "neutral":
            maps = without_sinks(maps, self._looks.get((_digest(picture), NEUTRAL), lambda: self._neutral(picture)))
        return to_world(maps.unflatten(1, encoded.grid), self._world.encoder.crop, self._world.grid, self._chat.crop)

    def _neutral(self, picture: _Picture) -> Tensor:
        """Where the model looks as it begins to answer `NEUTRAL`, ``(C,)``."""
        encoded = self._chat.encode(picture, NEUTRAL)
        return self._weights(encoded.inputs, torch.tensor([encoded.asked - 1]), encoded.image)[0]

    @torch.no_grad()
    def _weights(self, inputs: dict[str, Tensor], rows: Tensor, columns: Tensor) -> Tensor:
        """Attention from tokens to tokens, averaged over layers and heads, ``(R, C)``."""
        self.calls += 1
        with watching(self._layers, rows.to(self._device), columns.to(self._device)) as watch:
            self._model.model(**self._on_device(inputs), use_cache=False)
        return watch.mean()[0].cpu()

    @torch.no_grad()
    def _embed(self, text: str) -> Tensor:
        tokens, own = self._chat.words(text)
        self.calls += 1
        decoder = self._model.get_decoder()
        states = decoder(input_ids=tokens.to(self._device), use_cache=False).last_hidden_state[0].float().cpu()
        return functional.layer_norm(states[own].mean(dim=0), (self.language_dim,))

    def _on_device(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        moved = {name: tensor.to(self._device) for name, tensor in inputs.items()}
        return {name: t.to(self._model.dtype) if t.is_floating_point() else t for name, t in moved.items()}

    def _ends(self) -> set[int]:
        """Tokens that end an answer."""
        ends = self._model.generation_config.eos_token_id
        return set(ends if isinstance(ends, list) else [ends])


_Value = TypeVar("_Value")


class _Recent(Generic[_Value]):
    """What was computed last, and no more of it than ``size``."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, _Value] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], _Value]) -> _Value:
        if key not in self._values:
            self._values[key] = compute()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]


def _digest(picture: _Picture) -> bytes:
    return hashlib.blake2b(repr(picture.shape).encode() + picture.tobytes(), digest_size=16).digest()


def _weights_hash(folder: Path) -> str:
    """SHA-256 of the weights in a folder, the first 64 bits in hex."""
    sums = [file_sha256(weights) for weights in sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256("".join(sums).encode()).hexdigest()[:16]
