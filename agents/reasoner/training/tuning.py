"""Supervised fine-tuning: the answer's tokens, given picture and question."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.reasoner.attention import watching
from agents.reasoner.loading import Loaded
from agents.reasoner.prompt import parse
from agents.reasoner.training.config import LoraConfig, ReasonerConfig
from agents.reasoner.training.data import DESCRIBE, Batch, Data, Piece, answer, asked, description, example, shifted
from agents.reasoner.training.seeing import Seeing, patches_of, vision_tower
from agents.thinkjepa.training.draws import rng
from agents.thinkjepa.training.objective import random_shift
from harness.plans import Question

LANGUAGE_ATTENTION = r".*(language_model|text_model).*\.(q_proj|k_proj|v_proj|o_proj)"
"""What an adapter is added to: a plain list of names would hit the vision towers of SmolVLM and LLaVA as well."""

_MEASURED = 8
"""Answers that are measured at a time."""

_LEAST = 1e-6
"""Share of the attention that is told from none."""


class Tuning(nn.Module):
    """A model that learns to answer; the `Stage` of ``harness train reasoner``.

    The loss ``answer`` is the cross-entropy of the answers' tokens, summed over a batch and divided by the number of
    answers and by the mean length of one: it is a mean over samples, so pieces and processes may share a batch, and
    every token counts alike. ``looks`` is ``-log`` of the share of the attention on the picture that lies near a
    thing, averaged over the tokens that name one, and then over samples. ``sees`` is `Seeing.loss`.

    Args:
        loaded: An image-text-to-text model of transformers, with an adapter or without, its tokenizer and
            preprocessing, and the layers that are to look.
        data: What is learnt.
        config: How.

    Raises:
        TrainingError: A loss is of no use to this model.
    """

    def __init__(self, loaded: Loaded, data: Data, config: ReasonerConfig) -> None:
        super().__init__()
        self.model: Any = loaded.model
        self.weights = config.weights
        self._chat, self._layers, self._data, self._config = loaded.chat, loaded.layers, data, config
        chat = loaded.chat
        padding = chat.tokenizer.pad_token_id
        self._padding = int(chat.tokenizer.eos_token_id if padding is None else padding)
        some = data.train[:: max(1, len(data.train) // 256)]
        self._mean_length = float(
            np.mean([len(chat.tokenizer(self._answer(question))["input_ids"]) for question in some])
        )
        self._device = torch.device("cpu")
        self._seeing: Seeing | None = None
        if config.weights.sees:
            self._seeing = Seeing(data.train, vision_tower(loaded.model).config.hidden_size, chat.crop)

    def place(self, device: torch.device) -> None:
        """Bring the model to a device."""
        self.to(device)
        self._device = device

    def samples(self) -> int:
        """Questions to train on."""
        return len(self._data.train)

    def draw(self, indices: npt.NDArray[np.int64], step: int) -> Batch:
        """Questions with their answers; the same for the same arguments."""
        config = self._config.data
        shares = rng(self._config.seed, "tasks", step).random((len(indices), 2))
        shifts = random_shift(len(indices), config.shifted, rng(self._config.seed, "shifts", step)).tolist()
        examples = []
        for index, (described, told), (right, down) in zip(indices, shares, shifts, strict=True):
            question, picture = shifted(self._data.train[index], right, down)
            if described < config.described:
                examples.append(example(self._chat, question, picture, DESCRIBE, description(question)))
            else:
                asks = asked(question, told=told < config.told)
                examples.append(example(self._chat, question, picture, asks, self._answer(question)))
        return Batch(tuple(examples), self._padding, torch.device("cpu"))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The terms ``answers``, ``looks`` and ``sees``, without those that weigh nothing."""
        sums: dict[str, list[Tensor]] = {name: [] for name, weight in asdict(self.weights).items() if weight}
        for piece in batch.pieces(self._config.pieces):
            ran = self._run(piece, self._layers if "looks" in sums else (), speaks=sums.keys() != {"sees"})
            if "answers" in sums:
                loss = functional.cross_entropy(ran.logits.flatten(0, 1), piece.labels.flatten(), reduction="sum")
                sums["answers"].append(loss / self._mean_length)
            if "looks" in sums:
                naming = piece.near.any(dim=-1)
                surprise = -(_share(ran.attention, piece) + _LEAST).log() * naming
                sums["looks"].append((surprise.sum(dim=-1) / naming.sum(dim=-1).clamp_min(1)).sum())
            if self._seeing is not None:
                sums["sees"].append(self._seeing.loss(ran.patches, piece.questions))
        return {name: torch.stack(parts).sum() / len(batch.examples) for name, parts in sums.items()}

    def after_step(self, step: int, steps: int) -> None:
        """Nothing."""

    @torch.no_grad()
    def health(self, count: int) -> dict[str, float]:
        """Of about ``count`` held-out questions, asked as agents do.

        ``held_out`` is the loss per token, ``tokens`` the share that is right. ``answers`` and ``first`` are the shares
        of answers and of what is said up to the first sub-goal that greedy decoding gives to the letter: it does where
        every token is right given the ones before it, so nothing needs to be generated. A plan of other moves can be as
        good: see `harness check-plans`. ``looks`` is the share of attention that lies near what is named; ``sees`` is
        the mean of `Seeing.right`.
        """
        chosen = rng(self._config.seed, "health").permutation(len(self._data.held_out))[:count]
        questions = [self._data.held_out[index] for index in np.sort(chosen)]
        loss, right, tokens, answers, first = 0.0, 0, 0, 0, 0
        looks: list[float] = []
        sees: list[float] = []
        for start in range(0, len(questions), _MEASURED):
            some = questions[start : start + _MEASURED]
            batch = Batch(
                tuple(example(self._chat, q, q.picture(), asked(q, told=True), self._answer(q)) for q in some),
                self._padding,
                self._device,
            )
            firsts = {
                id(one): _first(one.encoded.characters, self._answer(q))
                for one, q in zip(batch.examples, some, strict=True)
            }
            ordered = sorted(batch.examples, key=len)
            (piece,) = batch.pieces(1)
            ran = self._run(piece, self._layers)
            looks += _share(ran.attention, piece)[piece.near.any(dim=-1)].tolist()
            if self._seeing is not None:
                sees += self._seeing.right(ran.patches, piece.questions)
            loss += float(functional.cross_entropy(ran.logits.flatten(0, 1), piece.labels.flatten(), reduction="sum"))
            for row, labels, one in zip(ran.logits.argmax(dim=-1), piece.labels, ordered, strict=True):
                own = labels >= 0
                hits = (row == labels)[own]
                right += int(hits.sum())
                tokens += len(hits)
                answers += bool(hits.all())
                first += bool(hits[: firsts[id(one)]].all())
        number = len(questions)
        return {
            "held_out": loss / tokens,
            "tokens": right / tokens,
            "answers": answers / number,
            "first": first / number,
            "looks": float(np.mean(looks)),
            **({"sees": float(np.mean(sees))} if sees else {}),
        }

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:  # type: ignore[override]  # noqa: ARG002
        """What is trained, weights that are shared once."""
        return dict(self._trained())

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:  # noqa: ARG002
        """The opposite of `state_dict`.

        Raises:
            KeyError: Something is missing.
        """
        with torch.no_grad():
            for name, parameter in self._trained():
                parameter.copy_(state_dict[name])

    def save(self, folder: Path) -> None:
        """Write what `VLMReasoner` loads: a model, or an adapter."""
        shutil.rmtree(folder, ignore_errors=True)
        self.model.save_pretrained(folder)
        if not hasattr(self.model, "peft_config"):
            self._chat.save_pretrained(folder)

    def _trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad)

    def _answer(self, question: Question) -> str:
        return answer(question, aloud=self._config.data.aloud)

    def _run(self, piece: Piece, layers: Sequence[int], *, speaks: bool = True) -> _Ran:
        """What the model makes of a piece; only what it sees unless it ``speaks``."""
        inputs = {
            name: value.to(self.model.dtype) if value.is_floating_point() else value
            for name, value in piece.inputs.items()
        }
        length, whole = piece.labels.shape[1], piece.near.shape[2]
        places = torch.arange(whole, device=piece.labels.device)
        logits = torch.empty(0)
        with (
            watching(layers, places[-length:], places) as watch,
            patches_of(None if self._seeing is None else vision_tower(self.model)) as patches,
        ):
            if speaks:
                logits = self.model(**inputs, use_cache=False, logits_to_keep=length + 1).logits[:, :-1].float()
            else:
                pictures = {name: inputs[name] for name in ("pixel_values", "pixel_attention_mask")}
                self.model.get_image_features(**pictures)
        return _Ran(logits, watch.mean(), patches[0] if patches else torch.empty(0))


class _Ran(NamedTuple):
    """Of a piece, in float32; empty where it was not asked for.

    Attributes:
        logits: Of the tokens that are labelled ``(B, L, V)``: those that a token is told from.
        attention: Of the same tokens, their own ``(B, L, S)``, the mean of some layers.
        patches: Of the vision tower ``(B, P, D)``.
    """

    logits: Tensor
    attention: Tensor
    patches: Tensor


def _share(attention: Tensor, piece: Piece) -> Tensor:
    """Of the attention on the picture, how much lies where it is to lie, ``(B, L)``."""
    return (attention * piece.near).sum(dim=-1) / (attention * piece.image).sum(dim=-1).clamp_min(_LEAST)


def with_adapter(model: Any, config: LoraConfig) -> Any:
    """The model with a new adapter of its language model; nothing else is trained."""
    import peft

    adapter = peft.LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=LANGUAGE_ATTENTION, bias="none")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")  # peft's use of transformers
        return peft.get_peft_model(model, adapter)


def _first(characters: Tensor, text: str) -> int:
    """Tokens of an answer up to the end of its first sub-goal."""
    end = parse(text).steps[0].span[1]
    return int((characters[:, 0] < end).sum())
