"""The slopes that the search follows are those of the values it compares."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from konsil.cohort.volume import Volume
from konsil.registration.information import information
from konsil.registration.interpolation import read
from konsil.registration.motion import Criterion, climb, inverse_of, movement_of, rotation_of
from konsil.registration.patches import patches, slab_of

CENTRE = np.array([12.0, 12.0, 12.0])


def blobs() -> Volume:
    noise = np.random.default_rng(4).standard_normal((24, 24, 24))
    return Volume((100 * ndimage.gaussian_filter(noise, 2.5) + 20).astype(np.float32), np.eye(4))


def cells() -> Volume:
    inside = np.zeros((6, 6, 6), np.bool_)
    inside[2:4, 2:4, 2:4] = True
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = 1.5
    return Volume(inside, affine)


CRITERIA: list[Callable[[Volume, Volume], Criterion]] = [
    lambda fixed, moving: information(fixed, moving, cells(), cells(), per_cell=200),
    lambda fixed, moving: patches(fixed, moving, cells(), 8, 1.3),
]


@pytest.mark.parametrize("make", CRITERIA)
def test_a_slope_predicts_the_next_value(make: Callable[[Volume, Volume], Criterion]) -> None:
    fixed = blobs()
    criterion = make(fixed, Volume(-fixed.data, fixed.affine))
    six, step = np.array([3.0, -2.0, 1.0, 0.4, -0.3, 0.5]), 1e-3
    _, slopes = criterion.evaluate(movement_of(six, CENTRE))
    for axis in range(3):
        ahead = movement_of(six + np.eye(6)[3 + axis] * step, CENTRE)
        behind = movement_of(six - np.eye(6)[3 + axis] * step, CENTRE)
        measured = (criterion.evaluate(ahead)[0] - criterion.evaluate(behind)[0]) / (2 * step)
        assert slopes[axis].sum() == pytest.approx(measured, abs=0.02 * np.abs(slopes.sum(axis=1)).max() + 1e-4)


@pytest.mark.parametrize("make", CRITERIA)
def test_a_climb_finds_the_way_back_although_the_contrast_is_turned_over(
    make: Callable[[Volume, Volume], Criterion],
) -> None:
    fixed = blobs()
    away = movement_of(np.array([2.0, -1.5, 1.0, 0.8, -0.5, 0.6]), CENTRE)
    moving = Volume(200 - fixed.data, away @ fixed.affine)
    found, _ = climb(make(fixed, moving), np.eye(4), CENTRE)
    np.testing.assert_allclose(found[:3, :3] @ CENTRE + found[:3, 3], away[:3, :3] @ CENTRE + away[:3, 3], atol=0.05)


def test_reading_between_voxels_is_linear_and_knows_where_the_image_ends() -> None:
    i, j, k = np.indices((3, 4, 5), dtype=np.float32)
    reading = read(
        np.ascontiguousarray(i + 10 * j + 100 * k), np.array([[0.5, 2.0, -0.1], [1.25, 3.0, 1], [2.5, 4, 1]])
    )
    np.testing.assert_allclose(reading.values[:2], [0.5 + 12.5 + 250, 2 + 30 + 400], rtol=1e-6)
    np.testing.assert_allclose(reading.slopes[:, 0], [1, 10, 100], rtol=1e-5)
    assert reading.inside.tolist() == [True, True, False]


def test_a_coil_that_darkens_one_side_does_not_pull_patches() -> None:
    fixed = blobs()
    ramp = np.linspace(0.9, 1.1, 24, dtype=np.float32).reshape(-1, 1, 1)
    moving = Volume((40 - fixed.data) * ramp, fixed.affine)
    found, _ = climb(patches(fixed, moving, cells(), 8, 1.3), np.eye(4), CENTRE)
    assert np.linalg.norm(found[:3, :3] @ CENTRE + found[:3, 3] - CENTRE) < 0.25


def test_a_thick_slice_is_read_over_its_thickness() -> None:
    fixed = Volume(np.zeros((4, 4, 4), np.float32), np.diag([1.0, 1.0, 4.0, 1.0]))
    offsets = np.array(slab_of(fixed, np.array([False, False, True])))
    assert offsets.shape == (4, 3)
    np.testing.assert_allclose(offsets[:, 2], [-1.5, -0.5, 0.5, 1.5])


def test_a_movement_back_undoes_the_movement() -> None:
    M = movement_of(np.array([20.0, -10.0, 5.0, 3.0, 2.0, 1.0]), CENTRE)
    np.testing.assert_allclose(inverse_of(M) @ M, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(rotation_of(np.array([0, 0, np.pi / 2])) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
