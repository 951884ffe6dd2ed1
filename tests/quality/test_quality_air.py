"""Measures of the air on noise whose distribution is known, and on what was laid over it."""

import numpy as np
import pytest

from konsil.quality.air import (
    air_structure,
    chi_from_quartiles,
    corrupted_air,
    fber,
    has_air,
    qi_1,
    qi_2,
    tail_distance,
)

SHAPE = (50, 52, 54)
EVERYWHERE = np.ones(SHAPE, bool)
NOWHERE = ~EVERYWHERE


def magnitude(coils: int, sd: float, seed: int = 5) -> np.ndarray:
    """Noise of a magnitude image: root of the summed squares of 2 normal numbers per coil."""
    parts = np.random.default_rng(seed).normal(0, sd, (2 * coils, *SHAPE))
    return np.sqrt((parts**2).sum(axis=0))


@pytest.mark.parametrize("coils", [1, 4, 32])
def test_noise_of_any_number_of_coils_is_told_as_noise(coils: int) -> None:
    noise = magnitude(coils, 5.0)
    assert qi_2(noise, EVERYWHERE, NOWHERE) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("sd", "tolerance"), [(1.5, 0.03), (5.0, 0.015), (40.0, 0.01)])
def test_rounding_to_whole_numbers_is_no_artifact(sd: float, tolerance: float) -> None:
    """At 1.5 the whole air has seven values, and a quartile between two of them is a guess."""
    stored = np.rint(magnitude(1, sd)).astype(np.int16)
    assert qi_2(stored, EVERYWHERE, NOWHERE) == pytest.approx(0, abs=tolerance)


def test_a_tenth_of_the_air_moved_out_of_the_tail_is_counted_exactly() -> None:
    """Rayleigh noise beyond x holds exp(-x^2 / 2); a tenth of all voxels moved to the last bin leaves 0.9 of that."""
    edges = np.linspace(0, 8, 401)
    share = -np.diff(np.exp(-(edges**2) / 2))
    moved = 0.9 * share
    moved[-1] += 0.1
    assert tail_distance(share, edges, 100, 2.0, 1.0) == pytest.approx(0, abs=1e-9)
    assert tail_distance(moved, edges, 100, 2.0, 1.0) == pytest.approx((0.1 + 0.1 * np.exp(-2)) / 2, rel=1e-3)


def test_bright_air_raises_the_distance_by_about_its_share() -> None:
    distances = []
    for every in (100, 30, 10):
        spoilt = magnitude(1, 5.0)
        spoilt.ravel()[::every] = 40.0
        distance = qi_2(spoilt, EVERYWHERE, NOWHERE)
        assert distance is not None
        assert 0.5 / every < distance < 1 / every
        distances.append(distance)
    assert distances == sorted(distances)


def test_the_chi_distribution_is_known_by_its_quartiles() -> None:
    low, middle = np.quantile(magnitude(3, 7.0), [0.25, 0.5])
    freedom, scale = chi_from_quartiles(low, middle)
    assert freedom == pytest.approx(6, rel=0.05)
    assert scale == pytest.approx(7, rel=0.03)


def test_a_bright_block_is_corrupted_air_and_a_bright_voxel_is_not() -> None:
    noise = magnitude(1, 5.0)
    noise[10:20, 10:20, 10:20] = 300
    noise[40, 40, 40] = 300
    corrupted = corrupted_air(noise, EVERYWHERE)
    assert not corrupted[40, 40, 40]
    # Opening by a cross takes the edges and corners of a block away: 10 x 10 x 10 less its 12 edges.
    assert int(corrupted.sum()) == 1000 - 12 * 8 - 8
    assert qi_1(EVERYWHERE, corrupted) == pytest.approx(896 / EVERYWHERE.size)


def test_clean_noise_holds_nothing() -> None:
    noise = magnitude(1, 5.0)
    assert qi_1(EVERYWHERE, corrupted_air(noise, EVERYWHERE)) == 0


def test_energy_ratio_of_known_amplitudes() -> None:
    brain = np.zeros(SHAPE, bool)
    brain[:20] = True
    image = np.where(brain, 100.0, magnitude(1, 5.0))
    # The mean square of Rayleigh noise is 2 sd^2.
    assert fber(image, brain, ~brain) == pytest.approx(100**2 / (2 * 5.0**2), rel=0.02)
    assert fber(np.where(brain, 100.0, 0.0), brain, ~brain) is None


def test_masked_air_is_no_air() -> None:
    noise = magnitude(1, 5.0)
    assert has_air(noise, EVERYWHERE)
    noise[:12] = 0
    assert not has_air(noise, EVERYWHERE)
    assert air_structure(noise, EVERYWHERE) is None
    assert not has_air(noise, NOWHERE)
