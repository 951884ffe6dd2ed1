"""The drawn lesions: count, volume, place."""

import numpy as np
import pytest

from konsil.cohort.volume import Volume
from konsil.quality.lesions import count_lesions, grid_offset_mm, lesion_ml, outside_percent


def test_lesions_that_touch_by_a_corner_are_one() -> None:
    drawn = np.zeros((6, 6, 6), bool)
    drawn[1, 1, 1] = drawn[2, 2, 2] = drawn[5, 5, 5] = True
    assert count_lesions(drawn, voxel_ml=1.0) == 2
    assert lesion_ml(drawn, voxel_ml=1.0) == 3


def test_specks_below_3_cubic_millimetres_are_no_lesions() -> None:
    drawn = np.zeros((9, 9, 9), bool)
    drawn[0, 0, :2] = True
    drawn[5, 5, 5:8] = True
    assert count_lesions(drawn, voxel_ml=0.001) == 1


def test_lesions_outside_the_brain_are_a_share() -> None:
    brain = np.zeros((8, 8, 8), bool)
    brain[:4] = True
    drawn = np.zeros_like(brain)
    drawn[3:5, 0, :4] = True
    assert outside_percent(drawn, brain) == 50
    assert outside_percent(~brain & False, brain) is None


@pytest.mark.parametrize(
    ("shape", "spacing", "offset"),
    [((10, 10, 10), 1.0, 0.0), ((10, 10, 12), 1.0, 2.0), ((10, 10, 10), 1.1, 0.9 * np.sqrt(3)), ((19, 19, 19), 0.5, 0)],
)
def test_grids_are_compared_by_their_corners(shape: tuple[int, int, int], spacing: float, offset: float) -> None:
    image = Volume(np.zeros((10, 10, 10)), np.eye(4))
    drawn = Volume(np.zeros(shape), np.diag([spacing] * 3 + [1]))
    assert grid_offset_mm(drawn, image) == pytest.approx(offset)
