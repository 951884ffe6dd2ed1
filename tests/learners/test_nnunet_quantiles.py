"""Quantiles of divided data: within a tenth of a per cent in rank, whatever the values, and in any order of sites."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from konsil.learners.nnunet.quantiles import POINTS, STEPS, quantile, summary

ONE = 1.0


@pytest.mark.parametrize("q", [0.005, 0.5, 0.995])
def test_quantiles_of_one_site_are_within_half_a_percent_of_the_value(q: float):
    values = np.random.default_rng(0).gamma(2.0, 300.0, size=20_000)
    exact = np.quantile(values, q, method="lower")
    assert quantile([(ONE, summary(values))], q) == pytest.approx(exact, rel=0.005)


def test_values_below_zero_and_zero_itself_keep_their_order():
    one = [(ONE, summary(np.array([-5.0, -1.0, 0.0, 0.0, 2.0])))]
    assert [quantile(one, q) for q in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx([-5, -1, 0, 0, 2])


def rank_error(values: np.ndarray, found: float, q: float) -> float:
    """How far `q` lies from the ranks that `found` has among the values (many, where a value occurs often)."""
    ordered = np.sort(values)
    low, high = (np.searchsorted(ordered, found, side=side) / len(ordered) for side in ("left", "right"))
    return max(low - q, q - high, 0.0)


SITES = st.lists(
    st.tuples(
        st.integers(0, 2**31), st.floats(-1e4, 1e4), st.sampled_from([1e-3, 1.0, 1e3]), st.integers(1, 6), st.booleans()
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(SITES, st.sampled_from([0.005, 0.25, 0.5, 0.9, 0.995]))
def test_merged_quantiles_are_within_half_a_percent_in_rank(sites, q: float):
    """Narrow and wide, continuous and whole numbers, apart and on top of each other, 1 to 6 cases at a site."""
    drawn = []
    for seed, middle, width, cases, whole in sites:
        values = np.random.default_rng(seed).normal(middle, width, size=2000 * cases)
        drawn.append(np.rint(values) if whole else values)
    parts = [(float(len(values)), summary(values)) for values in drawn]
    found = quantile(parts, q)
    assert rank_error(np.concatenate(drawn), found, q) <= 2 / STEPS
    assert quantile(parts[::-1], q) == found


def test_an_average_of_percentiles_would_be_wrong_where_the_mixture_is_right():
    low, high = np.full(1000, 100.0), np.full(1000, 1000.0)
    together = [(1000.0, summary(low)), (1000.0, summary(high))]
    assert quantile(together, 0.995) == pytest.approx(1000)  # an average of percentiles says 550


def test_a_summary_is_as_long_for_any_number_of_values():
    assert [len(summary(np.arange(float(n)))) for n in (1, 2, 5000)] == [POINTS] * 3
