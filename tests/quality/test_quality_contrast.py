"""Contrast and unevenness of tissues with known mean, spread and field."""

import numpy as np
import pytest

from konsil.quality.atlas import Placement
from konsil.quality.contrast import Tissue, cjv, cnr, describe, sample, shares_at
from konsil.quality.inhomogeneity import LEAST, fit_field, inu_range

RNG = np.random.default_rng(9)
POINTS = RNG.uniform(-60, 60, (20_000, 3))


def test_two_tissues_of_known_mean_and_spread() -> None:
    white, grey = (describe(RNG.normal(mean, 10.0, 50_000)) for mean in (500, 400))
    assert white is not None
    assert grey is not None
    assert white.middle == pytest.approx(500, abs=0.3)
    assert white.sd == pytest.approx(10, rel=0.02)
    assert cnr(white, grey, noise=5.0) == pytest.approx(100 / np.sqrt(25 + 100 + 100), rel=0.02)
    assert cjv(white, grey) == pytest.approx(20 / 100, rel=0.02)


def test_lesions_have_little_weight() -> None:
    values = RNG.normal(500, 10.0, 50_000)
    values[:2500] = 900.0
    found = describe(values)
    assert found is not None
    assert found.middle == pytest.approx(500, abs=2)
    assert found.sd == pytest.approx(10, rel=0.1)


def test_contrast_does_not_ask_which_tissue_is_brighter() -> None:
    bright, dark = Tissue(300.0, 10.0), Tissue(200.0, 15.0)
    assert cnr(bright, dark, 4.0) == cnr(dark, bright, 4.0)
    assert cjv(bright, dark) == cjv(dark, bright) == 0.25


def test_equal_or_empty_tissues_have_no_contrast_to_speak_of() -> None:
    assert cjv(Tissue(300.0, 10.0), Tissue(300.0, 10.0)) is None
    assert cnr(Tissue(300.0, 0.0), Tissue(200.0, 0.0), 0.0) is None
    assert describe(np.ones(10)) is None


def test_a_sample_is_spread_over_the_mask_and_always_the_same() -> None:
    mask = np.zeros((60, 60, 60), bool)
    mask[5:55, 5:55, 5:55] = True
    index = sample(mask)
    assert len(index) <= 60_000
    assert mask[tuple(index.T)].all()
    assert index.min() == 5
    assert index.max() == 54
    np.testing.assert_array_equal(index, sample(mask))


def test_the_atlas_expects_white_matter_deep_and_nothing_far_outside() -> None:
    here = Placement(np.eye(4), 1.0)
    grey, white = shares_at(np.array([[26.0, -20.0, 28.0], [0.0, 0.0, 500.0]]), here)
    assert white[0] > 0.8
    assert grey[1] == white[1] == 0


@pytest.mark.parametrize("slope", [0.0, 0.15, 0.4])
def test_a_planted_slope_gives_its_range(slope: float) -> None:
    """x runs from -60 to 60; its 5th to 95th percentile is nine tenths of that."""
    factor = 1 + slope * POINTS[:, 0] / 60
    values = 300 * factor * RNG.normal(1, 0.05, len(factor))
    field = fit_field(values, POINTS)
    assert field is not None
    assert inu_range(field.at(POINTS)) == pytest.approx(2 * 0.9 * slope, abs=0.01)


def test_a_planted_parabola_is_found_in_spite_of_lesions() -> None:
    x, y, z = (POINTS / 60).T
    factor = 1 + 0.2 * x * y - 0.15 * z**2 + 0.1 * y
    values = 300 * factor * RNG.normal(1, 0.05, len(factor))
    values[:1000] *= 1.8
    field = fit_field(values, POINTS)
    assert field is not None
    np.testing.assert_allclose(field.at(POINTS), factor / np.median(factor), atol=0.02)


def test_the_field_is_not_believed_far_away_and_needs_white_matter() -> None:
    field = fit_field(300 * (1 + 0.4 * POINTS[:, 0] / 60), POINTS)
    assert field is not None
    assert field.at(np.array([[-600.0, 0.0, 0.0]]))[0] == LEAST
    assert fit_field(np.ones(20), POINTS[:20]) is None
    assert fit_field(np.zeros(len(POINTS)), POINTS) is None
    assert fit_field(np.ones(len(POINTS)), POINTS * [1, 1, 0]) is None
