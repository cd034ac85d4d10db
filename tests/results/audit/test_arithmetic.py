"""The arithmetic behind the audit, against brute force and against statsmodels."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.audit.claims import length_variance, newcombe, weightings
from results.audit.grim import is_possible, smallest_count
from results.published.quantity import Quantity, parse


def quantity(text: str) -> Quantity:
    found = parse(text)
    assert found is not None
    return found


@given(st.integers(1, 400), st.data())
def test_every_rate_of_whole_counts_is_possible(count: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, count))
    decimals = data.draw(st.integers(0, 2))
    assert is_possible(quantity(f"{100 * successes / count:.{decimals}f}%"), count)
    assert is_possible(quantity(f"{successes / count:.{decimals}f}"), count)


@given(st.integers(1, 60), st.integers(0, 1000))
def test_what_no_count_gives_is_impossible(count: int, tenths: int) -> None:
    printed = Decimal(tenths) / 10
    brute = any(abs(Decimal(100 * k) / count - printed) <= Decimal("0.05") for k in range(count + 1))
    assert is_possible(quantity(f"{printed:.1f}%"), count) == brute


def test_smallest_count() -> None:
    assert smallest_count([quantity("50.0%")]) == 2
    assert smallest_count([quantity("33.3%"), quantity("50.0%")]) == 6
    assert smallest_count([]) == 1


def test_newcombe() -> None:
    """Symmetric for equal rates, close to the normal interval for many trials, and defined for impossible rates."""
    low, high = newcombe(0.5, 0.5, 1000)
    assert low == pytest.approx(-high)
    assert high == pytest.approx(1.96 * (2 * 0.25 / 1000) ** 0.5, rel=0.01)
    assert newcombe(0.853, 0.72, 50)[0] < 0 < newcombe(0.296, 0.085, 50)[0], "rates need not be possible"


def test_variance_of_chain_lengths() -> None:
    lengths = np.array([0, 1, 1, 2, 5, 5, 5, 3])
    survival = [float((lengths >= k).mean()) for k in range(1, 6)]
    assert length_variance(survival) == pytest.approx(lengths.var())


@given(st.integers(1, 8))
def test_weights_sum_to_one(count: int) -> None:
    for weights in weightings(count).values():
        assert abs(sum(weights) - 1) < Decimal("1e-20")
