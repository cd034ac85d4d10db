from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from agents.thinkjepa.config import GPIConfig
from agents.thinkjepa.gpi import Beside, GoalProjection
from tests.agents.thinkjepa.tiny import LANGUAGE_DIM, awake

BATCH, TOKENS, WIDTH = 3, 16, 24


def gpi(**settings):
    config = GPIConfig(**({"language_dim": LANGUAGE_DIM, "layers": 1, "heads": 2} | settings))
    module = GoalProjection(config, width=WIDTH, tokens=TOKENS, normalisation="layer")
    return module if config.projection == "random" else awake(module)


def inputs():
    relevance = torch.rand(BATCH, TOKENS) + 0.2
    return torch.randn(BATCH, LANGUAGE_DIM), relevance / relevance.mean(1, keepdim=True)


def test_goals_are_states():
    embedding, relevance = inputs()
    state = functional.layer_norm(torch.randn(BATCH, TOKENS, WIDTH), (WIDTH,))
    goal = gpi()(embedding, relevance, state)
    assert goal.shape == state.shape
    torch.testing.assert_close(functional.layer_norm(goal, (WIDTH,)), goal, rtol=1e-3, atol=1e-3)


def test_the_goal_depends_on_words_place_and_scene():
    embedding, relevance = inputs()
    state = torch.randn(BATCH, TOKENS, WIDTH)
    module = gpi()
    goal = module(embedding, relevance, state)
    for other in (
        module(embedding + 1, relevance, state),
        module(embedding, relevance.flip(1), state),
        module(embedding, relevance, state + torch.randn(WIDTH)),
    ):
        assert (other - goal).abs().mean() > 0.01


def test_layer_normalisation_erases_the_attention_map_from_the_product_and_not_from_the_sum():
    """Why the literal form is not the default."""
    embedding, relevance = inputs()
    literal = gpi(modulation="product", scene=False, layers=0)(embedding, relevance)
    assert literal.std(dim=1).max() < 1e-2
    repaired = gpi(scene=False, layers=0)(embedding, relevance)
    assert repaired.std(dim=1).mean() > 0.1


def test_an_untrained_goal_is_to_leave_everything_as_it_is():
    config = GPIConfig(language_dim=LANGUAGE_DIM, layers=1, heads=2)
    module = GoalProjection(config, width=WIDTH, tokens=TOKENS, normalisation="layer")
    state = functional.layer_norm(torch.randn(BATCH, TOKENS, WIDTH), (WIDTH,))
    torch.testing.assert_close(module(*inputs(), state), state, rtol=1e-3, atol=1e-3)


def test_film_lets_words_modulate_every_block():
    embedding, relevance = inputs()
    state = torch.randn(BATCH, TOKENS, WIDTH)
    module = gpi(film=True, layers=2)
    modulated = module(embedding, relevance, state)
    assert module.film.out_features == 2 * 2 * WIDTH
    torch.nn.init.zeros_(module.film.weight)
    torch.nn.init.zeros_(module.film.bias)
    plain = gpi(layers=2)
    plain.load_state_dict({k: v for k, v in module.state_dict().items() if not k.startswith("film")})
    torch.testing.assert_close(module(embedding, relevance, state), plain(embedding, relevance, state))
    assert (modulated - plain(embedding, relevance, state)).abs().mean() > 0.01


def test_what_is_beside_is_looked_at_on_the_sides_that_the_words_name():
    beside = Beside(WIDTH, 3)
    beside.start()
    tokens, sentence = torch.randn(BATCH, 25, WIDTH), torch.randn(BATCH, 1, WIDTH)
    assert not beside(tokens, sentence).any(), "before training, nothing is added"
    torch.nn.init.eye_(beside.out.weight)
    torch.nn.init.eye_(beside.gate.weight)
    seen = beside(tokens, sentence)
    changed = tokens.clone()
    changed[:, 12] = torch.randn(WIDTH)  # the middle of five by five
    reached = (beside(changed, sentence) - seen).abs().amax((0, 2)).reshape(5, 5) > 1e-6
    assert reached[1:4, 1:4].all()
    assert reached.sum() == 9
    shifted = beside(tokens.reshape(BATCH, 5, 5, WIDTH).roll(1, 2).flatten(1, 2), sentence).reshape(BATCH, 5, 5, WIDTH)
    inner = seen.reshape(BATCH, 5, 5, WIDTH)[:, :, 1:3]
    torch.testing.assert_close(shifted[:, :, 2:4], inner)
    assert (beside(tokens, sentence.flip(0)) - seen).abs().mean() > 0.01


def test_a_goal_projection_that_looks_beside_starts_as_one_that_does_not():
    torch.manual_seed(0)
    embedding, relevance = inputs()
    state = functional.layer_norm(torch.randn(BATCH, TOKENS, WIDTH), (WIDTH,))
    config = GPIConfig(language_dim=LANGUAGE_DIM, layers=2, heads=2, beside=5)
    module = GoalProjection(config, width=WIDTH, tokens=TOKENS, normalisation="layer")
    torch.testing.assert_close(module(embedding, relevance, state), state, rtol=1e-3, atol=1e-3)
    plain = GoalProjection(replace(config, beside=0), width=WIDTH, tokens=TOKENS, normalisation="layer")
    plain.load_state_dict({k: v for k, v in awake(module).state_dict().items() if not k.startswith("beside")})
    assert (module(embedding, relevance, state) - plain(embedding, relevance, state)).abs().mean() > 1e-3


@pytest.mark.parametrize("settings", [{"beside": 4}, {"beside": 3, "layers": 0}])
def test_a_neighbourhood_is_odd_and_needs_blocks(settings):
    with pytest.raises(ValidationError, match=r"beside=\d must be odd and needs layers"):
        GPIConfig(**({"language_dim": LANGUAGE_DIM, "layers": 1, "heads": 2} | settings))


def test_film_needs_blocks():
    with pytest.raises(ValidationError, match="film=true needs blocks"):
        GPIConfig(language_dim=LANGUAGE_DIM, layers=0, heads=2, film=True)


def test_without_refinement_tokens_do_not_mix():
    embedding, relevance = inputs()
    moved = relevance.clone()
    moved[:, 0] += 1
    for layers, mixes in ((0, False), (1, True)):
        module = gpi(layers=layers, scene=False)
        difference = (module(embedding, relevance) - module(embedding, moved)).abs().amax((0, 2))
        assert difference[0] > 1e-3
        assert (difference[1:].max() > 1e-4) == mixes


def test_random_projection_has_nothing_to_learn_and_keeps_angles():
    module = gpi(projection="random", layers=0, scene=False, modulation="product")
    assert not any(parameter.requires_grad for parameter in module.parameters())
    embedding, relevance = inputs()
    goal = module(embedding, relevance)
    torch.testing.assert_close(goal[:, :1].expand_as(goal), goal, rtol=1e-3, atol=1e-3)
    assert (goal[0, 0] - goal[1, 0]).abs().max() > 0.1


@pytest.mark.parametrize("settings", [{"layers": 1}, {"scene": True}, {"modulation": "additive"}])
def test_random_projection_excludes_learned_parts(settings):
    literal = {"projection": "random", "layers": 0, "scene": False, "modulation": "product"}
    with pytest.raises(ValidationError, match="nothing learned"):
        GPIConfig(language_dim=4, heads=2, **(literal | settings))


def test_a_missing_scene_is_named():
    with pytest.raises(ValueError, match="give the current state"):
        gpi()(*inputs())
