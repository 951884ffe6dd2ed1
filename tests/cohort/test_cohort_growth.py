"""Growing masks by millimetres, against distance maps; and boxes around them."""

import numpy as np
import pytest
from scipy import ndimage

from konsil.cohort.box import box_of, carried, part
from konsil.cohort.growth import grown
from konsil.cohort.volume import Volume


def test_a_margin_is_measured_in_millimetres() -> None:
    data = np.zeros((15, 15, 15), bool)
    data[7, 7, 7] = True
    around = grown(data, np.array([1.0, 2.0, 1.0]), 3.0)
    assert around[10, 7, 7]
    assert not around[11, 7, 7]
    assert around[7, 8, 7]
    assert not around[7, 9, 7]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 1.3, 4.0), (2.0, 0.7, 2.0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_grown_mask_is_what_a_distance_map_says(spacing: tuple[float, ...], order: str) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(31, 29, 33)), 2)
    mask = np.asarray(noise > 0.09, order=order)  # touches the edges of the array
    within = ndimage.distance_transform_edt(~mask, sampling=spacing) <= 3.0
    np.testing.assert_array_equal(grown(mask, np.array(spacing), 3.0), within)


def test_nothing_grows_out_of_nothing() -> None:
    assert not grown(np.zeros((4, 4, 4), bool), np.ones(3), 3.0).any()


def test_a_box_holds_its_mask_and_knows_its_place() -> None:
    mask = np.zeros((9, 8, 7), bool)
    mask[2:4, 3, 1:6] = True
    box = box_of(mask)
    assert box == (slice(2, 4), slice(3, 4), slice(1, 6))
    affine = np.array([[0.0, -2, 0, 5], [1, 0, 0, -7], [0, 0, 3, 3], [0, 0, 0, 1]])
    cut = part(Volume(mask, affine), box)
    assert cut.data.all()
    np.testing.assert_allclose(cut.affine @ [1, 0, 2, 1], affine @ [3, 3, 3, 1])


def test_a_box_is_carried_to_a_finer_grid_with_its_voxels_whole() -> None:
    finer = np.diag([2.0, 2.0, 2.0, 1.0])
    finer[:3, 3] = 0.5
    assert carried((slice(1, 3),) * 3, finer, (20, 20, 20)) == (slice(1, 7),) * 3
    assert carried((slice(1, 3),) * 3, finer, (4, 20, 20), margin=2.0)[:2] == (slice(0, 4), slice(0, 9))
    outside = np.eye(4)
    outside[:3, 3] = 100
    assert carried((slice(1, 3),) * 3, outside, (20, 20, 20)) == (slice(18, 20),) * 3
