"""The sketch of quantiles: accurate within half a percent, and the same however the data were divided."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from konsil.errors import BadMessage
from konsil.learners.nnunet.sketch import ALPHA, merge, quantile, sketch


@pytest.mark.parametrize("q", [0.005, 0.5, 0.995])
def test_quantiles_are_within_the_relative_error(q: float):
    values = np.random.default_rng(0).gamma(2.0, 300.0, size=20_000)
    exact = np.quantile(values, q, method="lower")
    assert quantile(sketch(values), q) == pytest.approx(exact, rel=1.01 * ALPHA)


def test_values_below_zero_and_zero_itself_keep_their_order():
    one = sketch(np.array([-5.0, -1.0, 0.0, 0.0, 2.0]))
    assert [quantile(one, q) for q in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx([-5, -1, 0, 0, 2], rel=ALPHA)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=40), st.integers(1, 39))
def test_merged_sketches_equal_the_sketch_of_the_pooled_data(values: list[float], cut: int):
    parts = [sketch(np.array(part)) for part in (values[:cut], values[cut:])]
    pooled = merge([sketch(np.array(values))])
    assert merge(parts) == pooled
    assert merge(reversed(parts)) == pooled


def test_an_average_of_percentiles_would_be_wrong_where_the_sketch_is_right():
    low, high = np.full(1000, 100.0), np.full(1000, 1000.0)
    together = merge([sketch(low), sketch(high)])
    assert quantile(together, 0.995) == pytest.approx(1000, rel=ALPHA)  # an average of percentiles says 550


def test_a_broken_or_empty_sketch_is_refused():
    with pytest.raises(BadMessage, match="not readable"):
        merge([{"positive": {}}])
    with pytest.raises(BadMessage, match="empty"):
        quantile(merge([]), 0.5)
