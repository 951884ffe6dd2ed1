import numpy as np
import pytest

from konsil.cohort.binning import binned, every_nth
from konsil.cohort.volume import Volume


def test_blocks_are_averaged_and_stay_where_they_are() -> None:
    data = np.arange(64, dtype=np.int16).reshape(4, 4, 4)
    small = binned(Volume(data, np.eye(4)), 2.0)
    assert small.data.shape == (2, 2, 2)
    assert small.data[0, 0, 0] == data[:2, :2, :2].mean()
    np.testing.assert_allclose(small.affine @ [0, 0, 0, 1], [0.5, 0.5, 0.5, 1])
    np.testing.assert_allclose(small.spacing_mm, 2)


def test_thick_slices_are_left_alone() -> None:
    small = binned(Volume(np.zeros((8, 8, 3), np.float32), np.diag([0.5, 0.5, 4.0, 1.0])), 2.0)
    assert small.data.shape == (2, 2, 3)
    np.testing.assert_allclose(small.spacing_mm, [2, 2, 4])


@pytest.mark.parametrize("shape", [(5, 4, 4), (3, 3, 3), (2, 2, 2)])
def test_what_does_not_fill_a_block_is_left_out_and_something_always_remains(shape: tuple[int, int, int]) -> None:
    small = binned(Volume(np.ones(shape, np.float32), np.eye(4)), 4.0)
    assert min(small.data.shape) >= 1
    assert (small.data == 1).all()


def test_voxels_that_are_picked_out_stay_where_they_are() -> None:
    image = Volume(np.arange(120).reshape(4, 5, 6), np.diag([1.0, 2.0, 0.5, 1.0]))
    thin = every_nth(image, np.array([2, 1, 4]))
    assert thin.data.tolist() == image.data[::2, :, ::4].tolist()
    np.testing.assert_allclose(thin.affine @ [1, 3, 1, 1], image.affine @ [2, 3, 4, 1])
