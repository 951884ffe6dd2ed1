"""Counting lesions: what touches belongs together, and volumes are in millilitres."""

from __future__ import annotations

import numpy as np
import pytest

from konsil.evaluation.lesions import describe, volumes_ml


def test_voxels_that_touch_by_a_corner_are_one_lesion():
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    mask[3, 3, 3] = True
    assert volumes_ml(mask, voxel_mm3=8.0) == [pytest.approx(0.016), pytest.approx(0.008)]


def test_no_lesion_has_no_largest():
    empty = np.zeros((3, 3, 3), dtype=np.uint8)
    assert describe(empty, {"background": 0, "lesion": 1}, 1.0) == {
        "lesion": {"count": 0, "total_ml": 0, "largest_ml": None}
    }


def test_lesions_of_different_labels_do_not_merge():
    mask = np.array([[[1, 2, 0, 2]]], dtype=np.uint8)
    table = describe(mask, {"background": 0, "a": 1, "b": 2}, 1000.0)
    assert table["a"] == {"count": 1, "total_ml": 1.0, "largest_ml": 1.0}
    assert table["b"] == {"count": 2, "total_ml": 2.0, "largest_ml": 1.0}
