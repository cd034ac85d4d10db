from dataclasses import asdict, replace
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from agents.thinkjepa.blocks import Attention, Film, pool_grid
from agents.thinkjepa.config import ActionPoint, EncoderConfig, ThinkJEPAConfig, WorldModelConfig
from agents.thinkjepa.distances import Cost, Objective
from agents.thinkjepa.ema import EMATarget, momentum
from agents.thinkjepa.encoder import ViTEncoder
from agents.thinkjepa.images import normalise_frames, to_frames
from agents.thinkjepa.masking import SEED_BLOCKS, sample_masks
from agents.thinkjepa.model import ThinkJEPA
from agents.thinkjepa.planner import latent
from agents.thinkjepa.planner.config import PlannerConfig
from agents.thinkjepa.predictor import ActionMap, Carry
from agents.thinkjepa.presets import preset
from agents.thinkjepa.relevance import key_bias, resize
from agents.thinkjepa.world_model import WorldModel
from tests.agents.thinkjepa.tiny import (
    ACTION_DIM,
    ENCODER,
    IDENTITY_POINT,
    awake,
    model_config,
    world_config,
    world_model,
)


def millions(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def on_meta(config: ThinkJEPAConfig) -> ThinkJEPA:
    with torch.device("meta"):
        return ThinkJEPA(config)


# --------------------------------------------------------------------------------------------------- sizes


def test_parameters_of_paper():
    """ViT-H 631 M; predictor 87 M and 14 M for FiLM; GPI 84 M as the seed writes it, and 3.3 M to see the scene."""
    model = on_meta(preset("paper", action_dim=7, language_dim=4096))
    assert millions(model.world_model.encoder) == pytest.approx(630.9, abs=0.1)
    assert millions(model.world_model.predictor) == pytest.approx(101.4, abs=0.1)
    without_film = millions(model.world_model.predictor) - millions(model.world_model.predictor.action_mlp)
    assert without_film == pytest.approx(87.2, abs=0.1)
    assert millions(model.gpi) == pytest.approx(87.5, abs=0.1)
    config = model.config
    literal = on_meta(replace(config, gpi=replace(config.gpi, modulation="product", scene=False)))
    assert millions(literal.gpi) == pytest.approx(84.0, abs=0.1)
    assert millions(on_meta(preset("paper-l", action_dim=7, language_dim=4096)).world_model.encoder) == pytest.approx(
        303.3, abs=0.1
    )


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_presets_run(name):
    config = preset(name, action_dim=5, language_dim=32)
    model = ThinkJEPA(config).eval()
    size = config.world_model.encoder.image_size
    with torch.inference_mode():
        state = model.world_model.encode(torch.rand(1, 1, 3, size, size))[:, 0]
        goal = model.gpi(torch.randn(1, 32), torch.ones(1, config.world_model.tokens), state)
        reached = model.world_model.rollout(state, torch.rand(1, 1, 5))
    assert reached[:, 0].shape == goal.shape == (1, config.world_model.tokens, config.world_model.encoder.width)


def test_unknown_preset_is_named():
    with pytest.raises(ValueError, match="preset=huge is unknown; there are tiny"):
        preset("huge", action_dim=1, language_dim=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": 5}, "grid=5 is finer than the encoder's 4 patches per side"),
        ({"action_dim": 0}, "action_dim"),
        ({"normalisation": "batch"}, "normalisation"),
        ({"colour": 1}, "colour"),
    ],
)
def test_bad_sizes_are_refused_by_name(change, message):
    with pytest.raises(ValidationError, match=message):
        WorldModelConfig(**(asdict(world_config()) | change))


def test_action_points_must_name_components():
    point = ActionPoint(x=0, y=ACTION_DIM, homography=IDENTITY_POINT.homography)
    with pytest.raises(ValidationError, match=f"component {ACTION_DIM} of {ACTION_DIM}"):
        world_config(action_points=(point,))


def test_configuration_survives_json_data():
    config = model_config()
    assert ThinkJEPAConfig(**asdict(config)) == config


# ------------------------------------------------------------------------------------------------- encoder


