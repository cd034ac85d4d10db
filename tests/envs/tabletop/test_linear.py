"""Linear algebra without BLAS, and nothing else where bits count."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.tabletop import kinematics
from envs.tabletop.linear import around, norm, product, solved

ROOT = Path(__file__).parents[3]
EXACT = (
    *(ROOT / "envs" / "tabletop").glob("*.py"),
    *(ROOT / "thinkbench").glob("*.py"),
    *(ROOT / "baselines").glob("thinkbench_*.py"),
)
DIFFERS = {"dot", "inner", "matmul", "inv", "solve", "sin", "cos", "tan", "arcsin", "arccos", "arctan2", "exp", "log"}
"""Functions of numpy whose last bit depends on the processor."""

SIZES = st.integers(1, 7)
VALUES = st.floats(-10, 10, allow_subnormal=False)


@given(st.data(), SIZES, SIZES, SIZES)
def test_products(data: st.DataObject, rows: int, inner: int, columns: int) -> None:
    left, right = (data.draw(arrays(np.float64, shape, elements=VALUES)) for shape in ((rows, inner), (inner, columns)))
    for one, other in ((left, right), (left[0], right), (left, right[:, 0]), (left[0], right[:, 0])):
        result = product(one, other)
        assert result.shape == (one @ other).shape
        np.testing.assert_allclose(result, one @ other, rtol=1e-12, atol=1e-11)
    assert norm(left[0]) == pytest.approx(np.linalg.norm(left[0]), rel=1e-12, abs=1e-150)


@given(st.data(), SIZES)
def test_systems_are_solved(data: st.DataObject, size: int) -> None:
    factor = data.draw(arrays(np.float64, (size, size), elements=VALUES))
    wanted = data.draw(arrays(np.float64, size, elements=VALUES))
    matrix = factor @ factor.T + np.eye(size)
    np.testing.assert_allclose(solved(matrix, matrix @ wanted), wanted, rtol=1e-6, atol=1e-8)


def test_what_has_no_solution_is_refused() -> None:
    with pytest.raises(ValueError, match="not positive definite"):
        solved(np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros(2))


def test_points_of_the_circle() -> None:
    np.testing.assert_allclose(around([0.0, np.pi / 2, np.pi]), [[1, 0], [0, 1], [-1, 0]], atol=1e-15)
    assert around([]).shape == (0, 2)


@given(arrays(np.float64, 7, elements=st.floats(0, 1)))
def test_the_jacobian_is_the_derivative_of_the_pose(share: np.ndarray) -> None:
    joints = kinematics.LOWER + share * (kinematics.UPPER - kinematics.LOWER)
    place, turn, jacobian = kinematics.forward(joints)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    step = 1e-6
    for joint in range(7):
        moved = joints.copy()
        moved[joint] += step
        other, turned, _ = kinematics.forward(moved)
        twist = np.concatenate([other - place, kinematics.rotation_vector(turned @ turn.T)]) / step
        np.testing.assert_allclose(jacobian[:, joint], twist, atol=1e-5)


@pytest.mark.parametrize("path", EXACT, ids=lambda path: path.stem)
def test_worlds_use_nothing_that_depends_on_the_processor(path: Path) -> None:
    """``linalg.norm`` along an axis is numpy's own sum; of a whole vector it is BLAS."""
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}: use envs.tabletop.linear, or math for single numbers"
        assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)), where
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func)).startswith("np."):
            assert name.rpartition(".")[2] not in DIFFERS, where
            whole = name == "np.linalg.norm" and not any(keyword.arg == "axis" for keyword in node.keywords)
            assert not whole, where
