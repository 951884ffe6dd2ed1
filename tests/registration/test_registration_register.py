"""The movement between T1w and FLAIR is known for a synthetic patient, so the error of its recovery is known too."""

from pathlib import Path

import numpy as np
import pytest

from konsil.cohort.cases import Case
from konsil.cohort.derivative import sidecar
from konsil.cohort.folder import CohortFolder, SiteFolder
from konsil.cohort.volume import Volume, read_volume, write_volume
from konsil.errors import BadInput
from konsil.files import read_json, write_json
from konsil.phantom.fields import random_rigid
from konsil.phantom.patient import Patient, make_patient
from konsil.registration.orient import orient
from konsil.registration.register import believe, by_atlas, onto, register
from konsil.registration.rigid import find_rigid

CASE = Case("a", "1")
LPS = np.array([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def patient() -> Patient:
    return make_patient(3, "B", resolution_mm=2.0)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory, patient: Patient) -> CohortFolder:
    folder = SiteFolder(tmp_path_factory.mktemp("site")).cohort("one")
    write_volume(folder.raw(CASE, "T1w"), Volume(patient.t1w.array, patient.t1w.affine))
    write_volume(folder.raw(CASE, "FLAIR"), Volume(patient.flair.array, patient.flair.affine))
    orient(folder)
    for suffix, brain in (("T1w", patient.brain_t1w), ("FLAIR", patient.brain_flair)):
        affine = read_volume(folder.oriented(CASE, suffix), "it").affine
        write_volume(folder.brain_mask(CASE, suffix), Volume(brain.astype(np.uint8), affine))
    assert register(folder).done == (str(CASE),)
    return folder


def points_of(patient: Patient) -> np.ndarray:
    affine = patient.flair.affine
    return np.argwhere(patient.brain_flair)[::50] @ affine[:3, :3].T + affine[:3, 3]


def test_the_movement_is_recovered_to_a_fraction_of_a_voxel(cohort: CohortFolder, patient: Patient) -> None:
    import SimpleITK as sitk

    transform = sitk.ReadTransform(str(cohort.transform(CASE)))
    back = np.linalg.inv(patient.t1w_to_flair)
    points = points_of(patient)
    wanted = points @ back[:3, :3].T + back[:3, 3]
    got = np.array([transform.TransformPoint(point) for point in (points * LPS).tolist()]) * LPS
    untouched = np.linalg.norm(points - wanted, axis=1).mean()
    error = np.linalg.norm(got - wanted, axis=1).mean()
    assert untouched > 2.0, "the patient must have moved for this to mean something"
    assert error < 0.5, "a quarter of a 2 mm voxel"


def test_the_registered_t1w_lies_on_the_grid_of_flair(cohort: CohortFolder) -> None:
    registered, flair = (read_volume(path, "it") for path in (cohort.registered(CASE), cohort.oriented(CASE, "FLAIR")))
    assert registered.data.shape == flair.data.shape
    np.testing.assert_allclose(registered.affine, flair.affine, atol=1e-5)
    assert registered.data.dtype == np.int16


def test_the_sidecar_says_how_far_the_head_moved(cohort: CohortFolder, patient: Patient) -> None:
    facts = read_json(sidecar(cohort.transform(CASE)))
    turn = np.degrees(np.arccos((np.trace(patient.t1w_to_flair[:3, :3]) - 1) / 2))
    assert facts["rotation_deg"] == pytest.approx(turn, abs=0.5)
    assert facts["mutual_information_after_nats"] > facts["mutual_information_before_nats"]
    assert facts["brain_overlap_dice"] > 0.95
    assert facts["same_person_score"] > 0.4
    assert facts["residual_mm"] < 2.0


def test_a_second_run_does_nothing_and_a_fresh_one_gives_the_same_bytes(cohort: CohortFolder) -> None:
    path = cohort.registered(CASE)
    before, made = path.read_bytes(), path.stat().st_mtime_ns
    register(cohort)
    assert path.stat().st_mtime_ns == made
    sidecar(path).unlink()
    register(cohort)
    assert path.stat().st_mtime_ns != made
    assert path.read_bytes() == before


def test_a_case_without_flair_is_set_aside_with_a_sentence(tmp_path: Path, patient: Patient) -> None:
    folder = SiteFolder(tmp_path).cohort("one")
    write_volume(folder.raw(CASE, "T1w"), Volume(patient.t1w.array, patient.t1w.affine))
    orient(folder)
    assert "no FLAIR" in register(folder).set_aside[str(CASE)]


def test_registration_before_masks_names_the_step_to_run(tmp_path: Path, patient: Patient) -> None:
    folder = SiteFolder(tmp_path).cohort("one")
    for suffix, image in (("T1w", patient.t1w), ("FLAIR", patient.flair)):
        write_volume(folder.raw(CASE, suffix), Volume(image.array, image.affine))
    orient(folder)
    assert "konsil mask COHORT" in register(folder).set_aside[str(CASE)]


GOOD = {
    "rotation_deg": 3.0,
    "translation_mm": 4.0,
    "mutual_information_before_nats": 0.3,
    "mutual_information_after_nats": 0.6,
    "brain_overlap_dice": 0.95,
    "same_person_score": 0.5,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rotation_deg": 50.0}, "turn of 50 degrees"),
        ({"translation_mm": 90.0}, "shift of 90 mm"),
        ({"brain_overlap_dice": 0.4}, "overlap by 0.40"),
        ({"mutual_information_after_nats": 0.1}, "agree less"),
        ({"same_person_score": 0.05}, "folds that do not match"),
    ],
)
def test_what_no_head_can_do_is_not_believed(change: dict[str, float], words: str) -> None:
    believe(GOOD)
    with pytest.raises(BadInput, match=words):
        believe({**GOOD, **change})


