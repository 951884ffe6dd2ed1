"""Every measure on arrays whose answer is known."""

import numpy as np
import pytest

from konsil.cohort.volume import Volume
from konsil.quality.air import air_structure
from konsil.quality.atlas import Placement
from konsil.quality.coverage import beyond_faces_mm, cropped_percent, volume_similarity, voxel_deviation_mm
from konsil.quality.image_measures import measure_image
from konsil.quality.limits import measure_kinds
from konsil.quality.noise import noise_sd, signal_to_noise
from konsil.quality.regions import otsu
from konsil.quality.sharpness import efc
from konsil.quality.spikes import spike_score

SHAPE = (40, 44, 48)
RNG = np.random.default_rng(11)
NOISE = RNG.normal(0, 5, SHAPE)
EVERYWHERE = np.ones(SHAPE, bool)


def test_noise_is_found_under_a_smooth_signal() -> None:
    ramp = np.add.outer(np.add.outer(np.arange(40), np.arange(44)), np.arange(48)) * 3.0
    assert noise_sd(ramp + NOISE, EVERYWHERE) == pytest.approx(5, rel=0.05)


def test_noise_does_not_see_a_constant_and_needs_enough_voxels() -> None:
    assert noise_sd(np.full(SHAPE, 7.0), EVERYWHERE) == 0
    few = np.zeros(SHAPE, bool)
    few[:4, :4, :4] = True
    assert noise_sd(NOISE, few) is None


def test_noise_works_on_odd_shapes() -> None:
    odd = (slice(0, 39), slice(0, 43), slice(0, 47))
    assert noise_sd(NOISE[odd], EVERYWHERE[odd]) == pytest.approx(5, rel=0.05)


def test_signal_to_noise_is_signal_over_noise() -> None:
    assert signal_to_noise(np.full(SHAPE, 100.0), EVERYWHERE, 5.0) == 20


def test_without_noise_or_region_there_is_no_ratio() -> None:
    image = np.full(SHAPE, 100.0)
    assert signal_to_noise(image, EVERYWHERE, 0.0) is None
    assert signal_to_noise(image, EVERYWHERE, None) is None
    assert signal_to_noise(image, ~EVERYWHERE, 5.0) is None


def test_entropy_is_0_in_one_voxel_and_1_when_spread_evenly() -> None:
    point = np.zeros(SHAPE)
    point[3, 3, 3] = 9
    assert efc(point) == pytest.approx(0)
    assert efc(np.full(SHAPE, 9.0)) == pytest.approx(1)


def test_entropy_grows_with_a_ghost_and_not_with_brightness() -> None:
    head = np.zeros(SHAPE)
    head[10:20, 10:20, 10:30] = 100
    ghost = head + 0.2 * np.roll(head, 22, axis=1)
    assert efc(ghost) > efc(head)
    assert efc(7 * head) == pytest.approx(efc(head))


def test_a_spike_of_n_times_the_level_scores_about_ln_n() -> None:
    k = np.fft.fftn(NOISE)
    level = np.median(np.abs(k))
    k[15, 16, 17] = 500 * level
    k[-15, -16, -17] = 500 * level
    spiked = np.fft.ifftn(k).real
    assert spike_score(NOISE) < 3.5
    # The mean of ln over the neighbourhood contains the spike itself once in 125.
    assert spike_score(spiked) == pytest.approx(np.log(500) * 124 / 125, abs=0.5)


def test_noise_in_the_air_scores_1_and_a_pattern_up_to_the_root_of_27() -> None:
    assert air_structure(np.abs(NOISE), EVERYWHERE) == pytest.approx(1, abs=0.1)
    waves = 50 + 50 * np.sin(np.arange(40) / 6)[:, None, None] * np.ones(SHAPE)
    assert air_structure(waves + NOISE, EVERYWHERE) == pytest.approx(np.sqrt(27), rel=0.1)


def test_masked_air_has_no_structure_to_measure() -> None:
    masked = np.abs(NOISE)
    masked[:12] = 0
    assert air_structure(masked, EVERYWHERE) is None
    assert air_structure(NOISE, ~EVERYWHERE) is None


def test_points_outside_the_picture_are_as_far_as_they_are() -> None:
    affine = np.diag([2.0, 2, 3, 1])
    points = np.array([[0, 0, 0], [-1, 0, 0], [-3, 0, 0], [18, 18, 27], [0, 0, 35.5]])
    np.testing.assert_allclose(beyond_faces_mm(points, affine, (10, 10, 10)).max(axis=1), [0, 0, 2, 0, 7])


def test_cropping_is_a_share_beyond_the_tolerance() -> None:
    assert cropped_percent(np.array([[0, 0], [0, 0], [1.5, 0], [0, 3.0]]), 2.0) == 25


def test_voxel_size_counts_its_worst_direction() -> None:
    assert voxel_deviation_mm(np.array([0.9, 1.0, 3.0]), 1.0) == 2.0


@pytest.mark.parametrize(("a", "b", "similarity"), [(1000, 1000, 1), (1000, 0, 0), (300, 100, 0.5), (0, 0, None)])
def test_volume_similarity(a: float, b: float, similarity: float | None) -> None:
    assert volume_similarity(a, b) == similarity


def test_otsu_splits_two_heaps_between_them() -> None:
    values = np.concatenate([RNG.normal(10, 2, 500), RNG.normal(50, 5, 2000)])
    assert 15 < otsu(values) < 38


def test_otsu_knows_one_heap_when_it_sees_one() -> None:
    assert otsu(np.full(100, 7)) == 7


def test_an_even_brain_without_air_leaves_most_measures_open_with_a_note() -> None:
    image = Volume(np.pad(np.full((20, 20, 20), 100, np.int16), 4), np.diag([4.0, 4, 4, 1]))
    found = measure_image(image, image.data > 0, Placement(np.eye(4), 1.0), 4.0, "FLAIR")
    assert {f"flair_{name}" for name in found} | {"flair_artifact_probability"} == {
        key for key in measure_kinds() if key.startswith("flair_")
    }
    open_ones = {name for name, measured in found.items() if measured.value is None}
    assert {"snr_parenchyma", "cnr", "cjv", "fwhm_avg", "qi_1", "gsr_y", "streak_z", "fber"} <= open_ones
    assert all(found[name].note for name in open_ones)
    assert found["brain_ml"].value == pytest.approx(8000 * 0.064)
