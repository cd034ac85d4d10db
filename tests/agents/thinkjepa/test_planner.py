from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.thinkjepa.planner.config import CEM, ICEM, METHODS, MPPI, SEED_CEM, PlannerConfig
from agents.thinkjepa.planner.sampling import colour, draw_noise
from agents.thinkjepa.planner.shooting import ActionBox, plan, shift, warm_starts

SMALL = {"population": 64, "horizon": 3, "iterations": 4}
UNIT = ActionBox([-1.0, -1.0], [1.0, 1.0])


def small(config=CEM, **changes):
    return replace(config, **(SMALL | changes))


def bowl(targets):
    """Squared distance of all actions from one target ``(A,)`` per lane."""
    return lambda candidates: (candidates - targets[:, None, None, :]).square().sum((-1, -2))


# ------------------------------------------------------------------------------------------- configuration


def test_the_seeds_budget():
    """512 x 10 x 5 predictor passes, 52 elites of 512 (ceiling of 51.2), no repairs."""
    assert SEED_CEM.elites == 52
    assert sum(SEED_CEM.populations) * SEED_CEM.horizon == 25_600
    assert not SEED_CEM.bounded
    assert (SEED_CEM.minimum_std, SEED_CEM.keep_elites, SEED_CEM.mean_candidate) == (0, 0, False)


def test_improved_cem_shrinks_its_population_but_not_below_twice_the_elites():
    assert ICEM.populations == (512, 409, 327, 262, 209)
    assert replace(ICEM, population_decay=100.0).populations == (512, 104, 104, 104, 104)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keep_elites": 60}, "keep_elites=60 is more than the 52 elites of 512"),
        ({"elite_fraction": 0.0}, "elite_fraction"),
        ({"memory": 1.0}, "memory"),
        ({"update": "best"}, "update"),
        ({"elite_ratio": 0.1}, "elite_ratio"),
    ],
)
def test_bad_settings_are_refused_by_name(change, message):
    with pytest.raises(ValidationError, match=message):
        PlannerConfig(**(asdict(CEM) | change))


# ---------------------------------------------------------------------------------------------------- noise


def test_noise_of_a_lane_depends_on_its_seed_alone():
    config = small()
    together = draw_noise(config, 2, [3, 4, 2**70 + 3])
    assert together.shape == (3, 4 * 64, 3, 2)
    assert torch.equal(together[1], draw_noise(config, 2, [4])[0])
    assert not torch.equal(together[0], together[1])
    assert torch.equal(together[0], together[2])  # the lowest 63 bits count


@pytest.mark.parametrize("length", [2, 5, 8])
def test_coloured_noise_has_its_spectrum_and_unit_variance_at_every_place(length):
    white = torch.randn(40_000, length, generator=torch.Generator().manual_seed(0))
    coloured = colour(white, 2.0, axis=1)
    torch.testing.assert_close(coloured.var(0), torch.ones(length), rtol=0.05, atol=0)
    power = torch.fft.rfft(coloured).abs().square().mean(0)
    frequency = torch.fft.rfftfreq(length)[1:]
    torch.testing.assert_close(power[1:] / power[1], (frequency[0] / frequency) ** 2, rtol=0.05, atol=0)
    torch.testing.assert_close(power[0], power[1], rtol=0.05, atol=0)


def test_white_noise_and_single_steps_stay_as_they_are():
    white = torch.randn(3, 4)
    assert colour(white, 0.0, axis=1) is white
    single = torch.randn(3, 1)
    assert colour(single, 2.0, axis=1) is single


# --------------------------------------------------------------------------------------------------- search


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_the_bottom_of_a_bowl_on_every_lane(name):
    config = replace(METHODS[name], population=256, horizon=3)
    targets = torch.tensor([[0.5, -0.5], [-0.3, 0.9]])
    found = plan(bowl(targets), config, UNIT, draw_noise(config, 2, [0, 1]))
    assert found.actions.shape == (2, 3, 2)
    assert (found.actions - targets.unsqueeze(1)).abs().max() < 0.25
    assert (found.costs.diff(dim=1) <= 0).all()
    assert (found.costs[:, -1] < 0.3 * found.costs[:, 0]).all()


def algorithm_2(cost, mean, std, noise, elites):
    """The seed's loop, line by line, for one lane in NumPy."""
    for drawn in noise:
        candidates = mean + std * drawn
        order = np.argsort([cost(candidate) for candidate in candidates])[:elites]
        mean, std = candidates[order].mean(0), candidates[order].std(0)
    return mean


@settings(max_examples=10)
@given(st.integers(0, 2**31))
def test_the_literal_form_is_algorithm_2(seed):
    config = small(SEED_CEM)
    target = torch.tensor([[2.0, -3.0]])  # out of the bounds, which this form does not know
    noise = draw_noise(config, 2, [seed])
    found = plan(bowl(target), config, UNIT, noise)
    expected = algorithm_2(
        lambda candidate: ((candidate - target.numpy()) ** 2).sum(),
        np.zeros((3, 2)),
        np.ones((3, 2)),
        noise.numpy().reshape(4, 64, 3, 2),
        config.elites,
    )
    np.testing.assert_allclose(found.actions[0], expected, atol=1e-4)


def test_the_softmax_update_is_its_formula():
    config = small(MPPI, iterations=1, mean_candidate=False, minimum_std=0.0, temperature=0.5)
    noise = draw_noise(config, 2, [5])
    cost = bowl(torch.tensor([[0.5, 0.5]]))
    found = plan(cost, config, UNIT, noise)
    candidates = noise[0].clamp(-1, 1).double().numpy()
    costs = cost(noise.clamp(-1, 1))[0].double().numpy()
    weight = np.exp(-(costs - costs.min()) / (costs.max() - costs.min()) / 0.5)
    weight /= weight.sum()
    mean = np.einsum("p,pha->ha", weight, candidates)
    std = np.sqrt(np.einsum("p,pha->ha", weight, (candidates - mean) ** 2))
    np.testing.assert_allclose(found.mean[0], mean, atol=1e-5)
    np.testing.assert_allclose(found.std[0], std, atol=1e-5)


