"""Pictures, questions and answers to tokens, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.reasoner.preprocess import Eyes
from agents.reasoner.prompt import IMAGE
from agents.reasoner.protocol import ReasonerError


@dataclass(frozen=True)
class Encoded:
    """A picture, a question and maybe its answer.

    Attributes:
        inputs: Of the model, a batch of one.
        asked: Tokens before the answer.
        image: Positions of the image tokens that show the whole picture, or the model's part of it, row by row,
            ``(h * w,)``.
        grid: h and w.
        characters: Which of the answer's characters each of its tokens stands for, ``(L, 2)``: the first and the one
            after the last.
    """

    inputs: dict[str, Tensor]
    asked: int
    image: Tensor
    grid: tuple[int, int]
    characters: Tensor

    def rows(self, span: tuple[int, int]) -> Tensor:
        """Positions of the tokens that stand for a part of the answer."""
        start, stop = self.characters.unbind(1)
        return self.asked + ((start < span[1]) & (stop > span[0])).nonzero().squeeze(1)


class Chat:
    """The tokenizer, chat template and preprocessing of one model.

    Attributes:
        tokenizer: That one.
        crop: See `Eyes`.

    Args:
        name: Folder or hub id.
        config: Of the model.
        side: See `Eyes`.
        commit: See `Eyes`.

    Raises:
        ReasonerError: A part is missing or of an unsupported kind.
    """

    def __init__(self, name: str, config: Any, side: int, commit: str | None = None) -> None:
        from transformers import AutoTokenizer

        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(name, revision=commit, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ReasonerError(f"model={name} has no tokenizer: give a folder with tokenizer.json") from error
        if not self.tokenizer.is_fast:
            raise ReasonerError(
                f"model={name} has no tokenizer.json, without which nothing tells which token says what"
            )
        self._eyes = Eyes(name, config, self.tokenizer, side, commit)
        self.crop = self._eyes.crop
        self._template = _template(name, self.tokenizer, commit)
        self._image_token_id = config.image_token_id

    def encode(self, picture: npt.NDArray[np.uint8], question: str, answer: str = "") -> Encoded:
        """Tokens of a question about a picture and of its answer, without an end.

        Args:
            picture: ``uint8 (H, W, 3)``.
            question: The picture is where `IMAGE` is for the first time.
            answer: Begins where the model would.

        Raises:
            ReasonerError: The question contains the model's own image token.
        """
        seen = self._eyes(picture)
        asked = self._render(question)
        if asked.count(self._eyes.image_token) != 1:
            raise ReasonerError(f"the task contains the model's own {self._eyes.image_token}; leave it out")
        asked = asked.replace(self._eyes.image_token, seen.tokens)
        begun = self.tokenizer.bos_token is not None and asked.startswith(self.tokenizer.bos_token)
        before = self.tokenizer(asked, add_special_tokens=not begun)["input_ids"]
        after = self.tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)
        ids = torch.tensor([[*before, *after["input_ids"]]])
        is_image = ids == self._image_token_id
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), **seen.inputs}
        if "image_grid_thw" in seen.inputs:  # positions in the picture, which need to know where it is
            inputs["mm_token_type_ids"] = is_image.long()
        image = is_image[0].nonzero().squeeze(1)[: seen.grid[0] * seen.grid[1]]
        characters = torch.tensor(after["offset_mapping"], dtype=torch.long).reshape(-1, 2)
        return Encoded(inputs, len(before), image, seen.grid, characters)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write what another `Chat` is made from, beside the model's configuration."""
        self.tokenizer.chat_template = self._template
        self.tokenizer.save_pretrained(folder)
        self._eyes.save_pretrained(folder)

    def decode(self, tokens: Sequence[int]) -> str:
        """What an answer says."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def words(self, text: str) -> tuple[Tensor, Tensor]:
        """Tokens of a text by itself, ``(1, L)``, and which of them are its own, bool ``(L,)``."""
        tokens = self.tokenizer(text, return_special_tokens_mask=True)
        return torch.tensor([tokens["input_ids"]]), ~torch.tensor(tokens["special_tokens_mask"], dtype=torch.bool)

    def _render(self, question: str) -> str:
        before, _, after = question.partition(IMAGE)
        content = [{"type": "text", "text": before}, {"type": "image"}, {"type": "text", "text": after}]
        message = {"role": "user", "content": [part for part in content if part.get("text") != ""]}
        return str(
            self.tokenizer.apply_chat_template(
                [message], chat_template=self._template, add_generation_prompt=True, tokenize=False
            )
        )


def _template(name: str, tokenizer: Any, commit: str | None) -> str:
    """The chat template; older models keep it beside the processor and not with the tokenizer."""
    from transformers import ProcessorMixin

    settings, _ = ProcessorMixin.get_processor_dict(name, revision=commit)
    for template in (settings.get("chat_template"), tokenizer.chat_template):
        usual = template.get("default") if isinstance(template, dict) else template
        if usual:
            return str(usual)
    raise ReasonerError(f"model={name} has no chat template; give a model that was tuned on instructions")
