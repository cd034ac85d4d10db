"""The smallest models of every supported family, as they lie on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from agents.reasoner.loading import VLMConfig
from agents.reasoner.prompt import prompt

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "smolvlm", "idefics3", "llava_next")
SIDE = 3  # image tokens along a side, where the family leaves the choice
GRIDS = dict.fromkeys(FAMILIES, (3, 3)) | {"smolvlm": (2, 2), "idefics3": (2, 2), "llava_next": (4, 4)}
SPECIAL = ["<unk>", "<pad>", "<end>", "<image>", "<fake_token_around_image>", "<global-img>", "<begin>"]
ANSWER = "I see a cube .\n1. Lift the cube | cube\n2. Drop it"
TEMPLATE = (
    "<begin>{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}\n{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}"
)
_TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 6,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
_VISION: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48}
_QWEN: dict[str, Any] = {"depth": 2, "num_heads": 2, "out_hidden_size": 32} | _VISION
_SIGLIP: dict[str, Any] = {
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 16,
} | _VISION
_PINPOINTS = [[56, 112], [112, 56], [112, 112]]


def tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    letters = sorted(set(prompt("") + ANSWER + "abcdefghijklmnopqrstuvwxyz"))
    made = Tokenizer(models.WordLevel({piece: place for place, piece in enumerate([*SPECIAL, *letters])}, "<unk>"))
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.decoder = decoders.Fuse()
    made.post_processor = processors.TemplateProcessing(single="<begin> $A", special_tokens=[("<begin>", 6)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="<end>",
        bos_token="<begin>",
        clean_up_tokenization_spaces=False,
    )


def config(family: str, words: int) -> Any:
    text = _TEXT | {"vocab_size": words}
    if family == "qwen2_vl":
        rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
        vision = {"depth": 2, "num_heads": 2, "embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2, "patch_size": 14}
        return transformers.Qwen2VLConfig(
            text_config=text | {"rope_parameters": rope}, vision_config=vision, image_token_id=3, video_token_id=4
        )
    if family == "qwen2_5_vl":
        rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
        vision = _QWEN | {"patch_size": 14, "fullatt_block_indexes": [1], "window_size": 56}
        return transformers.Qwen2_5_VLConfig(
            text_config=text | {"rope_parameters": rope}, vision_config=vision, image_token_id=3, video_token_id=4
        )
    if family in ("qwen3_vl", "qwen3_vl_moe"):
        rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
        vision = _QWEN | {"patch_size": 16, "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 16}
        made, experts = transformers.Qwen3VLConfig, {}
        if family == "qwen3_vl_moe":
            made, experts = transformers.Qwen3VLMoeConfig, {"num_experts": 4, "moe_intermediate_size": 24}
        return made(
            text_config=text | {"head_dim": 8, "rope_parameters": rope} | experts,
            vision_config=vision,
            image_token_id=3,
            video_token_id=4,
        )
    text |= {"model_type": "llama"}
    if family == "smolvlm":
        return transformers.SmolVLMConfig(text_config=text, vision_config=_SIGLIP, scale_factor=2, image_token_id=3)
    if family == "idefics3":
        return transformers.Idefics3Config(text_config=text, vision_config=_SIGLIP, scale_factor=2, image_token_id=3)
    clip = _SIGLIP | {"model_type": "clip_vision_model", "image_size": 56, "patch_size": 14, "num_hidden_layers": 3}
    return transformers.LlavaNextConfig(
        text_config=text, vision_config=clip, image_token_index=3, image_grid_pinpoints=_PINPOINTS
    )


def image_processor(family: str) -> Any:
    side = {"longest_edge": 64}
    if family in ("qwen2_vl", "qwen2_5_vl"):
        return transformers.Qwen2VLImageProcessorPil()
    if family in ("qwen3_vl", "qwen3_vl_moe"):
        return transformers.Qwen2VLImageProcessorPil(patch_size=16)
    if family == "smolvlm":
        return transformers.SmolVLMImageProcessorPil(size=side, max_image_size=side)
    if family == "idefics3":
        return transformers.Idefics3ImageProcessorPil(size=side, max_image_size=side)
    crop = {"height": 56, "width": 56}
    return transformers.LlavaNextImageProcessorPil(
        size={"shortest_edge": 56}, crop_size=crop, image_grid_pinpoints=_PINPOINTS
    )


def save(family: str, folder: Path) -> str:
    """A model with random weights that are large enough to look somewhere."""
    words = tokenizer()
    words.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    image_processor(family).save_pretrained(folder)
    torch.manual_seed(0)
    model = transformers.AutoModelForImageTextToText.from_config(config(family, len(words)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "proj" in name:
                parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    return str(folder)


def vlm_config(folder: str, **settings: Any) -> VLMConfig:
    """How tests use a model."""
    return VLMConfig(model=folder, side=SIDE, device="cpu", **settings)


def load(folder: str, attention: str) -> Any:
    """The model itself."""
    return transformers.AutoModelForImageTextToText.from_pretrained(folder, attn_implementation=attention).eval()