def test_equal_costs_weigh_equally():
    config = small(MPPI, iterations=1, mean_candidate=False)
    noise = draw_noise(config, 2, [5])
    found = plan(lambda candidates: candidates.sum((-1, -2)) * 0 + 7, config, UNIT, noise)
    torch.testing.assert_close(found.mean[0], noise[0].clamp(-1, 1).mean(0))


def test_candidates_stay_in_the_bounds_and_in_the_environments_units():
    box = ActionBox([0.0, -10.0], [2.0, 10.0])
    seen = []

    def cost(candidates):
        seen.append(candidates)
        return -candidates.sum((-1, -2))

    config = small(initial_std=3.0)
    found = plan(cost, config, box, draw_noise(config, 2, [0]))
    candidates = torch.cat(seen, dim=1)
    assert candidates[..., 0].min() == 0
    assert candidates[..., 0].max() == 2
    assert candidates[..., 1].abs().max() == 10
    torch.testing.assert_close(found.actions[0], torch.tensor([2.0, 10.0]).expand(3, 2), rtol=0.1, atol=0)


def test_the_mean_is_a_candidate_and_warm_starts_are_means():
    seen = []

    def cost(candidates):
        seen.append(candidates)
        return candidates.square().sum((-1, -2))

    config = small(iterations=1)
    rest = torch.full((3, 2), 0.5)
    noise = draw_noise(config, 2, [0, 1])
    plan(cost, config, UNIT, noise, warm_starts([None, rest], like=noise))
    torch.testing.assert_close(seen[0][:, 0], torch.stack((torch.zeros(3, 2), rest)))


def test_a_warm_start_is_the_rest_of_the_plan():
    mean = torch.arange(3.0).view(1, 3, 1)
    assert shift(mean, 1).flatten().tolist() == [1, 2, 2]
    assert shift(mean, 3).flatten().tolist() == [2, 2, 2]


def test_std_has_a_floor_and_memory():
    noise = draw_noise(small(), 2, [0])
    cost = bowl(torch.zeros(1, 2))
    assert plan(cost, small(minimum_std=0.2, iterations=4), UNIT, noise).std.min() >= 0.2
    first = small(iterations=1, minimum_std=0.0)
    forgetful, mindful = (plan(cost, replace(first, memory=m), UNIT, noise[:, :64]) for m in (0.0, 0.75))
    torch.testing.assert_close(mindful.mean, 0.25 * forgetful.mean)
    torch.testing.assert_close(mindful.std, 0.75 + 0.25 * forgetful.std)


def test_kept_elites_compete_without_being_scored_again():
    """The second iteration draws nothing but candidates far worse; what was kept decides."""
    config = small(iterations=2, keep_elites=5, elite_fraction=5 / 64, mean_candidate=False, minimum_std=0.0)
    calls = []

    def cost(candidates):
        calls.append(candidates.shape[1])
        return candidates.square().sum((-1, -2)) + 100 * (len(calls) - 1)

    noise = draw_noise(config, 2, [0])
    found = plan(cost, config, UNIT, noise)
    alone = plan(bowl(torch.zeros(1, 2)), replace(config, iterations=1), UNIT, noise[:, :64])
    assert calls == [64, 64]
    torch.testing.assert_close(found.mean, alone.mean)
    assert found.costs[0, 0] == found.costs[0, 1]


def test_the_best_candidate_can_be_executed():
    config = small(execute="best", keep_elites=0)
    cost = bowl(torch.tensor([[0.3, 0.3]]))
    found = plan(cost, config, UNIT, draw_noise(config, 2, [0]))
    torch.testing.assert_close(cost(found.actions.unsqueeze(1))[:, 0], found.costs[:, -1])


def test_a_block_is_several_environment_actions():
    box = ActionBox([-1.0, 0.0], [1.0, 4.0], block=2)
    assert box.dim == 4
    config = small(ICEM, action_block=2)
    target = torch.tensor([[0.5, 1.0, -0.5, 3.0]])
    found = plan(bowl(target), config, box, draw_noise(config, 4, [0]))
    assert found.actions.shape == (1, 6, 2)
    torch.testing.assert_close(found.actions[0, :2].flatten(), found.actions[0].reshape(3, 4)[0])
    assert (found.actions[0].reshape(3, 4).mean(0) - target[0]).abs().max() < 0.7


def test_fixed_components_are_not_searched_for():
    config = small(action_block=2, fixed=((1, 0.5),))
    box = ActionBox([-1.0, 0.0], [1.0, 4.0], block=2, fixed=config.fixed)
    found = plan(bowl(torch.zeros(1, 4)), config, box, draw_noise(config, 4, [0]))
    assert (found.actions[0, :, 1] == 3.0).all()
    assert found.actions[0, :, 0].std() > 0
    with pytest.raises(ValueError, match="no component 2; actions have 2"):
        ActionBox([-1.0, 0.0], [1.0, 4.0], block=2, fixed=((2, 0.0),))


@pytest.mark.parametrize(("low", "high"), [([0.0], [0.0]), ([-np.inf], [1.0]), ([1.0], [0.0])])
def test_bounds_must_be_finite_and_in_order(low, high):
    with pytest.raises(ValueError, match="must be finite and the lower below the upper"):
        ActionBox(low, high)
