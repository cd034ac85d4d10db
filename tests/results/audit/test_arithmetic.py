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


@pytest.mark.parametrize(
    ("one", "other", "count"), [(0.85, 0.72, 50), (0.3, 0.08, 50), (0.0, 1.0, 20), (0.5, 0.5, 1000)]
)
def test_newcombe_is_that_of_statsmodels(one: float, other: float, count: int) -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep

    expected = confint_proportions_2indep(one * count, count, other * count, count, method="newcomb")
    assert newcombe(one, other, count) == pytest.approx(expected, abs=1e-9)


def test_variance_of_chain_lengths() -> None:
    lengths = np.array([0, 1, 1, 2, 5, 5, 5, 3])
    survival = [float((lengths >= k).mean()) for k in range(1, 6)]
    assert length_variance(survival) == pytest.approx(lengths.var())


@given(st.integers(1, 8))
def test_weights_sum_to_one(count: int) -> None:
    for weights in weightings(count).values():
        assert abs(sum(weights) - 1) < Decimal("1e-20")
