"""What a phantom promises: known lesions, known motion, known brain, and the same again for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from konsil.errors import BadInput
from konsil.phantom.patient import Patient, make_patient
from konsil.phantom.profile import SITES


def test_grids_agree(phantom: Patient) -> None:
    assert phantom.lesions.shape == phantom.brain_flair.shape == phantom.flair.array.shape
    assert phantom.brain_t1w.shape == phantom.t1w.array.shape
    assert phantom.t1w.array.dtype == phantom.flair.array.dtype == np.int16
    assert phantom.lesions.dtype == np.uint8


def test_voxels_have_the_resolution_asked_for(phantom: Patient) -> None:
    wanted = 3.0 * np.array(phantom.profile.flair.voxel_mm)
    assert phantom.flair.spacing_mm == pytest.approx(wanted)


def test_the_same_seed_gives_the_same_patient(phantom: Patient) -> None:
    again = make_patient(7, "A", resolution_mm=3.0)
    assert np.array_equal(again.t1w.array, phantom.t1w.array)
    assert np.array_equal(again.flair.array, phantom.flair.array)
    assert np.array_equal(again.t1w_to_flair, phantom.t1w_to_flair)


def test_patients_of_one_site_differ(phantom: Patient) -> None:
    other = make_patient(8, "A", resolution_mm=3.0)
    assert not np.allclose(other.t1w_to_flair, phantom.t1w_to_flair)
    assert other.lesion_ml != phantom.lesion_ml


def test_the_transform_carries_the_brain_from_t1w_to_flair(phantom: Patient) -> None:
    """Dice of the moved and the true brain mask; without the motion the overlap is clearly worse."""
    assert moved_dice(phantom, phantom.t1w_to_flair) > 0.97
    assert moved_dice(phantom, np.eye(4)) < moved_dice(phantom, phantom.t1w_to_flair) - 0.01


def moved_dice(patient: Patient, t1w_to_flair: np.ndarray) -> float:
    M = np.linalg.inv(patient.t1w.affine) @ np.linalg.inv(t1w_to_flair) @ patient.flair.affine
    values = patient.brain_t1w.astype(np.float32)
    moved = ndi.affine_transform(values, M[:3, :3], M[:3, 3], output_shape=patient.flair.array.shape, order=1) > 0.5
    return float(2 * (moved & patient.brain_flair).sum() / (moved.sum() + patient.brain_flair.sum()))


def test_lesions_lie_in_the_brain_and_shine_on_flair(phantom: Patient) -> None:
    lesion = phantom.lesions == 1
    assert (lesion & phantom.brain_flair).sum() == lesion.sum()
    healthy = phantom.brain_flair & ~ndi.binary_dilation(lesion, iterations=2)
    assert np.median(phantom.flair.array[lesion]) > 1.2 * np.median(phantom.flair.array[healthy])


def test_skull_and_scalp_are_kept(phantom: Patient) -> None:
    """Around the brain there is tissue: the scalp at 9 to 15 mm is brighter than the air, bone is darker than both."""
    distance_mm = ndi.distance_transform_edt(~phantom.brain_t1w, sampling=phantom.t1w.spacing_mm)
    top = np.zeros_like(phantom.brain_t1w)
    top[:, :, top.shape[2] * 2 // 3 :] = True
    level = {
        name: np.median(phantom.t1w.array[top & (distance_mm > low) & (distance_mm < high)])
        for name, low, high in (("scalp", 10, 14), ("air", 25, 60))
    }
    assert level["scalp"] > 4 * level["air"]


def test_site_c_has_fewer_lesions_than_a_and_b() -> None:
    from konsil.phantom.lesions import draw_radii

    volume = {
        name: np.median([(draw_radii(np.random.default_rng(n), site) ** 3).sum() for n in range(50)])
        for name, site in SITES.items()
    }
    assert volume["C"] < 0.65 * min(volume["A"], volume["B"])


def test_site_a_mixes_three_vendors() -> None:
    assert {scanner.tags["Manufacturer"] for scanner in SITES["A"].scanners} == {
        "SIEMENS",
        "Philips Medical Systems",
        "GE MEDICAL SYSTEMS",
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [((1, "Z", 3.0), "not known"), ((-1, "A", 3.0), "seed"), ((1, "A", 0.1), "resolution")],
)
def test_bad_input_gets_a_sentence(arguments: tuple[int, str, float], says: str) -> None:
    seed, site, resolution_mm = arguments
    with pytest.raises(BadInput, match=says):
        make_patient(seed, site, resolution_mm=resolution_mm)
