"""Pictures to what each family of models takes, without torchvision.

transformers' processors of these families cannot be made without torchvision, which only their videos need (SmolVLM's
wants num2words as well). Their image processors can: each has a PIL backend, and that is used here on every machine, so
that an answer does not depend on what else is installed. What is left is to fix the resolution and to write down the
tokens that a picture takes up.

============  =================================  ==========================================================
family        tokens of a square picture         grid that attention is read from
============  =================================  ==========================================================
Qwen2.5-VL    ``side ** 2``, 28 px each          all of them (Qwen2-VL likewise)
Qwen3-VL      ``side ** 2``, 32 px each          all of them (its mixture of experts likewise)
SmolVLM       64 for 512 px (Idefics3 likewise)  all of them; the picture is not split into tiles
LLaVA-NeXT    576 for 336 px, and its tiles      the first 576, which show the whole picture; tiles follow
============  =================================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from agents.reasoner.protocol import ReasonerError
from agents.thinkjepa.config import WHOLE, Crop

CROP = "crop"
"""Key of ``config.json``; see `Eyes`."""


@dataclass(frozen=True)
class Seen:
    """A picture as a model takes it.

    Attributes:
        inputs: Of the model, a batch of one: ``pixel_values`` and what goes with them.
        tokens: What takes the place of the one image token that a chat template writes.
        grid: Rows and columns of the image tokens that show the whole picture, row by row; they come first.
    """

    inputs: dict[str, Tensor]
    tokens: str
    grid: tuple[int, int]


class Eyes:
    """The preprocessing of one model.

    Args:
        name: Folder or hub id.
        config: Of the model.
        tokenizer: Of the model.
        side: Image tokens along a side of a square picture, where a family leaves the choice (Qwen).
        commit: Of a hub model; ``None`` for the one that its default branch is at.

    Attributes:
        image_token: What stands for a picture in a chat template.
        crop: The part of a picture that is shown to the model, stretched to the picture's size: that of a model that
            `make_tiny` made for it, the whole picture for all others.

    Raises:
        ReasonerError: The model has no image processor.
    """

    def __init__(self, name: str, config: Any, tokenizer: Any, side: int, commit: str | None = None) -> None:
        from transformers import AutoImageProcessor

        self._see = _FAMILIES[config.model_type]
        processors: Any = AutoImageProcessor
        try:
            self._processor = processors.from_pretrained(name, revision=commit, backend="pil", trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ReasonerError(
                f"model={name} has no image processor: give a folder with preprocessor_config.json"
            ) from error
        self._config, self._tokenizer, self._side = config, tokenizer, side
        self.crop: Crop = tuple(getattr(config, CROP, WHOLE))
        self.image_token = str(tokenizer.convert_ids_to_tokens(config.image_token_id))

    def __call__(self, picture: npt.NDArray[np.uint8]) -> Seen:
        """A picture ``uint8 (H, W, 3)`` of any size."""
        shown = Image.fromarray(picture)
        if self.crop != WHOLE:
            (left, top, right, bottom), (width, height) = self.crop, shown.size
            box = left * width, top * height, right * width, bottom * height
            shown = shown.resize(shown.size, Image.Resampling.BICUBIC, box=box)
        return self._see(self, shown)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the image processor's settings."""
        self._processor.save_pretrained(folder)

    def _qwen(self, picture: Image.Image) -> Seen:
        pixels = (self._side * self._processor.patch_size * self._processor.merge_size) ** 2
        inputs = self._processor(
            images=[picture], size={"shortest_edge": pixels, "longest_edge": pixels}, return_tensors="pt"
        )
        _, height, width = (inputs["image_grid_thw"][0] // self._processor.merge_size).tolist()
        return Seen(dict(inputs), self.image_token * (height * width), (height, width))

    def _smolvlm(self, picture: Image.Image) -> Seen:
        vision = self._config.vision_config
        size = {"longest_edge": vision.image_size}
        inputs = self._processor(
            images=[picture], size=size, max_image_size=size, do_image_splitting=False, return_tensors="pt"
        )
        side = vision.image_size // vision.patch_size // self._config.scale_factor
        fake = getattr(self._tokenizer, "fake_image_token", "<fake_token_around_image>")
        whole = getattr(self._tokenizer, "global_image_token", "<global-img>")
        return Seen(dict(inputs), f"{fake}{whole}{self.image_token * side**2}{fake}", (side, side))

    def _llava_next(self, picture: Image.Image) -> Seen:
        from transformers import LlavaNextProcessor

        vision = self._config.vision_config
        if self._config.vision_feature_select_strategy != "default":
            raise ReasonerError("LLaVA-NeXT is supported with vision_feature_select_strategy=default")
        inputs = self._processor(images=[picture], return_tensors="pt")
        processor: Any = LlavaNextProcessor
        counting = processor(
            image_processor=self._processor,
            tokenizer=self._tokenizer,
            patch_size=vision.patch_size,
            vision_feature_select_strategy="default",
            image_token=self.image_token,
            num_additional_image_tokens=1,  # the class token, which the strategy leaves out again
        )
        side = vision.image_size // vision.patch_size
        return Seen(dict(inputs), counting.replace_image_token(inputs, 0), (side, side))


_FAMILIES: dict[str, Callable[[Eyes, Image.Image], Seen]] = {
    "qwen2_vl": Eyes._qwen,
    "qwen2_5_vl": Eyes._qwen,
    "qwen3_vl": Eyes._qwen,
    "qwen3_vl_moe": Eyes._qwen,
    "smolvlm": Eyes._smolvlm,
    "idefics3": Eyes._smolvlm,
    "llava_next": Eyes._llava_next,
}


def require_supported(name: str, config: Any) -> None:
    """Refuse a model whose pictures `Eyes` cannot prepare.

    Raises:
        ReasonerError: It is of another family.
    """
    if config.model_type not in _FAMILIES:
        raise ReasonerError(f"model={name} is of model_type={config.model_type}; supported are {', '.join(_FAMILIES)}")
