"""The sizes that the model comes in. Presets differ in sizes only: every one runs the same code.

============  ==============================  =============================  ========================
preset        encoder                         predictor                      GPI
============  ==============================  =============================  ========================
``tiny``      96 px, patch 12, 128 x 4        grid 8 x 8, 128 x 3            3 layers, 4 heads
``small``     96 px, patch 8, 192 x 6         grid 6 x 6, 384 x 6            2 layers, 6 heads
``paper``     224 px, patch 16, ViT-H         grid 14 x 14, 768 x 12         4 layers, 16 heads
``paper-l``   224 px, patch 16, ViT-L         as ``paper``                   as ``paper``
============  ==============================  =============================  ========================
"""

from __future__ import annotations

from typing import Literal

from agents.thinkjepa.config import EncoderConfig, GPIConfig, PredictorConfig, ThinkJEPAConfig, WorldModelConfig

Preset = Literal["tiny", "small", "paper", "paper-l"]

_VIT_H = EncoderConfig(image_size=224, patch_size=16, width=1280, layers=32, heads=16)
_VIT_L = EncoderConfig(image_size=224, patch_size=16, width=1024, layers=24, heads=16)

_ENCODERS: dict[Preset, EncoderConfig] = {
    "tiny": EncoderConfig(image_size=96, patch_size=12, width=128, layers=4, heads=4),
    "small": EncoderConfig(image_size=96, patch_size=8, width=192, layers=6, heads=6),
    "paper": _VIT_H,
    "paper-l": _VIT_L,
}
_PREDICTORS: dict[Preset, PredictorConfig] = {
    "tiny": PredictorConfig(width=128, layers=3, heads=4),
    "small": PredictorConfig(width=384, layers=6, heads=6),
    "paper": PredictorConfig(width=768, layers=12, heads=12),
    "paper-l": PredictorConfig(width=768, layers=12, heads=12),
}
_GRIDS: dict[Preset, int] = {"tiny": 8, "small": 6, "paper": 14, "paper-l": 14}
_GPI_SIZES: dict[Preset, tuple[int, int]] = {"tiny": (3, 4), "small": (2, 6), "paper": (4, 16), "paper-l": (4, 16)}


def preset(name: Preset, *, action_dim: int, language_dim: int) -> ThinkJEPAConfig:
    """The configuration called ``name``; change single fields with ``dataclasses.replace``.

    Args:
        name: One of the table above.
        action_dim: A, components of one model action.
        language_dim: D_VLM, width of the sub-goal embeddings.

    Raises:
        ValueError: There is no such preset.
    """
    if name not in _ENCODERS:
        raise ValueError(f"preset={name} is unknown; there are {', '.join(_ENCODERS)}")
    layers, heads = _GPI_SIZES[name]
    world_model = WorldModelConfig(
        encoder=_ENCODERS[name], predictor=_PREDICTORS[name], action_dim=action_dim, grid=_GRIDS[name]
    )
    return ThinkJEPAConfig(
        world_model=world_model, gpi=GPIConfig(language_dim=language_dim, layers=layers, heads=heads)
    )
