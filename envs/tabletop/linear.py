"""Small linear algebra that gives the same bits on every processor.

numpy hands `@`, ``dot``, ``linalg.norm`` of a vector and ``linalg.inv`` to a BLAS library, and some of its functions to
code that was written for one family of processors. Both are chosen by the processor that the program runs on, and they
round differently. A last bit in a joint angle is another contact a second later, so worlds, their scenes and the
actions of their experts compute with what stands here: one product and one sum after the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from envs.arrays import FloatArray

_PRODUCTS = {(1, 1): "i,i->", (1, 2): "i,ij->j", (2, 1): "ij,j->i", (2, 2): "ij,jk->ik"}


def product(left: FloatArray, right: FloatArray) -> FloatArray:
    """``left @ right`` of vectors and matrices; of two vectors, an array of shape ``()``."""
    return np.asarray(np.einsum(_PRODUCTS[left.ndim, right.ndim], left, right))


def norm(vector: npt.ArrayLike) -> float:
    """The Euclidean length of a vector ``(N,)``."""
    flat = np.asarray(vector, dtype=np.float64)
    return math.sqrt(float(product(flat, flat)))


def solved(matrix: FloatArray, vector: FloatArray) -> FloatArray:
    """``x (N,)`` with ``matrix x = vector`` for a symmetric positive definite matrix ``(N, N)``, by Cholesky's method.

    Raises:
        ValueError: The matrix is not positive definite.
    """
    lower: list[list[float]] = []
    middle: list[float] = []
    for row, value in zip(matrix.tolist(), vector.tolist(), strict=True):
        new: list[float] = []
        for entry, other in zip(row, lower, strict=False):
            new.append(_less(entry, new, other) / other[-1])
        square = _less(row[len(lower)], new, new)
        if not square > 0.0:
            raise ValueError("the matrix is not positive definite")
        new.append(math.sqrt(square))
        middle.append(_less(value, new, middle) / new[-1])
        lower.append(new)
    solution: list[float] = []
    for index in reversed(range(len(lower))):
        column = [row[index] for row in lower[index:]]
        solution.insert(0, _less(middle[index], column[1:], solution) / column[0])
    return np.array(solution)


def _less(value: float, left: list[float], right: list[float]) -> float:
    """``value`` minus the products of the entries that both lists have."""
    for one, other in zip(left, right, strict=False):
        value -= one * other
    return value


def around(angles: Iterable[float]) -> FloatArray:
    """Points of the unit circle, ``(N, 2)``, at angles in radians."""
    return np.array([(math.cos(angle), math.sin(angle)) for angle in angles]).reshape(-1, 2)