def test_pixels():
    pixels = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    assert to_frames(pixels).flatten().tolist() == pytest.approx([0, 128 / 255, 1])
    with pytest.raises(ValueError, match=r"expected uint8 \(\.\.\., H, W, 3\)"):
        to_frames(pixels.float())
    grey = normalise_frames(torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
    torch.testing.assert_close(grey, torch.zeros(3, 1, 1))


def test_frames_are_encoded_one_by_one():
    encoder = awake(ViTEncoder(ENCODER))
    clip = torch.rand(2, 3, 3, 16, 16)
    whole = encoder(clip)
    assert whole.shape == (2, 3, 16, 24)
    torch.testing.assert_close(whole[:, 1:2], encoder(clip[:, 1:2]))


def test_context_of_all_patches_is_the_whole_encoding():
    encoder = awake(ViTEncoder(ENCODER))
    clip = torch.rand(2, 3, 3, 16, 16)
    order = torch.stack([torch.randperm(48) for _ in range(2)])
    expected = encoder(clip).flatten(1, 2).take_along_dim(order.unsqueeze(-1), dim=1)
    torch.testing.assert_close(encoder(clip, order), expected, rtol=1e-4, atol=1e-5)


def test_masked_pixels_do_not_leak_into_the_context():
    encoder = awake(ViTEncoder(ENCODER))
    clip = torch.rand(1, 2, 3, 16, 16)
    context = torch.tensor([[0, 1, 4, 5, 16, 17]])  # top left corners; the rest is masked
    changed = clip.clone()
    changed[..., 8:, :] = 0
    torch.testing.assert_close(encoder(clip, context), encoder(changed, context))
    assert not torch.allclose(encoder(clip)[:, 0, 0], encoder(changed)[:, 0, 0])


@pytest.mark.parametrize("window", [0, 1])
def test_what_is_seen_changes_tokens_within_the_window_only(window):
    encoder = awake(ViTEncoder(replace(ENCODER, layers=1, window=window)))
    clip = torch.rand(1, 1, 3, 16, 16)
    changed = clip.clone()
    changed[..., 4:8, 8:12] = 0  # the patch in row 1, column 2
    differs = (encoder(clip) - encoder(changed))[0, 0].abs().amax(-1).view(4, 4) > 1e-6
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[1 - window : 2 + window, 2 - window : 3 + window] = True
    assert torch.equal(differs, expected)
    order = torch.randperm(16).unsqueeze(0)
    torch.testing.assert_close(encoder(clip, order)[0], encoder(clip)[0, 0][order[0]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("window", "reach"), [(0, 1), (1, 4), (None, 8)])
def test_what_convolutions_see_is_near_unless_tokens_see_everything(window, reach):
    """Eleven pixels beyond a patch of twelve with ``window=0``; with 1, the second residual block adds two tokens."""
    config = EncoderConfig(image_size=96, patch_size=12, width=32, layers=1, heads=2, stem="conv", window=window)
    encoder = awake(ViTEncoder(config))
    frames = torch.rand(1, 1, 3, 96, 96)
    changed = frames.clone()
    changed[..., 0:12, 0:12] = 0
    differs = (encoder(frames) - encoder(changed))[0, 0].abs().amax(-1).view(8, 8) > 1e-7
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[: reach + 1, : reach + 1] = True
    assert differs[0, 0]
    assert torch.equal(differs & ~expected, torch.zeros_like(differs))
    assert (window is None) == bool(differs[-1, -1])


def test_frames_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"this encoder takes \(B, T, 3, 16, 16\)"):
        ViTEncoder(ENCODER)(torch.rand(1, 1, 3, 32, 32))


@pytest.mark.parametrize(
    ("side", "grid", "cells"),
    [(4, 2, [(0, 2), (2, 4)]), (4, 4, [(0, 1), (1, 2), (2, 3), (3, 4)]), (14, 4, [(0, 4), (3, 7), (7, 11), (10, 14)])],
)
def test_pooling_averages_cells(side, grid, cells):
    tokens = torch.randn(2, 3, side**2, 5)
    picture = tokens.view(2, 3, side, side, 5)
    expected = [picture[:, :, a:b, c:d].mean((2, 3)) for a, b in cells for c, d in cells]
    torch.testing.assert_close(pool_grid(tokens, grid), torch.stack(expected, dim=2))


# ----------------------------------------------------------------------------------------------------- EMA


def test_momentum_schedule():
    assert momentum(0, 100) == pytest.approx(0.996)
    assert momentum(50, 100) == pytest.approx(0.998)
    assert momentum(100, 100) == momentum(101, 100) == 1.0
    values = [momentum(step, 100) for step in range(101)]
    assert values == sorted(values)


def test_target_follows_and_has_no_gradient():
    online = nn.Linear(2, 1)
    target = EMATarget(online)
    before = target.module.weight.clone()
    with torch.no_grad():
        online.weight += 1
    target.update(online, 0.9)
    torch.testing.assert_close(target.module.weight, before + 0.1)
    target.update(online, 1.0)
    torch.testing.assert_close(target.module.weight, before + 0.1)
    assert not target(torch.ones(1, 2)).requires_grad
    assert not target.train().module.training


# ----------------------------------------------------------------------------------------------- predictor


@pytest.mark.parametrize("conditioning", ["film", "concat"])
@pytest.mark.parametrize("normalisation", ["layer", "l2"])
@pytest.mark.parametrize("grid", [4, 3])
def test_rollout_is_repeated_steps_in_the_space_of_encodings(conditioning, normalisation, grid):
    model = world_model(conditioning=conditioning, normalisation=normalisation, grid=grid)
    state = model.encode(torch.rand(2, 1, 3, 16, 16))[:, 0]
    actions = torch.randn(2, 3, ACTION_DIM)
    rolled = model.rollout(state, actions)
    assert rolled.shape == (2, 3, grid**2, 24)
    step = state
    for h in range(3):
        step = model.rollout(step, actions[:, h : h + 1])[:, 0]
        torch.testing.assert_close(rolled[:, h], step, rtol=1e-4, atol=1e-5)
    for tokens in (state, rolled):
        torch.testing.assert_close(model.normalise(tokens), tokens, rtol=1e-3, atol=1e-4)
    assert (model.rollout(state, -actions) - rolled).abs().max() > 1e-3


def test_concat_is_concatenation():
    model = world_model(conditioning="concat", residual=False)
    predictor = model.predictor
    state, action = torch.randn(2, 16, 24), torch.randn(2, 1, ACTION_DIM)
    joint = nn.Linear(24 + 16, 16)
    hidden = predictor.action_mlp[:2](action)
    joint.weight.data = torch.cat((predictor.project_in.weight, predictor.action_mlp[2].weight), dim=1)
    joint.bias.data = predictor.project_in.bias + predictor.action_mlp[2].bias
    tokens = joint(torch.cat((state, hidden.expand(-1, 16, -1)), dim=-1)) + predictor.positions
    for block in predictor.blocks:
        tokens = block(tokens)
    expected = predictor.project_out(predictor.norm(tokens))
    torch.testing.assert_close(predictor.step(state, model.condition(action)), expected, rtol=1e-4, atol=1e-5)


def test_film_starts_without_effect_and_modulates():
    model = WorldModel(world_config()).eval()
    state = torch.randn(1, 16, 24)
    one, other = (model.rollout(state, torch.full((1, 1, ACTION_DIM), value)) for value in (-1.0, 1.0))
    torch.testing.assert_close(one, other)
    film = Film(torch.tensor([[[1.0]]]), torch.tensor([[[3.0]]]))
    assert film(torch.tensor([[[2.0]]])).item() == 2 * 2 + 3


def test_actions_are_normalised_by_the_models_own_statistics():
    model = world_model()
    state, actions = torch.randn(1, 16, 24), torch.randn(1, 2, ACTION_DIM)
    expected = model.rollout(state, actions)
    model.action_mean.fill_(5)
    model.action_std.fill_(2)
    torch.testing.assert_close(model.rollout(state, 5 + 2 * actions), expected, rtol=1e-4, atol=1e-5)


def test_infill_predicts_where_it_is_asked_to():
    model = world_model(action_points=(IDENTITY_POINT,))
    masks = sample_masks(SEED_BLOCKS, batch=2, frames=4, side=4, rng=np.random.default_rng(0))
    clip, actions = torch.rand(2, 4, 3, 16, 16), torch.rand(2, 4, ACTION_DIM)
    filled = model.infill(clip, masks.context, masks.target, actions)
    assert filled.shape == (*masks.target.shape, 24)
    backwards = model.infill(clip, masks.context.flip(1), masks.target.flip(1), actions)
    torch.testing.assert_close(backwards.flip(1), filled, rtol=1e-3, atol=1e-4)
    assert model.infill(clip, masks.context, masks.target).shape == filled.shape
    later = actions.clone()
    later[:, 3] += 1
    assert not torch.allclose(model.infill(clip, masks.context, masks.target, later), filled)


def test_infill_does_not_see_the_masked_pixels():
    model = world_model()
    clip = torch.rand(1, 1, 3, 16, 16)
    changed = clip.clone()
    changed[..., 8:, :] = 0
    context, target = torch.arange(8).unsqueeze(0), torch.arange(8, 16).unsqueeze(0)
    torch.testing.assert_close(model.infill(clip, context, target), model.infill(changed, context, target))


def test_action_points_are_drawn_where_the_camera_sees_them():
    scaled = ActionPoint(x=1, y=0, homography=(0.5, 0, 0.5, 0, 0.5, 0.5, 0, 0, 1))
    drawn = ActionMap((IDENTITY_POINT, scaled), 8)
    points = drawn.locate(torch.tensor([[[0.25, -1.0, 9.0]]]))
    torch.testing.assert_close(points, torch.tensor([[[[0.25, -1.0], [0.0, 0.625]]]]))
    far = ActionMap((replace(IDENTITY_POINT, homography=(1, 0, 0, 0, 1, 0, 1, 0, 0)),), 8)
    assert far.locate(torch.tensor([[[0.0, 0.5, 0.0]]]))[..., 1].item() == 2  # on the horizon, yet finite


def test_a_moved_point_moves_its_picture():
    drawn = ActionMap((IDENTITY_POINT,), 8)
    nn.init.normal_(drawn.widen.weight)
    one, right = (drawn(drawn.locate(torch.tensor([[[x, 0.375, 0.0]]])), 4).view(4, 4, 8) for x in (0.375, 0.625))
    torch.testing.assert_close(one[:, :-1], right[:, 1:])
    assert not torch.allclose(one, right)


# ----------------------------------------------------------------------------------------------- relevance


def test_relevance_is_brought_to_the_grid_with_mean_one():
    maps = torch.zeros(3, 8, 8)
    maps[0, :4, :4] = 5
    maps[1] = 0.1
    weights = resize(maps, 2)
    assert weights[0].argmax() == 0
    torch.testing.assert_close(weights.mean(1), torch.ones(3))
    torch.testing.assert_close(weights[1:], torch.ones(2, 4))
    with pytest.raises(ValueError, match="attention weights, not logits"):
        resize(-maps, 2)


def test_key_bias_is_the_formula_and_shifts_attention():
    w = torch.tensor([[0.0, 1.0, 2.0]])
    torch.testing.assert_close(key_bias(w, 0.3, 1e-6), 0.3 * torch.log(torch.tensor([[1e-6, 1 + 1e-6, 2 + 1e-6]])))
    attention = Attention(4, 2)
    x = torch.randn(2, 3, 4)
    q, k, v = attention.qkv(x).view(2, 3, 3, 2, 2).permute(2, 0, 3, 1, 4)
    bias = key_bias(w, 0.3, 1e-6)
    reference = (q @ k.mT / 2**0.5 + bias[:, None, None, :]).softmax(-1) @ v
    expected = attention.out(reference.transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, bias[:, None, None, :]), expected, rtol=1e-4, atol=1e-5)


