"""Movements that are known: headers turned far, thick slices, one person's T1w under another's FLAIR."""

import numpy as np
import pytest

from konsil.cohort.volume import Volume
from konsil.errors import BadInput
from konsil.phantom.fields import random_rigid
from konsil.phantom.patient import Patient, make_patient
from konsil.registration.rigid import Movement, find_rigid


@pytest.fixture(scope="module")
def patient() -> Patient:
    return make_patient(2, "B", resolution_mm=2.0)


@pytest.fixture(scope="module")
def stranger() -> Patient:
    return make_patient(9, "B", resolution_mm=2.0)


def images(patient: Patient) -> tuple[Volume, Volume]:
    return Volume(patient.flair.array, patient.flair.affine), Volume(patient.t1w.array, patient.t1w.affine)


def error_mm(movement: Movement, patient: Patient, header: np.ndarray) -> float:
    affine = patient.flair.affine
    points = np.argwhere(patient.brain_flair)[::200] @ affine[:3, :3].T + affine[:3, 3]
    wrong = movement.matrix - header @ np.linalg.inv(patient.t1w_to_flair)
    return float(np.linalg.norm(points @ wrong[:3, :3].T + wrong[:3, 3], axis=1).mean())


@pytest.mark.parametrize("seed", [1, 2])
def test_a_head_that_lies_quite_elsewhere_is_found(patient: Patient, seed: int) -> None:
    """Turned by up to 20 degrees about each axis and shifted by up to 17 mm along each: 30 mm in all."""
    flair, t1w = images(patient)
    header = random_rigid(np.random.default_rng(seed), shift_mm=17, turn_deg=20)
    moved = Volume(t1w.data, header @ t1w.affine)
    movement = find_rigid(flair, moved, patient.brain_flair, patient.brain_t1w)
    assert error_mm(movement, patient, header) < 0.2
    assert movement.agreement.same_person_score > 0.4


def test_thick_slices_of_either_image_are_compared_as_they_were_taken(patient: Patient) -> None:
    flair, t1w = images(patient)
    count = flair.data.shape[2] // 2
    thick = flair.data[:, :, : 2 * count].reshape(*flair.data.shape[:2], count, 2).mean(axis=3)
    brain = patient.brain_flair[:, :, : 2 * count : 2]
    affine = flair.affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0.5], [0, 0, 0, 1]])
    there = find_rigid(Volume(thick, affine), t1w, brain, patient.brain_t1w)
    back = find_rigid(t1w, Volume(thick, affine), patient.brain_t1w, brain)
    assert error_mm(there, patient, np.eye(4)) < 0.4
    np.testing.assert_allclose(there.matrix @ back.matrix, np.eye(4), atol=1e-6)


def test_two_people_are_told_from_one(patient: Patient, stranger: Patient) -> None:
    flair, _ = images(patient)
    _, t1w = images(stranger)
    movement = find_rigid(flair, t1w, patient.brain_flair, stranger.brain_t1w)
    assert movement.agreement.same_person_score < 0.1
    assert movement.agreement.residual_mm > 3


def test_the_same_images_give_the_same_numbers(patient: Patient) -> None:
    flair, t1w = images(patient)
    first, second = (find_rigid(flair, t1w, patient.brain_flair, patient.brain_t1w).matrix for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_an_empty_mask_is_refused(patient: Patient) -> None:
    flair, t1w = images(patient)
    with pytest.raises(BadInput, match="brain mask is empty"):
        find_rigid(flair, t1w, np.zeros_like(patient.brain_flair), patient.brain_t1w)
