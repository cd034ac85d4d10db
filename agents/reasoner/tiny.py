"""A small vision-language model with random weights, to be trained here: the classes of a large one, other sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from agents.reasoner.loading import read_weights
from agents.reasoner.preprocess import CROP
from agents.reasoner.prompt import NEUTRAL, prompt
from agents.reasoner.protocol import Attempt, ReasonerError
from agents.thinkjepa.config import WHOLE, Crop, require_crop

_UNKNOWN, _PAD, _END, _IMAGE, _AROUND, _WHOLE = _SPECIAL = (
    "<unk>",
    "<pad>",
    "<end>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
)
_CONNECTOR = "model.connector.modality_projection.proj.weight"
_PIECES = r" ?[A-Za-z]+| ?[^\sA-Za-z0-9]|[0-9]|\s"
_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}\n{% endfor %}"
)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TinySizes:
    """Sizes of a SmolVLM. About two million parameters with the words of a few hundred sentences.

    Attributes:
        image_size: Side of a picture in pixels.
        patch_size: Side of a patch in pixels.
        merge: Patches along a side of an image token; one token per patch where it is 1, a grid of 14 x 14.
        vision_width: Of the picture's transformer.
        vision_layers: Its blocks.
        width: D_VLM, of the language model.
        layers: Its blocks.
        heads: Attention heads, of both.
        crop: The part of a picture that it is shown; see `Eyes`.
    """

    image_size: PositiveInt = 224
    patch_size: PositiveInt = 16
    merge: PositiveInt = 1
    vision_width: PositiveInt = 128
    vision_layers: PositiveInt = 4
    width: PositiveInt = 160
    layers: PositiveInt = 4
    heads: PositiveInt = 4
    crop: Crop = WHOLE

    def __post_init__(self) -> None:
        require_crop(self.crop)
        if self.image_size % (self.patch_size * self.merge):
            raise ValueError(f"image_size={self.image_size} is no multiple of {self.patch_size} x {self.merge} pixels")
        if self.vision_width % self.heads or self.width % (2 * self.heads):
            raise ValueError(f"vision_width={self.vision_width} and width={self.width} do not fit heads={self.heads}")


def make_tiny(
    texts: Iterable[str],
    folder: str | Path,
    sizes: TinySizes | None = None,
    *,
    seed: int = 0,
    init: str | Path | None = None,
) -> Path:
    """Write a model that `VLMReasoner` loads.

    It knows the words of ``texts`` and of `prompt`, each with and without a space before it; digits and punctuation
    are tokens of their own, so that every text is read back as it was written, but for unknown words.

    To train it, let `chat.Chat.encode` make tokens of a picture, ``prompt(task)`` and the answer that `prompt.write`
    gives, ended by the tokenizer's ``eos_token``; the loss is on the tokens from `Encoded.asked` on.

    Args:
        texts: Tasks, sub-goals and objects that it is to read and write.
        folder: Made if it is missing.
        sizes: ``None`` for the default ones.
        seed: Of its weights.
        init: Folder of another such model whose weights it begins with. Words that only one of the two knows do not
            matter; ``merge`` and ``crop`` may differ, where a token of patches that are alike says the same as before;
            other sizes must not.

    Returns:
        ``folder``.

    Raises:
        ReasonerError: The folder holds a model already, or ``init`` none of these sizes.
    """
    from transformers import SmolVLMForConditionalGeneration, SmolVLMImageProcessorPil

    folder, sizes = Path(folder), sizes or TinySizes()
    if (folder / "config.json").exists():
        raise ReasonerError(f"{folder} holds a model already; give another folder")
    tokenizer = _tokenizer(texts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmolVLMForConditionalGeneration(_config(sizes, tokenizer))
    if init is not None:
        _begin_with(model, tokenizer, Path(init))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    side = {"longest_edge": sizes.image_size}
    SmolVLMImageProcessorPil(size=side, max_image_size=side, do_image_splitting=False).save_pretrained(folder)
    return folder


def _begin_with(model: Any, tokenizer: Any, folder: Path) -> None:
    """Take over the weights of another model, and its vectors of the words that both know."""
    from transformers import AutoTokenizer

    try:
        other = read_weights(folder, torch.float32)
        words: dict[str, int] = AutoTokenizer.from_pretrained(folder).get_vocab()
    except (OSError, ValueError) as error:
        raise ReasonerError(f"init={folder} cannot be loaded; give a folder that `train reasoner` wrote") from error
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    known = [(own, words[word]) for word, own in vocabulary.items() if word in words]
    here, there = (torch.tensor(ids) for ids in zip(*known, strict=True))
    weights: dict[str, Tensor] = dict(model.named_parameters())
    old: dict[str, Tensor] = dict(other.named_parameters())
    before, now = (getattr(one.config, "scale_factor", 0) ** 2 for one in (other, model))
    if 0 < before != now:
        old[_CONNECTOR] = _merged_anew(old[_CONNECTOR], before, now)
    of_words = {name for name, weight in weights.items() if weight is model.get_input_embeddings().weight}

    def shapes(of: dict[str, Any]) -> set[tuple[str, tuple[int, ...]]]:
        """By name; how many words there are does not count."""
        return {(name, tuple(weight.shape[1:] if name in of_words else weight.shape)) for name, weight in of.items()}

    if different := shapes(weights) ^ shapes(old):
        name, _ = min(different)
        raise ReasonerError(
            f"init={folder} has other sizes ({name}); give one of the same `sizes` (merge and crop apart)"
        )
    with torch.no_grad():
        for name, weight in weights.items():
            if name in of_words:
                weight[here] = old[name][there]
            else:
                weight.copy_(old[name])


def _merged_anew(weight: Tensor, before: int, now: int) -> Tensor:
    """What makes an image token of some patches, for another number of them."""
    of_one: Tensor = weight.unflatten(1, (before, -1)).sum(dim=1)
    return of_one.repeat(1, now) / now


def _config(sizes: TinySizes, tokenizer: Any) -> Any:
    from transformers import SmolVLMConfig

    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    config = SmolVLMConfig(
        vision_config={
            "hidden_size": sizes.vision_width,
            "intermediate_size": 4 * sizes.vision_width,
            "num_hidden_layers": sizes.vision_layers,
            "num_attention_heads": sizes.heads,
            "image_size": sizes.image_size,
            "patch_size": sizes.patch_size,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": sizes.width,
            "intermediate_size": 3 * sizes.width,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "num_key_value_heads": sizes.heads,
            "max_position_embeddings": 2048,
            "bos_token_id": None,
            "eos_token_id": end,
            "pad_token_id": pad,
        },
        scale_factor=sizes.merge,
        image_token_id=tokenizer.convert_tokens_to_ids(_IMAGE),
        tie_word_embeddings=True,
    )
    setattr(config, CROP, sizes.crop)
    return config


def _tokenizer(texts: Iterable[str]) -> Any:
    """One token per word."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(_words(texts))}, _UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=tokenizer,
        unk_token=_UNKNOWN,
        pad_token=_PAD,
        eos_token=_END,
        additional_special_tokens=[_IMAGE, _AROUND, _WHOLE],
        chat_template=_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _words(texts: Iterable[str]) -> Sequence[str]:
    """The vocabulary, in an order that depends on nothing but the words."""
    asked = prompt("", [Attempt("", True), Attempt("", False)])
    pieces = {piece for text in (*texts, asked, NEUTRAL) for piece in re.findall(_PIECES, text)}
    bare = {piece.strip() for piece in pieces} - {""}
    always = {*"0123456789", "\n", " ", "|", ".", ",", ":"}
    return [*_SPECIAL, *sorted(pieces | bare | {f" {piece}" for piece in bare} | always)]
