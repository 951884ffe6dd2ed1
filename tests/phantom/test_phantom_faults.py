"""Each fault of images does what its sentence says, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from konsil.errors import BadInput
from konsil.phantom.faults import ARTIFACTS, FAULTS, Fault, parse_faults, spoil
from konsil.phantom.kspace import fold, ghost, spike
from konsil.phantom.patient import Patient
from konsil.phantom.volume import Signal, Volume


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


def scan(array: np.ndarray) -> Signal:
    return Signal(array.astype(np.float32), np.eye(4), noise=0.0, scale=1.0)


def test_a_ghost_is_half_the_field_of_view_away() -> None:
    point = np.zeros((4, 16, 4))
    point[2, 3, 1] = 10
    image = ghost(np.random.default_rng(0), scan(point)).array
    assert image[2, 3, 1] == pytest.approx(10, abs=1e-3)
    assert image[2, 11, 1] == pytest.approx(3, abs=1e-3)
    assert np.count_nonzero(image > 1e-3) == 2


def test_a_spark_is_one_bright_point_and_its_mirror_in_k_space() -> None:
    clean = scan(np.full((24, 24, 24), 1.0))
    stripes = spike(np.random.default_rng(4), clean, 0.5).array - clean.array
    energy = np.sort(np.abs(np.fft.fftn(stripes)).ravel())[::-1]
    # Two sparks: what they add up to is at most twice 3 % of the signal, and k-space is bright near four points.
    assert np.abs(stripes).max() == pytest.approx(0.06, rel=0.1)
    assert energy[4] > 20 * np.median(energy)


def test_what_is_outside_the_picture_folds_to_the_other_side() -> None:
    head = np.zeros((6, 20, 6))
    head[:, 2:18] = 1
    head[:, 17] = 1.5  # the nose
    image = fold(np.random.default_rng(0), scan(head)).array
    cut = (20 - image.shape[1]) // 2
    assert cut == 4  # a quarter of 16 lines and the air of 2 at either end
    assert image[0, 1, 0] == pytest.approx(1 + 1.5)  # line 17 lies 12 lines, one picture, from line 5
    assert image[0, 6, 0] == 1


def test_a_folded_picture_keeps_lesions_and_brain_in_place(phantom: Patient) -> None:
    bad = spoiled(phantom, "aliasing")
    assert bad.lesions.shape == bad.brain_flair.shape == bad.flair.array.shape
    assert bad.flair.array.shape[1] < phantom.flair.array.shape[1]

    def centre(mask: np.ndarray, volume: Volume) -> np.ndarray:
        return np.asarray(volume.affine @ np.append(ndi.center_of_mass(mask), 1))[:3]

    assert np.allclose(centre(bad.lesions, bad.flair), centre(phantom.lesions, phantom.flair), atol=1)


@pytest.mark.parametrize("fault", sorted(ARTIFACTS))
def test_a_severe_artifact_changes_more_than_a_mild_one(phantom: Patient, fault: str) -> None:
    """What changes is what remains after noise: the same noise is drawn in all three."""

    def change(severity: float) -> float:
        signal = ARTIFACTS[fault](np.random.default_rng(1), phantom.t1w_signal, severity)
        if fault == "noise":
            return signal.noise - phantom.t1w_signal.noise
        if fault == "aliasing":
            return float(phantom.t1w_signal.array.size - signal.array.size)
        return float(np.abs(signal.array - phantom.t1w_signal.array).mean())

    assert 0 < change(0.3) < change(1.5)


def test_a_spoiled_scan_is_as_noisy_as_a_clean_one(phantom: Patient) -> None:
    """Smoothing may not hide the noise: detail in the air, where nothing but noise is, stays as it was."""
    corner = (slice(0, 6), slice(0, 6), slice(-6, None))
    for fault in ("blur", "bias", "void"):
        assert spoiled(phantom, fault).t1w.array[corner].std() == pytest.approx(
            phantom.t1w.array[corner].std(), rel=0.25
        )


def test_a_void_is_dark_and_inside_the_head(phantom: Patient) -> None:
    clean, bad = phantom.t1w_signal.array, spoiled(phantom, "void").t1w_signal.array
    lost = (clean > 0.5 * phantom.t1w_signal.tissue) & (bad < 0.2 * clean)
    assert 1000 < lost.sum() * np.prod(phantom.t1w.spacing_mm) < 4 / 3 * np.pi * 25**3


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
    assert parse_faults("motion@0.5=3") == {"motion@0.5": 3}
    assert parse_faults("") == {}
    assert Fault.parse("motion@0.5") == Fault("motion", 0.5)
    assert set(ARTIFACTS) <= set(FAULTS)


@pytest.mark.parametrize("text", ["fire=1", "motion", "motion=-1", "motion=two", "=1"])
def test_unreadable_faults_get_a_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="fault is not known"):
        parse_faults(text)


@pytest.mark.parametrize("text", ["motion@0", "motion@9", "motion@much", "motion@nan", "missing_flair@1"])
def test_unknown_severities_get_a_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="severity of a fault is not known"):
        Fault.parse(text)
