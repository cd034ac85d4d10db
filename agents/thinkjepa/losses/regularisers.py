"""Regularisers against representations that collapse.

Apply them to `world_model.WorldModel.features`, before the state's normalisation. Feeding tokens of all positions as
one sample lets position alone satisfy every one of them; give pooled features, or tokens of one position at a time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# Of the numerical integral in `sigreg`: knots on [0, _T_MAX], as LeJEPA's reference settings.
_KNOTS = 17
_T_MAX = 3.0


def spectral_entropy(features: Tensor) -> Tensor:
    """Negative entropy of the normalised spectrum: ``sum_i p_i log p_i`` with ``p_i = sigma_i^2 / sum_j sigma_j^2``.

    ``sigma_i`` are the singular values of the centred features. This is what the seed (section 4.7) calls SIGReg;
    LeJEPA's SIGReg is another thing, see `sigreg`. Its range is ``[-log min(B - 1, D), 0]``. It does not see scale:
    features that shrink to a point keep their score, so add `variance_hinge`.

    Args:
        features: ``(B, D)``.

    Returns:
        A scalar, computed in float32 from eigenvalues of the smaller Gram matrix (their gradient is stable where that
        of a singular value decomposition is not). NaN where features or their squares overflow.
    """
    centred = features.float() - features.float().mean(0)
    gram = centred.T @ centred if centred.shape[0] > centred.shape[1] else centred @ centred.T
    finite = gram.isfinite().all()  # eigenvalues of anything else raise, or never converge
    spectrum = torch.linalg.eigvalsh(torch.where(finite, gram, 0.0)).clamp_min(0)
    p = spectrum / spectrum.sum().clamp_min(torch.finfo(torch.float32).tiny)
    entropy: Tensor = torch.special.entr(p.clamp_min(torch.finfo(torch.float32).eps)).sum()
    return torch.where(finite, -entropy, torch.nan)


def random_directions(width: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` unit vectors, uniform on the sphere: ``(D, K)``. Draw new ones at every step."""
    return functional.normalize(torch.randn(width, count, generator=generator), dim=0)


def sigreg(features: Tensor, directions: Tensor) -> Tensor:
    """Sketched isotropic Gaussian regularisation of LeJEPA: how far features are from ``N(0, I)``.

    For each direction a the Epps-Pulley statistic of the projections ``x_b = <a, z_b>``, ::

        B * integral over t of |1/B sum_b exp(i t x_b) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt,

    by the trapezoidal rule with 17 knots on [0, 3], doubled for the even integrand; then the mean over directions.
    Balestriero and LeCun, "LeJEPA", arXiv 2511.08544. A true Gaussian scores about 1.05, not 0, for every B; a point
    at the origin 0.40 B.

    Args:
        features: ``(..., B, D)``; leading axes (time steps, positions) are samples of their own and averaged over.
        directions: ``(D, K)`` unit vectors, see `random_directions`.

    Returns:
        A scalar, in float32.
    """
    t = torch.linspace(0, _T_MAX, _KNOTS, device=features.device)
    gaussian = torch.exp(-t.square() / 2)
    weight = torch.full_like(t, 2 * _T_MAX / (_KNOTS - 1)) * gaussian
    weight[[0, -1]] /= 2
    angles = (features.float() @ directions.to(features.device)).unsqueeze(-1) * t  # (..., B, K, knots)
    error = (angles.cos().mean(-3) - gaussian).square() + angles.sin().mean(-3).square()
    return (features.shape[-2] * (error @ weight)).mean()


def variance_hinge(features: Tensor, target: float = 1.0, epsilon: float = 1e-4) -> Tensor:
    """``mean_d max(0, target - sqrt(Var(z_d) + epsilon))``: ``(B, D)`` to a scalar.

    The variance term of VICReg (Bardes, Ponce and LeCun, ICLR 2022, equation 1).
    """
    deviation = (features.var(dim=0) + epsilon).sqrt()
    return functional.relu(target - deviation).mean()


def covariance_penalty(features: Tensor) -> Tensor:
    """``1/D sum over i != j of C_ij^2``, C the covariance of ``(B, D)``; VICReg, equations 3 and 4."""
    batch, width = features.shape
    centred = features - features.mean(0)
    covariance = centred.T @ centred / (batch - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / width


def vicreg(
    one: Tensor, other: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    """``invariance * mse + variance * (hinge of both) + covariance * (penalty of both)``; VICReg, equation 6.

    Args:
        one: ``(B, D)``, for example predictions.
        other: ``(B, D)``, for example encodings of the same states.
        invariance: lambda.
        variance: mu.
        covariance: nu.

    Returns:
        A scalar.
    """
    hinge = variance_hinge(one) + variance_hinge(other)
    penalty = covariance_penalty(one) + covariance_penalty(other)
    return invariance * functional.mse_loss(one, other) + variance * hinge + covariance * penalty


def effective_rank(features: Tensor) -> float:
    """``exp`` of the entropy of the normalised spectrum of ``(B, D)``: how many directions are in use, 1 to D.

    The exponent of `spectral_entropy`, NaN where that is; Roy and Vetterli, EUSIPCO 2007. A number to watch, not to
    train on.
    """
    return math.exp(-spectral_entropy(features.detach()).item())
