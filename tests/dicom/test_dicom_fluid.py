"""Whether water is dark or bright is seen whatever the orientation, and left open where there is nothing to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from konsil.dicom.fluid import fluid_in, tails
from konsil.dicom.geometry import Grid

if TYPE_CHECKING:
    from konsil.phantom.patient import Patient

SIZE, SPACING_MM = 48, 4.0


def head(water: float) -> np.ndarray:
    """A ball of tissue of 85 mm radius with a chamber of water 20 mm wide, 60 mm below its top, in air; RAS axes."""
    x, y, z = (np.indices((SIZE, SIZE, SIZE)) - (SIZE - 1) / 2) * SPACING_MM
    tissue = np.sqrt(x**2 + y**2 + z**2) < 85
    chamber = np.sqrt(x**2 + y**2 + (z - 25) ** 2) < 20
    return np.where(tissue, np.where(chamber, 100 * water, 100.0), 2.0)


def grid(directions: tuple[int, int, int] = (1, 1, 1)) -> Grid:
    return Grid((SIZE, SIZE, SIZE), np.diag([*(SPACING_MM * one for one in directions), 1.0]))


@pytest.mark.parametrize(("water", "answer"), [(0.3, "dark"), (3.0, "bright"), (1.0, "unclear"), (0.8, "unclear")])
def test_water_is_told_by_its_signal(water: float, answer: str) -> None:
    assert fluid_in(head(water), grid()) == answer


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("upside_down", [False, True])
def test_the_orientation_of_the_slices_does_not_matter(axes: tuple[int, int, int], upside_down: bool) -> None:
    turned = np.transpose(head(3.0), axes)
    affine = np.eye(4)
    affine[:3, :3] = SPACING_MM * np.eye(3)[list(axes)].T
    up = axes.index(2)
    if upside_down:
        turned, affine[:3, up] = np.flip(turned, up), -affine[:3, up]
    assert fluid_in(turned, Grid(turned.shape, affine)) == "bright"
    assert tails(turned, Grid(turned.shape, affine)) == tails(head(3.0), grid())


@pytest.mark.parametrize("nothing", [np.zeros((SIZE,) * 3), np.full((SIZE,) * 3, 7.0), head(3.0)[:, :, :6]])
def test_without_a_head_nothing_is_told(nothing: np.ndarray) -> None:
    assert fluid_in(nothing, Grid(nothing.shape, grid().affine)) == "unclear"


def test_in_a_patient_water_is_not_bright(phantom: Patient) -> None:
    for volume in (phantom.t1w, phantom.flair):
        assert fluid_in(volume.array, Grid(volume.array.shape, volume.affine)) != "bright"
