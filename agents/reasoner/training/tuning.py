"""Supervised fine-tuning: the answer's tokens, given picture and question."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.reasoner.chat import Chat
from agents.reasoner.training.config import LoraConfig, ReasonerConfig
from agents.reasoner.training.data import DESCRIBE, Batch, Data, Piece, answer, asked, description, encoded
from agents.thinkjepa.training.draws import rng

LANGUAGE_ATTENTION = r".*(language_model|text_model).*\.(q_proj|k_proj|v_proj|o_proj)"
"""What an adapter is added to: a plain list of names would hit the vision towers of SmolVLM and LLaVA as well."""

_MEASURED = 8
"""Answers that are measured at a time."""


class AnswerLoss:
    """There is one term."""

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """It."""
        return terms["answer"]


class Tuning(nn.Module):
    """A model that learns to answer; the `Stage` of ``harness train reasoner``.

    The loss is the cross-entropy of the answers' tokens, summed over a batch and divided by the number of answers and
    by the mean length of one: it is a mean over samples, so pieces and processes may share a batch, and every token
    counts alike.

    Args:
        model: An image-text-to-text model of transformers, with an adapter or without.
        chat: Its tokenizer and preprocessing.
        data: What is learnt.
        config: How.
    """

    weights = AnswerLoss()

    def __init__(self, model: Any, chat: Chat, data: Data, config: ReasonerConfig) -> None:
        super().__init__()
        self.model: Any = model
        self._chat, self._data, self._config = chat, data, config
        padding = chat.tokenizer.pad_token_id
        self._padding = int(chat.tokenizer.eos_token_id if padding is None else padding)
        some = data.train[:: max(1, len(data.train) // 256)]
        self._mean_length = float(np.mean([len(chat.tokenizer(answer(question))["input_ids"]) for question in some]))
        self._device = torch.device("cpu")

    def place(self, device: torch.device) -> None:
        """Bring the model to a device."""
        self.to(device)
        self._device = device

    def samples(self) -> int:
        """Questions to train on."""
        return len(self._data.train)

    def draw(self, indices: npt.NDArray[np.int64], step: int) -> Batch:
        """Questions with their answers; the same for the same arguments."""
        shares = rng(self._config.seed, "tasks", step).random((len(indices), 2))
        examples = []
        for index, (described, told) in zip(indices, shares, strict=True):
            question = self._data.train[index]
            if described < self._config.data.described:
                examples.append(encoded(self._chat, question, DESCRIBE, description(question)))
            else:
                asks = asked(question, told=told < self._config.data.told)
                examples.append(encoded(self._chat, question, asks, answer(question)))
        return Batch(tuple(examples), self._padding, torch.device("cpu"))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a batch, as the term ``answer``."""
        sums = []
        for piece in batch.pieces(self._config.pieces):
            logits = self._logits(piece)
            sums.append(functional.cross_entropy(logits.flatten(0, 1), piece.labels.flatten(), reduction="sum"))
        return {"answer": torch.stack(sums).sum() / (len(batch.examples) * self._mean_length)}

    def after_step(self, step: int, steps: int) -> None:
        """Nothing."""

    @torch.no_grad()
    def health(self, count: int) -> dict[str, float]:
        """Of about ``count`` held-out questions, asked as agents do.

        ``held_out`` is the loss per token, ``tokens`` the share that is right. ``answers`` and ``first`` are the shares
        of answers and of first sub-goals that greedy decoding gives to the letter: it does where every token is right
        given the ones before it, so nothing needs to be generated. A plan of other moves can be as good: see
        `harness check-plans`.
        """
        chosen = rng(self._config.seed, "health").permutation(len(self._data.held_out))[:count]
        questions = [self._data.held_out[index] for index in np.sort(chosen)]
        loss, right, tokens, answers, first = 0.0, 0, 0, 0, 0
        for start in range(0, len(questions), _MEASURED):
            some = questions[start : start + _MEASURED]
            batch = Batch(
                tuple(encoded(self._chat, q, asked(q, told=True), answer(q)) for q in some), self._padding, self._device
            )
            firsts = {id(one): _first(one.characters, answer(q)) for one, q in zip(batch.examples, some, strict=True)}
            ordered = sorted(batch.examples, key=lambda one: one.inputs["input_ids"].shape[1])
            (piece,) = batch.pieces(1)
            logits = self._logits(piece)
            loss += float(functional.cross_entropy(logits.flatten(0, 1), piece.labels.flatten(), reduction="sum"))
            for row, labels, example in zip(logits.argmax(dim=-1), piece.labels, ordered, strict=True):
                own = labels >= 0
                hits = (row == labels)[own]
                right += int(hits.sum())
                tokens += len(hits)
                answers += bool(hits.all())
                first += bool(hits[: firsts[id(example)]].all())
        number = len(questions)
        return {
            "held_out": loss / tokens,
            "tokens": right / tokens,
            "answers": answers / number,
            "first": first / number,
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

    def _logits(self, piece: Piece) -> Tensor:
        """Of the tokens that are labelled, ``(B, L, V)`` in float32."""
        inputs = {
            name: value.to(self.model.dtype) if value.is_floating_point() else value
            for name, value in piece.inputs.items()
        }
        keep = piece.labels.shape[1] + 1
        logits: Tensor = self.model(**inputs, use_cache=False, logits_to_keep=keep).logits
        return logits[:, :-1].float()


def with_adapter(model: Any, config: LoraConfig) -> Any:
    """The model with a new adapter of its language model; nothing else is trained."""
    import peft

    adapter = peft.LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=LANGUAGE_ATTENTION, bias="none")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")  # peft's use of transformers
        return peft.get_peft_model(model, adapter)


def make_optimiser(stage: Tuning, config: ReasonerConfig) -> torch.optim.AdamW:
    """AdamW with weight decay of matrices."""
    trained = [parameter for parameter in stage.parameters() if parameter.requires_grad]
    own = config.optimiser
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "rate": own.learning_rate, "weight_decay": own.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "rate": own.learning_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, betas=own.betas)


def _first(characters: Tensor, text: str) -> int:
    """Tokens of the first line of an answer."""
    end = len(text.partition("\n")[0])
    return int((characters[:, 0] < end).sum())