def test_interpolation_stays_within_the_range_of_the_image_and_is_zero_outside() -> None:
    edge = np.zeros((12, 12, 12), np.int16)
    edge[6:] = 1000
    raw = Volume(edge + 5, np.eye(4))
    away = np.eye(4)
    away[0, 3] = 3.4
    moved = onto(raw, raw, away).data
    assert set(np.unique(moved)) >= {0, 5, 1005}
    assert moved[moved > 0].min() >= 5
    assert moved.max() == 1005


@pytest.mark.realdata
def test_a_real_ms_case_comes_closer_to_its_published_registration(data: Path, tmp_path: Path) -> None:
    """Lesjak 2016: the published transform is itself a registration, of 3 mm slices; 2 mm is two thirds of one."""
    import SimpleITK as sitk

    from konsil.quality.masks import mask

    source = data / "ms/ljubljana_long_raw/patient12"
    folder = SiteFolder(tmp_path).cohort("real")
    for suffix, name in (("T1w", "study1_T1W"), ("FLAIR", "study1_FLAIR")):
        write_volume(folder.raw(CASE, suffix), read_volume(source / f"{name}.nii.gz", suffix))
    for step in (orient, mask, register):
        assert step(folder).done == (str(CASE),)
    brain = read_volume(folder.brain_mask(CASE, "FLAIR"), "it")
    points = ((np.argwhere(brain.data)[::2000] @ brain.affine[:3, :3].T + brain.affine[:3, 3]) * LPS).tolist()
    ours = sitk.ReadTransform(str(folder.transform(CASE)))
    theirs = sitk.ReadTransform(str(source / "study1_T1W_intrastudy_to_FLAIR.txt"))
    published = np.array([theirs.TransformPoint(point) for point in points])
    distance = np.linalg.norm([ours.TransformPoint(point) for point in points] - published, axis=1).mean()
    untouched = np.linalg.norm(np.array(points) - published, axis=1).mean()
    assert distance < 2.0
    assert distance < untouched


def test_the_brain_images_keep_the_brain_with_its_margin_and_nothing_else(cohort: CohortFolder) -> None:
    mask = read_volume(cohort.brain_mask(CASE, "FLAIR"), "it").data > 0
    for name, whole in (("T1w", cohort.registered(CASE)), ("FLAIR", cohort.oriented(CASE, "FLAIR"))):
        image, brain = read_volume(whole, "it").data, read_volume(cohort.brain(CASE, name), "it").data
        np.testing.assert_array_equal(brain[mask], image[mask])
        kept = (brain != 0).sum() / mask.sum()
        assert 0.9 < kept < 1.5, "3 mm around a brain add about a quarter of its volume"
        assert (brain[:, :, 0] == 0).all(), "the neck is gone"


def test_images_that_lie_on_each_other_already_stay_untouched(patient: Patient) -> None:
    flair = Volume(patient.flair.array, patient.flair.affine)
    inverted = Volume((flair.data.max() - flair.data).astype(np.int16), flair.affine)
    movement = find_rigid(flair, inverted, patient.brain_flair, patient.brain_flair)
    assert movement.translation_mm < 0.05
    assert movement.rotation_deg < 0.05
    assert movement.information_after > movement.information_before - 0.01


def test_two_placed_atlases_give_a_start_however_far_the_head_lies(tmp_path: Path) -> None:
    folder = SiteFolder(tmp_path).cohort("one")
    assert by_atlas(folder, CASE) is None
    away = random_rigid(np.random.default_rng(1), shift_mm=30, turn_deg=40)
    on_flair = np.diag([0.95, 0.93, 0.97, 1.0])
    for suffix, matrix in (("FLAIR", on_flair), ("T1w", away @ on_flair)):
        write_json(sidecar(folder.brain_mask(CASE, suffix)), {"AtlasToImageRas": matrix.tolist()})
    start = by_atlas(folder, CASE)
    assert start is not None
    np.testing.assert_allclose(start, away, atol=1e-9)
