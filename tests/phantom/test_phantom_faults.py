"""Each fault of images does what its sentence says, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from konsil.errors import BadInput
from konsil.phantom.faults import ghost, parse_faults, spoil
from konsil.phantom.patient import Patient
from konsil.phantom.volume import Volume


def spoiled(phantom: Patient, fault: str) -> Patient:
    return spoil(np.random.default_rng(1), phantom, fault)


def air_level(phantom: Patient, volume: Volume) -> float:
    """What one voxel in a hundred exceeds well outside the head: noise in a clean image."""
    far = ndi.distance_transform_edt(~phantom.brain_t1w, sampling=volume.spacing_mm) > 30
    far[:, :, : far.shape[2] // 2] = False
    return float(np.percentile(volume.array[far], 99))


@pytest.mark.parametrize("fault", ["motion", "ghosting"])
def test_artifacts_reach_into_the_air(phantom: Patient, fault: str) -> None:
    assert air_level(phantom, spoiled(phantom, fault).t1w) > 1.5 * air_level(phantom, phantom.t1w)


@pytest.mark.parametrize("fault", ["motion", "ghosting"])
def test_artifacts_leave_the_head_where_it_is(phantom: Patient, fault: str) -> None:
    """The spoiled image still fits the clean one better in place than one voxel aside."""
    clean = phantom.t1w.array.astype(float)
    bad = spoiled(phantom, fault).t1w.array.astype(float)

    def likeness(shift: int) -> float:
        return float(np.corrcoef(np.roll(bad, shift, axis=1).ravel(), clean.ravel())[0, 1])

    assert likeness(0) > max(likeness(1), likeness(-1))


def test_a_ghost_is_half_the_field_of_view_away() -> None:
    point = np.zeros((4, 16, 4), np.int16)
    point[2, 3, 1] = 1000
    image = ghost(Volume(point, np.eye(4))).array
    assert image[2, 3, 1] == 1000
    assert image[2, 11, 1] == pytest.approx(300, abs=1)
    assert np.count_nonzero(image) == 2


def test_a_cropped_head_lacks_a_quarter_of_the_brain(phantom: Patient) -> None:
    bad = spoiled(phantom, "cropped_head")
    height = np.ptp(np.flatnonzero(phantom.brain_t1w.any((0, 1))))
    left = np.ptp(np.flatnonzero(bad.brain_t1w.any((0, 1))))
    assert left == pytest.approx(0.75 * height, abs=1.5)
    assert bad.brain_t1w.shape == bad.t1w.array.shape
    assert np.array_equal(bad.t1w.array, phantom.t1w.array[:, :, : bad.t1w.array.shape[2]])


def test_thick_slices_keep_the_head_in_place(phantom: Patient) -> None:
    bad = spoiled(phantom, "wrong_voxel_size")
    assert max(np.divide(bad.t1w.spacing_mm, phantom.t1w.spacing_mm)) == pytest.approx(1.6, rel=0.03)

    def centre(volume: Volume, brain: np.ndarray) -> np.ndarray:
        return np.asarray(volume.affine @ np.append(ndi.center_of_mass(brain), 1))[:3]

    assert np.allclose(centre(bad.t1w, bad.brain_t1w), centre(phantom.t1w, phantom.brain_t1w), atol=0.3)


def test_a_fault_of_filing_leaves_the_images_alone(phantom: Patient) -> None:
    assert spoiled(phantom, "missing_flair") is phantom


def test_faults_are_read_from_text() -> None:
    assert parse_faults("motion=1, missing_flair=2") == {"motion": 1, "missing_flair": 2}
    assert parse_faults("") == {}


@pytest.mark.parametrize("text", ["fire=1", "motion", "motion=-1", "motion=two"])
def test_unreadable_faults_get_a_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="fault is not known"):
        parse_faults(text)