def test_relevance_biases_rollouts_and_a_uniform_map_does_not():
    model = world_model()
    state, actions = torch.randn(1, 16, 24), torch.randn(1, 2, ACTION_DIM)
    plain = model.rollout(state, actions)
    torch.testing.assert_close(model.rollout(state, actions, torch.ones(1, 16)), plain, rtol=1e-4, atol=1e-5)
    corner = torch.zeros(1, 16)
    corner[0, 0] = 16
    assert not torch.allclose(model.rollout(state, actions, corner), plain, atol=1e-3)


# ---------------------------------------------------------------------------------------------------- cost


@pytest.mark.parametrize(
    "objective",
    [
        Objective(forgiven=0.3),
        Objective(steps="all", discount=0.5, distance="l1", relevance=True),
        Objective(distance="change_cosine", relevance=True),
    ],
)
def test_cost_is_the_objective_over_rollouts(objective):
    model = world_model(action_points=(IDENTITY_POINT,))
    state, goal = model.normalise(torch.randn(2, 2, 16, 24))
    actions, relevance = torch.randn(2, 5, 3, ACTION_DIM), resize(torch.rand(2, 4, 4), 4)
    costs = model.cost(state, goal, actions, objective, relevance)
    for lane in range(2):
        for candidate in range(5):
            rolled = model.rollout(state[lane, None], actions[lane, candidate, None], relevance[lane, None]).squeeze(0)
            weights = objective.step_weights(3)
            expected = sum(
                w * objective(s, goal[lane], relevance[lane], state[lane]) for w, s in zip(weights, rolled, strict=True)
            )
            torch.testing.assert_close(costs[lane, candidate], expected, rtol=1e-3, atol=1e-5)


