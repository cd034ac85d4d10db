from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import VJEPA2Config, VJEPA2Model

from agents.thinkjepa.checkpoints import from_pretrained
from agents.thinkjepa.config import EncoderConfig
from agents.thinkjepa.images import normalise_frames
from agents.thinkjepa.masking import SEED_BLOCKS, SHORT_TUBES, sample_masks
from agents.thinkjepa.training.config import TrainingError
from agents.thinkjepa.vjepa2 import VJEPA2Encoder
from agents.thinkjepa.world_model import WorldModel
from harness.cli import main
from tests.agents.thinkjepa.squares import CAMERA
from tests.agents.thinkjepa.tiny import ACTION_DIM, world_config
from tests.agents.thinkjepa.trained import MODEL, QUICK, train

PUBLISHED = VJEPA2Config(
    patch_size=4,
    crop_size=24,
    tubelet_size=2,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    mlp_ratio=2.0,
    pred_hidden_size=8,
    pred_num_attention_heads=2,
    pred_num_hidden_layers=1,
    pred_num_mask_tokens=1,
)


@pytest.fixture
def published(tmp_path):
    """A model as it lies on the hub, with a crop size of 24 pixels."""
    model = VJEPA2Model(PUBLISHED).eval()
    model.save_pretrained(tmp_path)
    return tmp_path, model


def test_published_weights_give_published_encodings(published):
    folder, model = published
    encoder = VJEPA2Encoder.from_pretrained(str(folder), image_size=24).eval()
    frames = torch.rand(2, 3, 3, 24, 24)
    tokens = encoder(frames)
    assert tokens.shape == (2, 3, 36, 24)
    alone = model(normalise_frames(frames)[0, 1].expand(1, 2, -1, -1, -1), skip_predictor=True).last_hidden_state
    torch.testing.assert_close(tokens[0, 1], alone[0], rtol=1e-4, atol=1e-5)


def test_positions_follow_the_frames_and_not_the_published_crop(published):
    """16-pixel frames in a model configured for 24: silently wrong rows unless it is configured anew."""
    folder, model = published
    frames = torch.rand(1, 1, 3, 16, 16)
    pixels = normalise_frames(frames)[0].expand(1, 2, -1, -1, -1)
    right = VJEPA2Model.from_pretrained(folder, crop_size=16).eval()(pixels, skip_predictor=True).last_hidden_state
    encoder = VJEPA2Encoder.from_pretrained(str(folder), image_size=16).eval()
    torch.testing.assert_close(encoder(frames)[0], right, rtol=1e-4, atol=1e-5)
    assert (model(pixels, skip_predictor=True).last_hidden_state - right).abs().max() > 1e-4
    with pytest.raises(ValueError, match=r"takes \(B, T, 3, 16, 16\)"):
        encoder(torch.rand(1, 1, 3, 24, 24))


def test_context_of_all_patches_is_the_whole_encoding_and_masked_pixels_do_not_leak(published):
    encoder = VJEPA2Encoder.from_pretrained(str(published[0]), image_size=24).eval()
    clip = torch.rand(1, 2, 3, 24, 24)
    everything = torch.randperm(72).unsqueeze(0)
    expected = encoder(clip).flatten(1, 2)[:, everything[0]]
    torch.testing.assert_close(encoder(clip, everything), expected, rtol=1e-4, atol=1e-5)
    changed = clip.clone()
    changed[..., 12:, :] = 0
    upper = torch.tensor([[*range(18), *range(36, 54)]])
    torch.testing.assert_close(encoder(clip, upper), encoder(changed, upper))


def test_it_takes_tube_masks_and_refuses_ragged_ones(published):
    encoder = VJEPA2Encoder.from_pretrained(str(published[0]), image_size=24).eval()
    clip, rng = torch.rand(2, 4, 3, 24, 24), np.random.default_rng(0)
    tubes = sample_masks(SHORT_TUBES, batch=2, frames=4, side=6, rng=rng)
    assert encoder(clip, tubes.context).shape == (*tubes.context.shape, 24)
    ragged = torch.tensor([[0, 1, 2, 40], [0, 1, 2, 40]])
    with pytest.raises(ValueError, match="use tube masks"):
        encoder(clip, ragged)
    assert sample_masks(SEED_BLOCKS, batch=1, frames=4, side=6, rng=rng).context.numel()


@pytest.mark.parametrize(("key", "value"), [("tubelet_size", 4), ("layer_norm_eps", 1e-5), ("hidden_act", "relu")])
def test_what_is_computed_otherwise_is_refused(tmp_path, key, value):
    VJEPA2Config(**{key: value}).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{key}={value}"):
        VJEPA2Encoder.from_pretrained(str(tmp_path), image_size=224)


def test_missing_weights_are_not_replaced_by_random_ones(published):
    folder, _ = published
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.norm1.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"holds no encoder\.layer\.1\.norm1\.weight"):
        VJEPA2Encoder.from_pretrained(str(folder), image_size=24)


def given(squares, *encoder):
    """A short training of a model whose encoder this is, frozen, on the toy world."""
    sizes = [f"model.world_model.encoder.{item}" for item in ("image_size=16", "patch_size=4", *encoder)]
    rates = "optimiser.learning_rates={encoder:0,predictor:1e-3}"
    return [f"data.sources=[{squares}]", "device=cpu", *CAMERA, *MODEL[1:], *QUICK, *sizes, rates, "steps=2"]


FITTING = ("kind=vjepa2", "width=24", "layers=2", "heads=2", "mlp_ratio=2.0")


def test_training_starts_from_published_weights(published, squares, tmp_path):
    folder, model = published
    out = tmp_path / "run"
    assert main(["train", "world_model", f"out={out}", *given(squares, *FITTING), f"init_encoder={folder}"]) == 0
    trained = from_pretrained(out / "checkpoint").model.world_model.encoder
    weights = model.encoder.state_dict()
    assert trained.encoder.state_dict().keys() == weights.keys()
    for name, weight in trained.encoder.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    assert f"encoder from `{folder}`" in (out / "checkpoint" / "README.md").read_text()


@pytest.mark.parametrize(
    ("encoder", "more", "message"),
    [
        (("width=24", "layers=2", "heads=2"), [], r"the model's is vit; give model\.world_model\.encoder\.kind=vjepa2"),
        (
            ("kind=vjepa2", "width=24", "layers=2", "heads=4", "mlp_ratio=4.0"),
            [],
            r"heads=2 \(the model has 4\), mlp_ratio=2\.0 .* 4\.0\); give model\.world_model\.encoder\.heads=2 ",
        ),
        (
            FITTING,
            ["init_encoder=/no/such/folder"],
            r"init_encoder=/no/such/folder: .*; give the folder or hub id of a V-JEPA 2 model",
        ),
        (FITTING, ["init=elsewhere"], "init has an encoder already: give one of the two"),
    ],
)
def test_a_published_encoder_must_fit(published, squares, tmp_path, encoder, more, message):
    overrides = [*given(squares, *encoder), f"init_encoder={published[0]}", *more]
    with pytest.raises(TrainingError, match=message):
        train("world_model", f"out={tmp_path / 'run'}", *overrides)
    assert not (tmp_path / "run").exists()


def test_it_is_a_world_models_encoder():
    config = replace(
        world_config(), encoder=EncoderConfig(kind="vjepa2", image_size=16, patch_size=4, width=24, layers=1, heads=2)
    )
    model = WorldModel(config).eval()
    state = model.encode(torch.rand(1, 1, 3, 16, 16))[:, 0]
    assert model.rollout(state, torch.zeros(1, 2, ACTION_DIM)).shape == (1, 2, 16, 24)
