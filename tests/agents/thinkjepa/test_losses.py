import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from agents.thinkjepa.losses.contrastive import infonce
from agents.thinkjepa.losses.prediction import mse, rollout_loss, smooth_l1
from agents.thinkjepa.losses.readouts import (
    MapReadout,
    ObjectMap,
    TokenReadout,
    known_mse,
    object_map_loss,
    transition,
)
from agents.thinkjepa.losses.regularisers import (
    covariance_penalty,
    effective_rank,
    random_directions,
    sigreg,
    spectral_entropy,
    variance_hinge,
    vicreg,
)
from agents.thinkjepa.losses.weights import SEED_WEIGHTS, LossWeights

seeds = st.integers(0, 2**31)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def directions(width, count=64, seed=0):
    return random_directions(width, count, torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------------------------------- prediction


@settings(max_examples=30)
@given(seeds, st.floats(0.05, 3))
def test_smooth_l1_agrees_with_torch(seed, beta):
    prediction, target = normal(4, 7, seed=seed) * 2, normal(4, 7, seed=seed + 1)
    expected = functional.smooth_l1_loss(prediction, target, beta=beta)
    torch.testing.assert_close(smooth_l1(prediction, target, beta), expected)


def test_smooth_l1_known_values():
    assert smooth_l1(torch.tensor([0.5]), torch.tensor([0.0])).item() == 0.125
    assert smooth_l1(torch.tensor([3.0]), torch.tensor([0.0])).item() == 2.5
    assert smooth_l1(torch.tensor([3.0]), torch.tensor([0.0]), beta=2.0).item() == 2.0


def test_smooth_l1_is_half_the_mse_on_unit_vectors():
    one, other = (functional.normalize(normal(50, 64, seed=seed), dim=-1) for seed in (1, 2))
    torch.testing.assert_close(smooth_l1(one, other), mse(one, other) / 2)


def test_gradients_of_differentiable_losses():
    x, y = normal(6, 4).double().requires_grad_(), normal(6, 4, seed=1).double()
    assert torch.autograd.gradcheck(lambda z: smooth_l1(z, y), x)
    assert torch.autograd.gradcheck(lambda z: mse(z, y), x)
    assert torch.autograd.gradcheck(lambda z: known_mse(z, y, y > 0), x)
    assert torch.autograd.gradcheck(lambda z: vicreg(z, y), x)
    assert torch.autograd.gradcheck(lambda z: infonce(z, y, torch.tensor([0, 0, 1, 2, 3, 3])), x)


def test_spectral_entropy_gradient_agrees_with_finite_differences():
    x = normal(8, 3)
    analytic = torch.autograd.functional.jacobian(spectral_entropy, x)
    step = torch.zeros_like(x)
    step[2, 1] = 1e-2
    numeric = (spectral_entropy(x + step) - spectral_entropy(x - step)) / 2e-2
    torch.testing.assert_close(analytic[2, 1], numeric, rtol=2e-2, atol=1e-3)


def test_rollout_loss_weighs_steps():
    target = torch.zeros(2, 3, 4, 5)
    prediction = torch.arange(1.0, 4.0).view(1, 3, 1, 1).expand_as(target)
    assert rollout_loss(prediction, target, mse).item() == pytest.approx((1 + 4 + 9) / 3)
    assert rollout_loss(prediction, target, mse, 0.5).item() == pytest.approx((1 + 4 / 2 + 9 / 4) / 1.75)


# ------------------------------------------------------------------------------------------- regularisers


@settings(max_examples=20)
@given(seeds, st.floats(1e-2, 1e2))
def test_spectral_entropy_agrees_with_singular_values_and_ignores_scale_shift_and_rotation(seed, scale):
    x = normal(12, 5, seed=seed)
    singular = np.linalg.svd((x - x.mean(0)).double().numpy(), compute_uv=False)
    p = singular**2 / (singular**2).sum()
    value = spectral_entropy(x).item()
    assert value == pytest.approx((p * np.log(p)).sum(), abs=1e-3)
    rotation = torch.linalg.qr(normal(5, 5, seed=seed + 1)).Q
    assert spectral_entropy(scale * (x @ rotation)).item() == pytest.approx(value, abs=1e-3)
    assert spectral_entropy(x + 3).item() == pytest.approx(value, abs=1e-3)


def test_spectral_entropy_range():
    corners = torch.cat((torch.eye(4), -torch.eye(4)))
    assert spectral_entropy(corners).item() == pytest.approx(-math.log(4), abs=1e-4)
    line = torch.linspace(0, 1, 9).unsqueeze(1) * torch.ones(1, 4)
    assert spectral_entropy(line).item() == pytest.approx(0, abs=1e-4)
    assert effective_rank(corners) == pytest.approx(4, rel=1e-3)
    assert effective_rank(line) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("value", [math.inf, math.nan, 1e30])
def test_the_spectrum_of_what_overflows_is_not_a_number(value):
    """1e30 is finite, its square is not."""
    x = normal(8, 4)
    x[2, 1] = value
    assert spectral_entropy(x).isnan()
    assert spectral_entropy(x.T).isnan()
    assert math.isnan(effective_rank(x))


def test_spectral_entropy_is_blind_to_collapse_and_the_hinge_is_not():
    x = normal(64, 8)
    assert spectral_entropy(1e-3 * x).item() == pytest.approx(spectral_entropy(x).item(), abs=1e-3)
    assert variance_hinge(1e-3 * x) > 0.9 > 0.2 > variance_hinge(2 * x)


def _trapezoid_of(integrand):
    t = np.linspace(-3, 3, 33)
    return np.trapezoid(integrand(t), t)


def test_sigreg_of_a_gaussian_is_its_expectation():
    # E|ecf - phi|^2 = (1 - phi^2) / B for B draws of N(0, 1)
    expected = _trapezoid_of(lambda t: np.exp(-(t**2) / 2) * (1 - np.exp(-(t**2))))
    values = [sigreg(normal(256, 16, seed=seed), directions(16, seed=seed)).item() for seed in range(20)]
    assert expected == pytest.approx(1.05, abs=0.01)
    assert np.mean(values) == pytest.approx(expected, rel=0.1)


def test_sigreg_of_a_point_is_a_closed_form():
    expected = 512 * _trapezoid_of(lambda t: np.exp(-(t**2) / 2) * (1 - np.exp(-(t**2) / 2)) ** 2)
    assert sigreg(torch.zeros(512, 8), directions(8)).item() == pytest.approx(expected, rel=1e-4)
    assert expected == pytest.approx(206, abs=1)


def _sigreg_in_double(features, axes):
    """The formula as it is written, with complex numbers and the whole of the integral."""
    t = np.linspace(-3, 3, 33)
    gaussian = np.exp(-(t**2) / 2)
    each = []
    for axis in axes.T:
        characteristic = np.mean([np.exp(1j * t * (axis @ row)) for row in features], axis=0)
        each.append(np.trapezoid(np.abs(characteristic - gaussian) ** 2 * gaussian, t))
    return len(features) * np.mean(each)


def test_sigreg_and_its_gradient_agree_with_finite_differences_of_a_reference():
    x, axes = (normal(6, 4) * 1.5 + 0.3).requires_grad_(), directions(4, count=5)
    value = sigreg(x, axes)
    (gradient,) = torch.autograd.grad(value, x)
    at, along = x.detach().double().numpy(), axes.double().numpy()
    assert value.item() == pytest.approx(_sigreg_in_double(at, along), rel=1e-5)
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = 1e-5
        expected = (_sigreg_in_double(at + step, along) - _sigreg_in_double(at - step, along)) / 2e-5
        assert gradient[index].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_sigreg_sees_scale_rank_and_mean():
    x = normal(512, 64)
    gaussian = sigreg(x, directions(64))
    low_rank = normal(512, 8, seed=1) @ normal(8, 64, seed=2) / 8**0.5
    for departure in (0.01 * x, 3 * x, x + 1, low_rank):
        assert sigreg(departure, directions(64)) > 5 * gaussian


def test_sigreg_ignores_order_and_averages_leading_axes():
    x = normal(3, 32, 8)
    each = torch.stack([sigreg(step.flip(0), directions(8)) for step in x])
    torch.testing.assert_close(sigreg(x, directions(8)), each.mean())


def test_directions_are_unit_vectors():
    torch.testing.assert_close(directions(8, 100).norm(dim=0), torch.ones(100))


def test_vicreg_terms():
    uncorrelated = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert covariance_penalty(uncorrelated).item() == pytest.approx(0)
    correlated = torch.tensor([[1.0, 1], [-1, -1]])  # covariance 2 everywhere
    assert covariance_penalty(correlated).item() == pytest.approx((4 + 4) / 2)
    assert variance_hinge(torch.zeros(5, 3)).item() == pytest.approx(1 - 0.01)
    assert vicreg(uncorrelated, uncorrelated).item() == pytest.approx(0)
    assert vicreg(uncorrelated, uncorrelated + 1).item() == pytest.approx(25)


# -------------------------------------------------------------------------------------------- contrastive


def test_infonce_agrees_with_a_loop():
    goals, states, labels = normal(5, 6), normal(5, 6, seed=1), [0, 1, 0, 2, 1]
    cosine = functional.cosine_similarity(goals.unsqueeze(1), states.unsqueeze(0), dim=-1) / 0.07

    def one_way(logits):
        total = 0.0
        for k in range(5):
            positives = [j for j in range(5) if labels[j] == labels[k]]
            total -= sum(torch.log_softmax(logits[k], 0)[j].item() for j in positives) / len(positives)
        return total / 5

    expected = (one_way(cosine) + one_way(cosine.T)) / 2
    assert infonce(goals, states, torch.tensor(labels)).item() == pytest.approx(expected, rel=1e-5)


def test_infonce_of_nothing_is_nothing():
    nothing = torch.zeros(0, 4, requires_grad=True)
    infonce(nothing, nothing, torch.zeros(0, dtype=torch.long)).backward()
    assert infonce(nothing, nothing).item() == 0


def test_infonce_known_values_and_invariances():
    same = torch.ones(8, 3)
    assert infonce(same, same).item() == pytest.approx(math.log(8), rel=1e-5)
    eye = torch.eye(8)
    assert infonce(eye, eye).item() == pytest.approx(math.log(1 + 7 * math.exp(-1 / 0.07)), abs=1e-6)
    goals, states = normal(6, 4), normal(6, 4, seed=1)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    value = infonce(goals, states)
    torch.testing.assert_close(infonce(7 * goals[order], 0.1 * states[order]), value)
    torch.testing.assert_close(infonce(states, goals), value)


def test_labels_pull_where_the_literal_loss_pushes():
    """Samples 0 and 1 are the same sub-goal in other words; goal 0 pushes state 1 away unless the labels say so."""
    goals, states = torch.eye(4), torch.eye(4)
    literal = torch.autograd.functional.jacobian(lambda s: infonce(goals, s), states)[1, 0]
    labelled = torch.autograd.functional.jacobian(lambda s: infonce(goals, s, torch.tensor([0, 0, 1, 2])), states)[1, 0]
    assert literal >= 0 > labelled


# ----------------------------------------------------------------------------------- readouts and weights


def test_inverse_dynamics_learns_where_something_moved():
    """Which of four tokens changed cannot be told from their mean."""
    head = TokenReadout(token_width=2 * 6, tokens=4, outputs=4)
    optimiser = torch.optim.Adam(head.parameters(), 1e-2)
    before = normal(64, 4, 6)
    where = torch.arange(64) % 4
    after = before.clone()
    after[torch.arange(64), where] += 1
    action = functional.one_hot(where, 4).float()
    for _ in range(60):
        optimiser.zero_grad()
        mse(head(transition(before, after)), action).backward()
        optimiser.step()
    assert mse(head(transition(before, after)), action) < 0.05


def test_known_mse_counts_known_entries_only():
    prediction = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    target = torch.tensor([[0.0, math.nan], [0.0, 4.0]])
    known = torch.tensor([[True, False], [True, True]])
    loss = known_mse(prediction, target, known)
    assert loss.item() == pytest.approx((1 + 9 + 0) / 3)
    loss.backward()
    torch.testing.assert_close(prediction.grad, torch.tensor([[2 / 3, 0.0], [2.0, 0.0]]))
    assert known_mse(prediction, target, torch.zeros_like(known)).item() == 0


def test_seed_weights():
    terms = {"prediction": torch.tensor(2.0), "regulariser": torch.tensor(3.0), "gpi": torch.tensor(5.0)}
    assert SEED_WEIGHTS.total(terms).item() == 2 + 0.5 * 3 + 5
    assert LossWeights(rollout=0.25).total({"rollout": torch.tensor(4.0)}).item() == 1
    with pytest.raises(ValueError, match="sigreg"):
        SEED_WEIGHTS.total({"sigreg": torch.tensor(1.0)})
    with pytest.raises(ValueError, match="some of"):
        SEED_WEIGHTS.total({})


def test_the_object_map_loss_agrees_with_a_loop():
    logits, places, labels = normal(2, 3, 4), normal(2, 3, 3, seed=1), normal(2, 3, 3, seed=2)
    words = (normal(2, 3, 4, seed=3) > 0).float()
    labels[0, 1] = math.nan
    labels[1, 2] = math.nan
    total = 0.0
    for state, token in np.ndindex(2, 3):
        for word in range(4):
            chance = 1 / (1 + math.exp(-logits[state, token, word].item()))
            total -= math.log(chance if words[state, token, word] else 1 - chance)
        if not labels[state, token].isnan().any():
            total += (places[state, token] - labels[state, token]).square().sum().item()
    loss = object_map_loss(ObjectMap(logits, places), ObjectMap(words, labels))
    assert loss.item() == pytest.approx(total / 6, rel=1e-5)


def test_the_object_map_is_scored_where_things_are():
    words = torch.zeros(2, 3, 4)
    words[0, 1, 2] = 1
    place = torch.full((2, 3, 3), float("nan"))
    place[0, 1] = torch.tensor([0.25, -0.5, 0.2])
    seen = ObjectMap(words, place)
    right = ObjectMap(torch.where(words > 0, 30.0, -30.0), torch.nan_to_num(place, nan=7.0))
    assert object_map_loss(right, seen).item() == pytest.approx(0, abs=1e-6)
    undecided = ObjectMap(torch.zeros(2, 3, 4), right.place)
    assert object_map_loss(undecided, seen).item() == pytest.approx(4 * math.log(2))
    beside = ObjectMap(right.words, right.place + 0.1)
    assert object_map_loss(beside, seen).item() == pytest.approx(3 * 0.01 / 6)
    readout = MapReadout(token_width=5, words=4)
    read = readout(torch.randn(2, 3, 5, requires_grad=True))
    object_map_loss(read, seen).backward()
    assert all(parameter.grad.isfinite().all() for parameter in readout.parameters())