def test_get_cost_is_the_cost_for_solvers_that_expand():
    model = world_model()
    state, goal = model.normalise(torch.randn(2, 2, 16, 24))
    actions = torch.randn(2, 5, 3, ACTION_DIM)
    info = {"state": state.unsqueeze(1).expand(-1, 5, -1, -1), "goal": goal.unsqueeze(1).expand(-1, 5, -1, -1)}
    torch.testing.assert_close(model.get_cost(info, actions), model.cost(state, goal, actions, Objective()))
    corner = torch.zeros(2, 16)
    corner[:, 0] = 16
    info["relevance"] = corner.unsqueeze(1).expand(-1, 5, -1)
    assert not torch.allclose(model.get_cost(info, actions), model.cost(state, goal, actions, Objective()))


@pytest.mark.parametrize("distance", get_args(Cost))
def test_get_cost_is_the_planners_cost_of_the_same_candidates(monkeypatch, distance):
    """Of those that it draws, for every distance that it can be told, under the same name."""
    model = world_model()
    objective = Objective(distance=distance, steps="all", discount=0.5, relevance=True)
    state, goal = model.normalise(torch.randn(2, 2, 16, 24))
    relevance = functional.softmax(torch.randn(2, 16), -1) * 16
    seen = []

    def spy(cost, config, box, noise, start):
        def watched(candidates):
            seen.append((candidates, cost(candidates)))
            return seen[-1][1]

        return search(watched, config, box, noise, start)

    search = latent.plan
    monkeypatch.setattr(latent, "plan", spy)
    config = PlannerConfig(population=24, horizon=2, iterations=2, elite_fraction=0.25)
    low, high = -np.ones(ACTION_DIM), np.ones(ACTION_DIM)
    latent.LatentPlanner(model, config, objective, low=low, high=high).plan(state, goal, [1, 2], relevance=relevance)
    assert len(seen) == 2
    model.objective = objective
    for candidates, costs in seen:
        expanded = {"state": state, "goal": goal, "relevance": relevance}
        count = candidates.shape[1]
        info = {name: x.unsqueeze(1).expand(-1, count, *x.shape[1:]) for name, x in expanded.items()}
        torch.testing.assert_close(model.get_cost(info, candidates), costs)
        model.objective = Objective()
        assert not torch.allclose(model.get_cost(info, candidates), costs)
        model.objective = objective


