"""Entropies and smoothness of images whose answer can be worked out."""

import numpy as np
import pytest
from scipy import ndimage

from konsil.quality.sharpness import FWHM_OVER_SIGMA, fwhm, gradient_entropy

SHAPE = (60, 64, 56)
EVERYWHERE = np.ones(SHAPE, bool)
NOISE = np.random.default_rng(4).normal(0, 5, SHAPE)


@pytest.mark.parametrize("width", [2.5, 4.0])
def test_smoothed_noise_has_the_width_it_was_smoothed_with(width: float) -> None:
    smooth = ndimage.gaussian_filter(NOISE, width / FWHM_OVER_SIGMA, mode="wrap")
    found = fwhm(smooth, EVERYWHERE)
    assert found is not None
    np.testing.assert_allclose(found, width, rtol=0.05)


def test_each_axis_has_its_own_width() -> None:
    smooth = ndimage.gaussian_filter(NOISE, np.array([2.0, 3.0, 4.0]) / FWHM_OVER_SIGMA, mode="wrap")
    assert fwhm(smooth, EVERYWHERE) == pytest.approx((2.0, 3.0, 4.0), rel=0.06)


def test_the_width_looks_only_inside_the_mask() -> None:
    smooth = ndimage.gaussian_filter(NOISE, 3.0 / FWHM_OVER_SIGMA, mode="wrap")
    mask = np.zeros(SHAPE, bool)
    mask[10:50, 10:50, 10:50] = True
    spoilt = np.where(mask, smooth, 1000 * NOISE)
    assert fwhm(spoilt, mask) == pytest.approx((3.0, 3.0, 3.0), rel=0.08)


def test_an_even_image_and_a_chequered_one_have_no_width() -> None:
    assert fwhm(np.ones(SHAPE), EVERYWHERE) is None
    chequered = np.indices(SHAPE).sum(axis=0) % 2
    assert fwhm(chequered, EVERYWHERE) is None
    assert fwhm(NOISE, ~EVERYWHERE) is None


def test_edges_everywhere_have_entropy_1() -> None:
    ramp = np.arange(SHAPE[0])[:, None, None] * np.ones(SHAPE)
    assert gradient_entropy(ramp, EVERYWHERE) == pytest.approx(1)


def test_one_edge_has_the_entropy_of_its_voxels() -> None:
    """A step along x: central differences see it in two planes, evenly, so H = ln(2 planes) / ln(all voxels)."""
    step = np.zeros(SHAPE)
    step[30:] = 7.0
    plane = SHAPE[1] * SHAPE[2]
    assert gradient_entropy(step, EVERYWHERE) == pytest.approx(np.log(2 * plane) / np.log(step.size))
    assert gradient_entropy(np.zeros(SHAPE), EVERYWHERE) is None


def test_a_moved_head_has_more_and_weaker_edges() -> None:
    head = np.zeros(SHAPE)
    head[20:40, 20:40, 20:40] = 100.0
    moved = (head + np.roll(head, 3, axis=1) + np.roll(head, 6, axis=1)) / 3
    assert gradient_entropy(moved, EVERYWHERE) > gradient_entropy(head, EVERYWHERE)