def test_bfloat16_follows_float32_and_keeps_the_geometry():
    model = WorldModel(world_config(action_points=(replace(IDENTITY_POINT, homography=(1 / 3, *range(8))),))).eval()
    homographies = model.predictor.action_map.homographies.clone()
    frames, actions, relevance = torch.rand(1, 2, 3, 16, 16), torch.randn(1, 4, 2, ACTION_DIM), torch.ones(1, 16)

    def cost():
        state, goal = model.encode(frames).unbind(1)
        return model.cost(state, goal, actions, Objective(), relevance)

    expected = cost()
    model.cast_weights(torch.bfloat16)
    assert model.features(frames).dtype == torch.bfloat16
    assert model.encode(frames).dtype == torch.float32
    torch.testing.assert_close(cost(), expected, rtol=0.05, atol=0.02)
    torch.testing.assert_close(model.predictor.action_map.homographies, homographies, rtol=0, atol=0)


def test_mixed_precision_training_reaches_every_weight():
    model = world_model(action_points=(IDENTITY_POINT,))
    masks = sample_masks(SEED_BLOCKS, batch=2, frames=4, side=4, rng=np.random.default_rng(0))
    clip, actions = torch.rand(2, 4, 3, 16, 16), torch.rand(2, 4, ACTION_DIM)
    corner = torch.zeros(2, 16)
    corner[:, 0] = 16
    with torch.autocast("cpu", torch.bfloat16):
        filled = model.infill(clip, masks.context, masks.target, actions)
        rolled = model.rollout(model.encode(clip)[:, 0], actions, corner)
        unlabelled = model.infill(clip, masks.context, masks.target)
    assert filled.dtype == rolled.dtype == torch.float32
    (filled.square() + unlabelled.abs()).mean().add((rolled**3).mean()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_encoder_kinds_are_checked():
    with pytest.raises(ValidationError, match="kind"):
        EncoderConfig(**(asdict(ENCODER) | {"kind": "resnet"}))
    for ignored in ({"window": 0}, {"stem": "conv"}):
        with pytest.raises(ValidationError, match="stem and window are for kind=vit"):
            EncoderConfig(**(asdict(ENCODER) | {"kind": "vjepa2", "window": None, "stem": "linear"} | ignored))


def test_what_is_at_one_point_reaches_the_other_and_nothing_else():
    carry = Carry(points=2, width=3)
    carry.read = nn.Identity()
    with torch.no_grad():  # what is at the first point is written at the second
        carry.write.weight.zero_()
        carry.write.bias.zero_()
        carry.write.weight[3:, :3] = torch.eye(3)
    tokens = torch.randn(1, 64, 3)
    points = torch.tensor([[[0.3125, 0.1875], [0.8125, 0.6875]]])  # centres of the tokens (row 1, 2) and (5, 6)
    added = carry(tokens, points, 8).view(8, 8, 3)
    cells = torch.cartesian_prod(torch.arange(8), torch.arange(8)).float()
    near = torch.exp(-(cells - torch.tensor([1.0, 2.0])).square().sum(1) / (2 * 0.7**2))
    torch.testing.assert_close(added[5, 6], (near[:, None] * tokens[0]).sum(0) / near.sum())
    assert added[1, 2].abs().max() < 1e-6 * added[5, 6].abs().max()
    away = carry(tokens, torch.full((1, 2, 2), 2.0), 8)
    assert away.abs().max() < 1e-6


def test_carrying_can_be_left_out():
    points = (IDENTITY_POINT, replace(IDENTITY_POINT, x=1, y=2))
    assert world_model(action_points=points).predictor.carry is not None
    assert world_model(action_points=points, carry=False).predictor.carry is None
    assert world_model(action_points=points[:1]).predictor.carry is None


@pytest.mark.parametrize("stem", ["linear", "conv"])
def test_what_is_masked_does_not_reach_the_context(stem):
    config = replace(ENCODER, image_size=32, patch_size=8, width=32, stem=stem)
    encoder = awake(ViTEncoder(config))
    frames = torch.rand(2, 2, 3, 32, 32)
    index = torch.tensor([[0, 5, 17], [3, 20, 31]])
    changed = frames.clone()
    for sample, seen in enumerate(index.tolist()):
        for patch in set(range(32)) - set(seen):
            frame, row, column = patch // 16, patch % 16 // 4 * 8, patch % 4 * 8
            changed[sample, frame, :, row : row + 8, column : column + 8] = torch.rand(3, 8, 8)
    torch.testing.assert_close(encoder(changed, index), encoder(frames, index))
    assert not torch.allclose(encoder(changed), encoder(frames))


def test_a_stem_must_fit_patches_and_width():
    assert ViTEncoder(replace(ENCODER, width=32, stem="conv"))(torch.rand(1, 1, 3, 16, 16)).shape == (1, 1, 16, 32)
    with pytest.raises(ValueError, match="patch_size=2 is no multiple of the strides of the stem=4"):
        replace(ENCODER, image_size=16, patch_size=2, width=32, stem="conv")
    with pytest.raises(ValueError, match="width=24 is no multiple of the groups of the stem=16"):
        replace(ENCODER, stem="conv")
